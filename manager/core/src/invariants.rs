//! What holds between any two inputs, for tests to check after each.

use crate::State;
use crate::waiting::wait::Waiter;

impl State {
    /// Asserts that nothing was left undone: every waiter that could be served was. Nothing may be left for later
    /// inputs.
    #[doc(hidden)]
    pub fn assert_settled(&self) {
        assert!(self.is_idle(), "something is left for later inputs");
        assert!(!self.is_unsettled, "something is to be done");
        assert!(self.touched.is_empty(), "no object is to be served");
        assert!(self.agenda.is_empty() && self.unfinished.agenda.is_empty(), "nobody is to be examined");
        for &(caller, key) in &self.blocked {
            // A thread with several waits may by now hold a reentrant lock that another of its waits is for.
            if self.waiters_of_thread(caller).count() == 1 {
                assert!(
                    self.uncounted(|| self.is_blocked(key)),
                    "a waiter cannot be served: {:?}",
                    self.waiters[key]
                );
            }
        }
    }

    /// Asserts that no thread waits forever in a cycle, for clients whose threads send nothing while they wait.
    #[doc(hidden)]
    pub fn assert_no_deadlock(&self) {
        let waiters = self.blocked.iter().map(|&(_, key)| &self.waiters[key]);
        let is_free = |waiter: &Waiter| self.uncounted(|| self.check_deadlock(waiter)).is_ok();
        waiters.for_each(|waiter| assert!(is_free(waiter), "in a deadlock: {waiter:?}"));
    }
}
