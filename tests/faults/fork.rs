//! Forked children: they go on to use their copies of proxies, and disturb their parent in nothing.
//!
//! What forks is a helper, in which no threads run but its own: in the midst of all tests, a thread that is not copied
//! could hold any lock of the standard library. This file is unsafe because of `fork`, which nothing safe can offer.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use client::{Event, Manager, Result};
use rustix::process::{Pid, WaitOptions, waitpid};

use crate::support::helper;
use crate::support::{PATIENCE, Running, apply, eventually, is_alive, test};

/// The helper whose children and their children use what it has.
pub(crate) const USER: &str = "fork-user";

/// The helper whose children drop what it has.
pub(crate) const DROPPER: &str = "fork-dropper";

/// How many children a helper has, one after the other: each comes at another moment of what the threads do.
const CHILDREN: usize = 50;

/// How many threads call all the time while their process is copied.
const CALLERS: usize = 3;

#[apply(test)]
fn children_of_children_use_copies_in_sessions_of_their_own() {
    comes_to_a_good_end(USER);
}

#[apply(test)]
fn what_a_child_drops_its_parent_keeps() {
    comes_to_a_good_end(DROPPER);
}

/// Runs a helper that panics, fails or hangs where something is wrong.
fn comes_to_a_good_end(name: &str) {
    let mut parent = Running::start(&mut helper::command(name));
    eventually("it has no more children to wait for", || !is_alive(parent.process()));
    assert_eq!(parent.wait(), Some(0), "{}", parent.line());
}

/// What the first helper does.
pub(crate) fn use_copies() -> Result<()> {
    amid_calls(|manager, asked| {
        for _ in 0..CHILDREN {
            let (by_child, by_grandchild) = (manager.anonymous_event()?, manager.anonymous_event()?);
            let mirror = by_child.mirror()?;
            let child = in_child(|| {
                assert!(!mirror.is_set()?, "the child shares what its parent has mapped");
                by_child.set()?;
                assert!(mirror.wait(PATIENCE)?);
                let own = manager.anonymous_event()?;
                own.set()?;
                let grandchild = in_child(|| {
                    by_grandchild.set()?;
                    Ok(own.is_set()? && !asked.is_set()?)
                });
                let is_own_session = setter(&by_grandchild)? == Some(grandchild);
                Ok(is_own_session && own.is_set()? && !asked.is_set()?)
            });
            assert_eq!(setter(&by_child)?, Some(child), "the manager knows it by its own process");
            assert!(by_grandchild.is_set()? && mirror.is_set()?);
        }
        Ok(())
    })
}

/// What the second helper does.
pub(crate) fn drop_copies() -> Result<()> {
    amid_calls(|busy_manager, _| {
        for number in 0..CHILDREN {
            let shared = busy_manager.anonymous_event()?;
            // Nothing else holds on to this manager, so the last of everything is dropped in the child.
            let mut manager = Some(Manager::start()?);
            let mut event = Some(manager.as_ref().expect("it was just made").anonymous_event()?);
            in_child(|| {
                // Half of them have sessions of their own by then, and half only what they inherited.
                if number % 2 == 0 {
                    event.as_ref().map(Event::set).transpose()?;
                    shared.set()?;
                }
                drop((event.take(), manager.take()));
                Ok(true)
            });
            assert!(
                manager.as_ref().is_some_and(|manager| manager.socket().exists()),
                "others still find it"
            );
            let is_set = event.as_ref().map(Event::is_set).transpose()?;
            assert_eq!(is_set, Some(number % 2 == 0), "both the manager and the event live");
            assert_eq!(shared.is_set()?, number % 2 == 0);
        }
        Ok(())
    })
}

/// Does something while threads of this process call and wait all the time, and sees that they do not notice.
fn amid_calls(happens: impl FnOnce(&Manager, &Event) -> Result<()>) -> Result<()> {
    let manager = Manager::start()?;
    let (asked, awaited) = (manager.anonymous_event()?, manager.anonymous_event()?);
    let has_happened = AtomicBool::new(false);
    thread::scope(|scope| {
        let call = || -> Result<()> {
            while !has_happened.load(Ordering::Relaxed) {
                assert!(!asked.is_set()?);
            }
            Ok(())
        };
        let callers = [(); CALLERS].map(|()| scope.spawn(call));
        let waiter = scope.spawn(|| awaited.wait(None));
        let outcome = catch_unwind(AssertUnwindSafe(|| happens(&manager, &asked)));
        has_happened.store(true, Ordering::Relaxed);
        awaited.set()?;
        for caller in callers {
            caller.join().expect("it is answered what it asked")?;
        }
        let cause = waiter.join().expect("it does not panic")?;
        assert_eq!(cause.map(|cause| cause.process), Some(process::id()));
        outcome.expect("the line above tells what")
    })
}

/// The process that set an event.
fn setter(event: &Event) -> Result<Option<u32>> {
    Ok(event.cause()?.map(|cause| cause.process))
}

/// Runs something in a forked child, and expects it to come true there. Returns which process that was.
#[allow(unsafe_code)]
fn in_child(comes_true: impl FnOnce() -> Result<bool>) -> u32 {
    // SAFETY: the child has one thread, and what other threads were at is left undone in it. It uses nothing that they
    // use but the client, which is what is tested, and the allocator, which the C library makes ready for this.
    let process = unsafe { libc::fork() };
    if process == 0 {
        // SAFETY: it changes nothing in memory. Nobody handles the signal, so a child that hangs is ended by it.
        unsafe { libc::alarm(PATIENCE.as_secs() as u32) };
        let status = match catch_unwind(AssertUnwindSafe(comes_true)) {
            Ok(Ok(true)) => 0,
            Ok(Ok(false)) => 1,
            Ok(Err(_)) => 2,
            Err(_) => 3,
        };
        // SAFETY: it ends the process at once. What the parent is in the middle of is not ended here a second time.
        unsafe { libc::_exit(status) };
    }
    let child = Pid::from_raw(process).expect("a process can be copied");
    let ended = waitpid(Some(child), WaitOptions::empty()).expect("it is this one's child");
    let (_, status) = ended.expect("it was waited for");
    // 1 says that it did not come true, 2 that a call failed, 3 that it panicked; none that it was too slow.
    assert_eq!(status.exit_status(), Some(0), "how the child ended");
    process.cast_unsigned()
}
