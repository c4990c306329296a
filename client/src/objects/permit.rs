//! Permits of a semaphore: their owner holds them, and dropping them gives them back.

use std::fmt;
use std::sync::Arc;

use client_core::Operation;
use client_core::operations::{SemaphoreForget, SemaphoreRelease};
use protocol::Signal;

use crate::objects::reference::Reference;
use crate::{Abandonment, Error, ErrorKind, Result};

/// Permits of a [`Semaphore`](crate::Semaphore) that are held. Dropping it gives them back, and does not wait for an
/// answer.
///
/// Permits belong to the process, so any thread may drop them. In a process that was forked off, the parent's do
/// nothing.
///
/// ```no_run
/// # fn main() -> client::Result<()> {
/// let manager = client::Manager::connect()?;
/// let tickets = manager.semaphore("tickets", 100)?;
/// let pair = tickets.acquire(2)?;
/// // They are used up, and not given back.
/// pair.forget()?;
/// # Ok(())
/// # }
/// ```
#[must_use = "permits are given back when they are dropped, so those that are not used are given back at once"]
pub struct Permit {
    semaphore: Arc<Reference>,
    permits: u64,
    abandoned: Option<Abandonment>,
    /// The process that is to give them back; 0 as soon as there is nothing to give back.
    process: u32,
}

impl Permit {
    /// The permits of this semaphore that the manager granted, with the holder that left some of them behind.
    pub(crate) fn new(
        semaphore: &Arc<Reference>,
        permits: u64,
        abandoned: Option<protocol::Abandonment>,
    ) -> Permit {
        Permit {
            semaphore: Arc::clone(semaphore),
            permits,
            abandoned: abandoned.map(Abandonment::from),
            process: semaphore.process(),
        }
    }

    /// How many permits these are.
    pub fn permits(&self) -> u64 {
        self.permits
    }

    /// The holder that left some of these permits behind; none if they were all given back, or never taken. If several
    /// processes did, it is the first that ended.
    pub fn abandoned(&self) -> Option<&Abandonment> {
        self.abandoned.as_ref()
    }

    /// Gives the permits back, and returns when that is done. (Dropping does not wait for that.)
    ///
    /// # Errors
    /// [`is_over_release`](Error::is_over_release) if somebody gave permits back in this one's place.
    pub fn release(mut self) -> Result<()> {
        let process = std::mem::take(&mut self.process);
        check_here(process)?;
        self.semaphore.run(self.release_operation())
    }

    /// Lets the permits go without giving them back. Nobody is charged with them any more, and no death makes them
    /// available; [`Semaphore::release`](crate::Semaphore::release) can put others in their place.
    ///
    /// # Errors
    /// [`is_not_owner`](Error::is_not_owner) if this process does not hold them any more, as somebody gave permits back
    /// in this one's place, or if this is a process that was forked off;
    /// [`is_no_such_object`](Error::is_no_such_object) if the semaphore was removed.
    pub fn forget(mut self) -> Result<()> {
        let process = std::mem::take(&mut self.process);
        check_here(process)?;
        self.semaphore.run(SemaphoreForget { id: self.semaphore.id(), permits: self.permits })
    }

    /// The semaphore.
    pub(crate) fn semaphore(&self) -> &Reference {
        &self.semaphore
    }

    /// Makes this give back nothing when it is dropped.
    pub(crate) fn disarm(&mut self) {
        self.process = 0;
    }

    /// Refuses what a forked child would do with the permits of its parent.
    pub(crate) fn check_held(&self) -> Result<()> {
        check_here(self.process)
    }

    /// The release, as a wait does it before it begins.
    pub(crate) fn release_signal(&self) -> Signal<'static> {
        Signal::SemaphoreRelease { id: self.semaphore.id(), permits: self.permits }
    }

    fn release_operation(&self) -> SemaphoreRelease {
        SemaphoreRelease { id: self.semaphore.id(), permits: self.permits }
    }
}

/// Refuses what a forked child would do with the permits of its parent.
fn check_here(process: u32) -> Result<()> {
    if process == std::process::id() {
        return Ok(());
    }
    Err(Error::new(ErrorKind::NotOwner, "these permits belong to the process that this one was forked from"))
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.semaphore.give_back(self.process, self.release_operation().into_request());
    }
}

impl fmt::Debug for Permit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = formatter.debug_struct("Permit");
        debug.field("semaphore", &self.semaphore.id().0).field("permits", &self.permits);
        debug.field("abandoned", &self.abandoned).finish_non_exhaustive()
    }
}
