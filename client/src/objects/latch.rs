//! The latch: a count that goes down to zero once, and lets everyone through from then on.

use std::sync::Arc;
use std::time::Duration;

use client_core::WaitTarget;
use client_core::operations::{LatchCount, LatchCountDown, LatchTarget};
use protocol::{Grant, Kind, Spec, Target};

use crate::objects::proxy::proxy;
use crate::objects::reference::Reference;
use crate::objects::wait::signal_and_wait;
use crate::objects::waitable::SealedWaitable;
use crate::{Manager, OpenOptions, Result, Taken};

/// A count that goes down to zero once, and lets everyone through from then on. This is a proxy.
///
/// It is Java's `CountDownLatch`; Python has none. Use it to go on when, say, five processes have done their part, and
/// need not wait themselves: a [`Barrier`](crate::Barrier) is for parties that wait for each other, again and again.
///
/// **Fairness.** When the count is zero, all waiters go on at once, so there is no order among them, and later callers
/// do not wait.
///
/// **Death.** Nobody owns a part of the count: when a process dies, what it has counted stays counted, and somebody
/// else has to count what it has not. When a process that waits dies, its wait vanishes, and nobody else notices. When
/// the manager dies, every call fails at once ([`is_manager_gone`](crate::Error::is_manager_gone)).
///
/// ```no_run
/// # use client as rallypoint;
/// # fn main() -> rallypoint::Result<()> {
/// let manager = rallypoint::Manager::start()?;
/// let ready = manager.latch("services ready", 2)?;
/// assert_eq!(ready.count_down()?, 1);
/// assert_eq!(ready.count_down()?, 0);
/// assert!(ready.wait(None)?);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Latch {
    reference: Arc<Reference>,
}

impl Latch {
    /// Counts down by one, and returns what is left. The count does not go below zero.
    ///
    /// # Errors
    ///
    /// [`is_no_such_object`](crate::Error::is_no_such_object) if the latch was removed.
    pub fn count_down(&self) -> Result<u64> {
        self.count_down_by(1)
    }

    /// Counts down by this number, but not below zero, and returns what is left.
    ///
    /// # Errors
    ///
    /// As with [`count_down`](Self::count_down).
    pub fn count_down_by(&self, count: u64) -> Result<u64> {
        self.reference.run(LatchCountDown { id: self.id(), count })
    }

    /// What is left to count down.
    ///
    /// # Errors
    ///
    /// As with [`count_down`](Self::count_down).
    pub fn count(&self) -> Result<u64> {
        self.reference.run(LatchCount { id: self.id() })
    }

    /// Waits until the count is zero. False if the timeout ends first; with `None` it waits forever.
    ///
    /// # Errors
    ///
    /// [`is_removed`](crate::Error::is_removed) if the latch is removed meanwhile.
    pub fn wait(&self, timeout: impl Into<Option<Duration>>) -> Result<bool> {
        let taken = self.reference.wait(LatchTarget { id: self.id() }, timeout.into())?;
        Ok(taken.is_some())
    }

    /// Counts down by one and waits until the count is zero, in one round trip. False if the timeout ends first; the
    /// count goes down all the same.
    ///
    /// # Errors
    ///
    /// As with [`wait`](Self::wait).
    pub fn count_down_and_wait(&self, timeout: impl Into<Option<Duration>>) -> Result<bool> {
        let count_down = LatchCountDown { id: self.id(), count: 1 };
        let taken = signal_and_wait(&self.reference, count_down, self, timeout.into())?;
        Ok(taken.is_some())
    }

    /// The object itself, for the rest of the product.
    #[doc(hidden)]
    pub fn reference(&self) -> &Reference {
        &self.reference
    }
}

proxy!(Latch, Kind::Latch);

impl SealedWaitable for Latch {
    fn reference(&self) -> &Reference {
        &self.reference
    }

    fn target(&self) -> Target<'_> {
        LatchTarget { id: self.id() }.into_target()
    }

    fn receive(&self, grant: Grant) -> Result<Taken> {
        LatchTarget::granted(grant)?;
        Ok(Taken::Latch)
    }
}

impl Manager {
    /// The latch of this name, made now if there is none, with this count at first. A latch of 0 is open at once.
    ///
    /// # Errors
    ///
    /// As with [`OpenOptions::open_or_create`]; the first count is a parameter, so all callers must give the same one.
    pub fn latch(&self, name: &str, count: u64) -> Result<Latch> {
        self.latch_options(count).open_or_create(name)
    }

    /// A new latch without a name, which lives as long as there are proxies of it.
    pub fn anonymous_latch(&self, count: u64) -> Result<Latch> {
        self.latch_options(count).anonymous()
    }

    /// Options to open or make a latch in any other way.
    pub fn latch_options(&self, count: u64) -> OpenOptions<'_, Latch> {
        OpenOptions::new(self, Spec::Latch { count })
    }
}
