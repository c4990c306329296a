//! Permits of a semaphore: their owner holds them, and dropping them releases them.

use std::fmt;
use std::sync::Arc;

use client_core::Operation;
use client_core::operations::{SemaphoreForget, SemaphoreRelease};

use crate::objects::reference::Reference;
use crate::{Abandonment, Error, ErrorKind, Result};

/// Permits of a [`Semaphore`](crate::Semaphore) that this process holds. Dropping this releases them, and does not wait
/// for an answer.
///
/// Permits belong to the process, so any thread may drop them. In a forked child, the parent's permits do nothing.
///
/// ```no_run
/// # use client as rallypoint;
/// # fn main() -> rallypoint::Result<()> {
/// let manager = rallypoint::Manager::connect()?;
/// let tickets = manager.semaphore("tickets", 100)?;
/// let pair = tickets.acquire(2)?;
/// // They are used up, so they do not come back.
/// pair.forget()?;
/// # Ok(())
/// # }
/// ```
#[must_use = "permits are released when they are dropped, so those that are not used are released at once"]
pub struct Permit {
    semaphore: Arc<Reference>,
    permits: u64,
    abandoned: Option<Abandonment>,
    /// The process that has to release them; 0 once there is nothing to release.
    process: u32,
}

impl Permit {
    /// The permits that the manager granted, with the holder that abandoned some of them.
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

    /// The holder that abandoned some of these permits; none if all of them were released, or never taken. If several
    /// processes did, it is the first that ended.
    pub fn abandoned(&self) -> Option<&Abandonment> {
        self.abandoned.as_ref()
    }

    /// Releases the permits, and returns when the manager has done so. (Dropping does not wait for that.)
    ///
    /// # Errors
    ///
    /// [`is_over_release`](Error::is_over_release) if another caller has released as many in its place.
    pub fn release(mut self) -> Result<()> {
        let process = std::mem::take(&mut self.process);
        check_here(process)?;
        self.semaphore.run(self.release_operation())
    }

    /// Gives the permits up without releasing them. They are charged to nobody any more, and no death makes them
    /// available; [`Semaphore::release`](crate::Semaphore::release) can put others in their place.
    ///
    /// # Errors
    ///
    /// [`is_not_owner`](Error::is_not_owner) if this process no longer holds them, because another caller has released
    /// as many in its place, or if this is a forked child; [`is_no_such_object`](Error::is_no_such_object) if the
    /// semaphore was removed.
    pub fn forget(mut self) -> Result<()> {
        let process = std::mem::take(&mut self.process);
        check_here(process)?;
        self.semaphore.run(SemaphoreForget { id: self.semaphore.id(), permits: self.permits })
    }

    /// The semaphore.
    pub(crate) fn semaphore(&self) -> &Reference {
        &self.semaphore
    }

    /// Makes this release nothing when it is dropped.
    pub(crate) fn disarm(&mut self) {
        self.process = 0;
    }

    /// Refuses what a forked child would do with the permits of its parent.
    pub(crate) fn check_held(&self) -> Result<()> {
        check_here(self.process)
    }

    /// The operation that releases them.
    pub(crate) fn release_operation(&self) -> SemaphoreRelease {
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
