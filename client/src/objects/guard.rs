//! The guard of a lock: its owner holds the lock, and dropping it gives the lock back.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use client_core::operations::{LockRelease, LockTarget};
use client_core::{DeferredRelease, Operation};
use protocol::{Kind, LockGrant, Signal, ThreadId};

use crate::objects::reference::{Reference, without_timeout};
use crate::process::thread::this_thread;
use crate::{Abandonment, Error, ErrorKind, Result};

/// A [`Lock`](crate::Lock) or [`RLock`](crate::RLock) that is held. Dropping it gives the lock back.
///
/// Dropping does not wait for an answer, and while nobody wants the lock it does not even wake the manager, which then
/// learns of it with the next request of this process, or by looking as soon as somebody wants the lock. What this
/// process asks for next is carried out after it all the same. In a process that was forked off, the parent's guards
/// do nothing: the parent holds the lock.
///
/// The holder is the thread that acquired the lock. A guard can be dropped or released by another thread, but
/// deadlocks are found, and conditions waited for, by the thread that acquired. So if a guard was handed to another
/// thread that will drop it, and the thread that acquired it acquires the lock again, that is refused as a deadlock,
/// though it would have ended. To hand over for good, [`keep`](Self::keep) the lock, or acquire it over there.
///
/// A guard gives back what it holds, and nothing else. If the lock was taken away by
/// [`force_release`](crate::Lock::force_release), dropping the guard does nothing, also when this very thread has
/// acquired the lock anew.
///
/// When the process ends without dropping it, however it ends, the next taker gets the lock at once and learns of it:
/// [`abandoned`](Self::abandoned). When the manager dies, the lock is gone with it, and nothing tells its holder; an
/// outside resource that must know is to compare [`token`](Self::token)s.
///
/// ```no_run
/// # fn write(_token: u64, _line: &str) {}
/// # fn main() -> client::Result<()> {
/// let manager = client::Manager::connect()?;
/// let guard = manager.lock("ledger")?.acquire()?;
/// write(guard.token(), "a store that refuses tokens smaller than the last");
/// guard.release()?;
/// # Ok(())
/// # }
/// ```
#[must_use = "a guard gives its lock back when it is dropped, so one that is not used gives it back at once"]
pub struct LockGuard {
    lock: Arc<Reference>,
    /// The holding, to give it back by: nothing of a later one is given back in its place.
    hold: u64,
    token: u64,
    depth: u32,
    abandoned: Option<Abandonment>,
    /// The thread that acquired the lock.
    thread: ThreadId,
    /// The process that is to give it back; 0 as soon as there is nothing to give back.
    process: u32,
}

impl LockGuard {
    /// Acquires a lock of either kind, waiting as long as it takes.
    pub(crate) fn acquire(lock: &Arc<Reference>) -> Result<LockGuard> {
        without_timeout(LockGuard::acquire_within(lock, None)?)
    }

    /// Acquires a lock of either kind. None if the timeout ends first.
    pub(crate) fn acquire_within(
        lock: &Arc<Reference>,
        timeout: Option<Duration>,
    ) -> Result<Option<LockGuard>> {
        lock.link()?.open_deferred_releases()?;
        let grant = lock.wait(target(lock), timeout)?;
        Ok(grant.map(|grant| LockGuard::new(lock, grant)))
    }

    /// The guard for what the manager granted to this thread.
    pub(crate) fn new(lock: &Arc<Reference>, grant: LockGrant) -> LockGuard {
        let LockGrant { hold, token, depth, abandoned } = grant;
        LockGuard {
            lock: Arc::clone(lock),
            hold,
            token,
            depth,
            abandoned: abandoned.map(Abandonment::from),
            thread: this_thread(),
            process: lock.process(),
        }
    }

    /// The fencing token: a number that grows with every taking of any lock of this manager.
    ///
    /// A resource outside, as a file server, that gets it with each order and refuses those with a smaller token than
    /// the largest it has seen, is safe from a holder that was paused and has lost the lock without noticing.
    /// Acquiring a reentrant lock once more keeps the token; a wait for a condition changes it. Only the guard that
    /// waited has the new one then: the outer guards of the same reentrant lock still tell the one they got, which
    /// such a resource may refuse. So send the token of the innermost guard.
    pub fn token(&self) -> u64 {
        self.token
    }

    /// How often the thread had acquired the lock, this time included: always 1 for a lock that is not reentrant.
    pub fn depth(&self) -> u32 {
        self.depth
    }

    /// The holder that left the lock behind which this took; none if its last holder gave it back.
    pub fn abandoned(&self) -> Option<&Abandonment> {
        self.abandoned.as_ref()
    }

    /// Whether this has something to give back. A wait for a condition that failed leaves a guard without, and so do
    /// guards that a process was forked off with.
    pub fn is_held(&self) -> bool {
        self.process == std::process::id()
    }

    /// Gives the lock back, and returns when that is done. (Dropping does not wait for that.)
    ///
    /// # Errors
    /// [`is_not_owner`](Error::is_not_owner) if the lock was taken away by
    /// [`force_release`](crate::Lock::force_release); the text says who holds it.
    pub fn release(mut self) -> Result<()> {
        self.check_held()?;
        self.disarm();
        self.lock.run(self.release_operation())
    }

    /// Ends this guard and keeps the lock. From then on it is the thread that acquired it that can give it back, by
    /// [`Lock::release`](crate::Lock::release) or [`RLock::release`](crate::RLock::release).
    ///
    /// A process that does so and ends leaves the lock behind, and any other clears that by `release`.
    pub fn keep(mut self) {
        self.disarm();
    }

    /// The lock.
    pub(crate) fn lock(&self) -> &Reference {
        &self.lock
    }

    /// The thread that acquired the lock.
    pub(crate) fn thread(&self) -> ThreadId {
        self.thread
    }

    /// The number of the holding.
    pub(crate) fn hold(&self) -> u64 {
        self.hold
    }

    /// Takes note that the lock was given up and is held again.
    pub(crate) fn renew(&mut self, grant: LockGrant) {
        self.hold = grant.hold;
        self.token = grant.token;
        self.depth = grant.depth;
        self.abandoned = grant.abandoned.map(Abandonment::from);
    }

    /// Gives the lock back, if this has it, and waits for no answer.
    pub(crate) fn give_back(&mut self) {
        let process = std::mem::take(&mut self.process);
        // To find deadlocks the manager assumes that a waiting thread has reported what it gave back. So it has, as
        // the report precedes its next request; but what another thread gives back for it must be reported at once.
        if self.thread == this_thread() {
            let release = DeferredRelease { lock: self.lock.id(), hold: self.hold, thread: self.thread };
            self.lock.give_back_lock(process, release);
        } else {
            self.lock.give_back(process, self.release_operation().into_request());
        }
    }

    /// Makes this give back nothing when it is dropped.
    pub(crate) fn disarm(&mut self) {
        self.process = 0;
    }

    /// Refuses what needs a lock to give back.
    pub(crate) fn check_held(&self) -> Result<()> {
        if self.is_held() {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::NotOwner,
            "this guard holds nothing: its lock was given up, or is its parent process's",
        ))
    }

    fn release_operation(&self) -> LockRelease {
        LockRelease { id: self.lock.id(), hold: Some(self.hold), thread: self.thread }
    }

    /// The release, as a wait does it before it begins.
    pub(crate) fn release_signal(&self) -> Signal<'static> {
        Signal::Release { id: self.lock.id(), hold: Some(self.hold) }
    }
}

/// What is wanted of a lock of either kind.
pub(crate) fn target(lock: &Reference) -> LockTarget {
    LockTarget { id: lock.id(), is_reentrant: lock.kind() == Kind::RLock }
}

impl Drop for LockGuard {
    fn drop(&mut self) {
        self.give_back();
    }
}

impl fmt::Debug for LockGuard {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let LockGuard { token, depth, abandoned, .. } = self;
        let mut debug = formatter.debug_struct("LockGuard");
        debug.field("lock", &self.lock.id().0).field("token", token).field("depth", depth);
        debug.field("abandoned", abandoned).finish_non_exhaustive()
    }
}
