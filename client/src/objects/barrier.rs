//! The barrier: a number of parties wait until all have come, and go on together.

use std::any::Any;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::time::Duration;

use client_core::WaitTarget;
use client_core::operations::{
    BarrierAbort, BarrierPass, BarrierReset, BarrierTarget, BarrierTurn, GetBarrierStatus,
};
use protocol::{BarrierStatus, Grant, Kind, Spec, Target};

use crate::objects::proxy::proxy;
use crate::objects::reason::{check_reason, shortened};
use crate::objects::reference::Reference;
use crate::objects::waitable::SealedWaitable;
use crate::{Error, ErrorKind, Manager, OpenOptions, Passed, Result, Taken};

/// A place where a number of parties wait until all have come, and go on together, again and again. This is a proxy.
///
/// It is Python's `Barrier`. A party is one wait of any thread of any process. Each gets its place among the parties,
/// and exactly one of them [`leads`](Passed::leads). A party that comes when all parties of a turn have come belongs to
/// the next turn: parties go on in the order in which they came.
///
/// A party may wait for other objects at the same time ([`wait_any`](crate::wait_any)). If it takes one of those, it
/// has not come, and breaks nothing. If its timeout ends, it has given up, and breaks the barrier: a timeout of zero
/// does so at once, unless this party is the last to come or another object in the list is ready. Once an action runs,
/// the parties have come, and take nothing else. A barrier cannot be part of a wait for all.
///
/// **Fairness.** First come, first served: the longest waiter goes on with the earliest turn that has room, and nobody
/// passes those that came before.
///
/// **Death.** A party that dies while it waits breaks the barrier, and the text of the error names it. So does one that
/// dies while its action runs. A process that dies before it has come, or after it has gone on, breaks nothing. When
/// the manager dies, every call fails at once ([`is_manager_gone`](Error::is_manager_gone)).
///
/// **Breaking.** A barrier breaks when a waiting party gives up, by its timeout or because its process died, since the
/// others would wait forever. An action that fails breaks it too, and anybody can with [`abort`](Self::abort). Then all
/// waiters fail with [`is_broken`](Error::is_broken), and so does every later one until somebody calls
/// [`reset`](Self::reset). The text says who broke it, and how.
///
/// ```no_run
/// # use client as rallypoint;
/// use std::time::Duration;
///
/// # fn main() -> rallypoint::Result<()> {
/// let manager = rallypoint::Manager::start()?;
/// let start = manager.barrier("start", 2)?;
/// let other = start.clone();
/// let thread = std::thread::spawn(move || other.wait(Duration::from_secs(5)));
/// let passed = start.wait(Duration::from_secs(5))?;
/// println!("this party is number {} of 2", passed.index);
/// # thread.join().expect("the other party does not panic")?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Barrier {
    reference: Arc<Reference>,
}

impl Barrier {
    /// Waits until all parties have come. With `None` it waits forever.
    ///
    /// # Errors
    ///
    /// [`is_timeout`](Error::is_timeout) if the timeout ends first, even one of zero: then the barrier is broken;
    /// [`is_broken`](Error::is_broken) if it is broken already, or is broken or reset meanwhile;
    /// [`is_removed`](Error::is_removed) if it is removed meanwhile.
    pub fn wait(&self, timeout: impl Into<Option<Duration>>) -> Result<Passed> {
        self.arrive(false, timeout.into()).map(Passed::from)
    }

    /// Waits until all parties have come, and brings an action. Before any party goes on, one of them runs its action:
    /// the last to come of those that brought one. So if all parties bring the same action, it runs exactly once in
    /// each turn.
    ///
    /// While the action runs, the timeouts of the other parties go on, and one that ends breaks the barrier; so give
    /// all of them time for the action as well. The timeout of the party that runs it does not count any more.
    ///
    /// If the action returns an error or panics, or its process dies, the barrier is broken, and the text of the
    /// others' errors says why. A panic then goes on in the caller.
    ///
    /// # Errors
    ///
    /// As with [`wait`](Self::wait); [`is_broken`](Error::is_broken) with the text of the action's error if the action
    /// fails, and if somebody breaks or resets the barrier while it runs.
    pub fn wait_with<E: fmt::Display>(
        &self,
        timeout: impl Into<Option<Duration>>,
        action: impl FnOnce() -> std::result::Result<(), E>,
    ) -> Result<Passed> {
        let turn = self.arrive(true, timeout.into())?;
        if turn.leads {
            self.act(turn.turn, action)?;
        }
        Ok(turn.into())
    }

    /// Waits, and returns this party's place and the turn.
    fn arrive(&self, has_action: bool, timeout: Option<Duration>) -> Result<BarrierTurn> {
        match self.reference.wait(BarrierTarget { id: self.id(), has_action }, timeout)? {
            Some(turn) => Ok(turn),
            None => {
                let text = "not all parties came to the barrier in time, so it is broken now";
                Err(Error::new(ErrorKind::Timeout, text))
            }
        }
    }

    /// Runs the action, for all waiters.
    fn act<E: fmt::Display>(
        &self,
        turn: u64,
        action: impl FnOnce() -> std::result::Result<(), E>,
    ) -> Result<()> {
        // The panic goes on in the caller, which answers for the state that it leaves behind.
        match catch_unwind(AssertUnwindSafe(action)) {
            Ok(Ok(())) => self.let_pass(turn),
            Ok(Err(error)) => {
                let text = format!("the action of the barrier failed: {error}");
                self.abort_turn(turn, &text)?;
                Err(Error::new(ErrorKind::Broken, text))
            }
            Err(panic) => {
                let text = format!("the action of the barrier panicked: {}", panic_text(&*panic));
                // If the manager is gone, nobody waits.
                let _ = self.abort_turn(turn, &text);
                resume_unwind(panic)
            }
        }
    }

    /// Lets the other parties go.
    fn let_pass(&self, turn: u64) -> Result<()> {
        let outcome = self.reference.run(BarrierPass { id: self.id(), turn });
        outcome.map_err(|error| match error.is_not_owner() {
            // A barrier that is like new does not wait for this action.
            true => Error::new(ErrorKind::Broken, "the barrier was reset while its action ran"),
            false => error,
        })
    }

    /// Breaks the barrier because the action of this turn has failed, unless the turn is over.
    fn abort_turn(&self, turn: u64, why: &str) -> Result<()> {
        let abort = BarrierAbort { id: self.id(), turn: Some(turn), reason: &shortened(why) };
        match self.reference.run(abort) {
            Err(error) if error.is_not_owner() || error.is_broken() => Ok(()),
            outcome => outcome,
        }
    }

    /// Breaks the barrier: waiters and later callers fail with this reason until it is reset. If it is broken already,
    /// the first cause remains.
    ///
    /// # Errors
    ///
    /// [`is_limit`](Error::is_limit) if the reason is longer than 1024 bytes;
    /// [`is_bad_argument`](Error::is_bad_argument) if it holds control characters, such as line feeds.
    pub fn abort(&self, reason: &str) -> Result<()> {
        check_reason(reason)?;
        self.reference.run(BarrierAbort { id: self.id(), turn: None, reason })
    }

    /// Puts the barrier into the state of a new one. Every waiter fails with [`is_broken`](Error::is_broken).
    ///
    /// # Errors
    ///
    /// [`is_no_such_object`](Error::is_no_such_object) if the barrier was removed.
    pub fn reset(&self) -> Result<()> {
        self.reference.run(BarrierReset { id: self.id() })
    }

    /// How many parties have to come.
    ///
    /// # Errors
    ///
    /// As with [`reset`](Self::reset).
    pub fn parties(&self) -> Result<u32> {
        self.status().map(|status| status.parties)
    }

    /// How many parties wait at the barrier now, including those that wait for the end of an action.
    ///
    /// # Errors
    ///
    /// As with [`reset`](Self::reset).
    pub fn waiting(&self) -> Result<u32> {
        self.status().map(|status| status.waiting)
    }

    /// Who or what broke the barrier, for people to read; none if it is not broken.
    ///
    /// # Errors
    ///
    /// As with [`reset`](Self::reset).
    pub fn broken(&self) -> Result<Option<String>> {
        self.status().map(|status| status.broken.map(|cause| cause.to_string()))
    }

    /// Whether the barrier is broken.
    ///
    /// # Errors
    ///
    /// As with [`reset`](Self::reset).
    pub fn is_broken(&self) -> Result<bool> {
        self.status().map(|status| status.broken.is_some())
    }

    fn status(&self) -> Result<BarrierStatus> {
        self.reference.run(GetBarrierStatus { id: self.id() })
    }

    /// The object itself, for the rest of the product.
    #[doc(hidden)]
    pub fn reference(&self) -> &Reference {
        &self.reference
    }
}

proxy!(Barrier, Kind::Barrier);

impl SealedWaitable for Barrier {
    fn reference(&self) -> &Reference {
        &self.reference
    }

    fn target(&self) -> Target<'_> {
        BarrierTarget { id: self.id(), has_action: false }.into_target()
    }

    fn receive(&self, grant: Grant) -> Result<Taken> {
        Ok(Taken::Barrier(BarrierTarget::granted(grant)?.into()))
    }
}

impl Manager {
    /// The barrier of this name for this many parties, made now if there is none.
    ///
    /// # Errors
    ///
    /// As with [`OpenOptions::open_or_create`]; [`is_bad_argument`](Error::is_bad_argument) for no parties.
    pub fn barrier(&self, name: &str, parties: u32) -> Result<Barrier> {
        self.barrier_options(parties).open_or_create(name)
    }

    /// A new barrier without a name, which lives as long as there are proxies of it.
    ///
    /// # Errors
    ///
    /// [`is_bad_argument`](Error::is_bad_argument) for no parties.
    pub fn anonymous_barrier(&self, parties: u32) -> Result<Barrier> {
        self.barrier_options(parties).anonymous()
    }

    /// Options to open or make a barrier in any other way.
    pub fn barrier_options(&self, parties: u32) -> OpenOptions<'_, Barrier> {
        OpenOptions::new(self, Spec::Barrier { parties })
    }
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("without a text")
}
