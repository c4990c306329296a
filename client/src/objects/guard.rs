//! The guard of a lock: its owner holds the lock, and dropping it releases the lock.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use client_core::operations::{LockRelease, LockTarget};
use client_core::{DeferredRelease, Operation};
use protocol::{Kind, LockGrant, ThreadId};

use crate::objects::reference::{Reference, without_timeout};
use crate::process::thread::this_thread;
use crate::{Abandonment, Error, ErrorKind, Result};

/// A [`Lock`](crate::Lock) or [`RLock`](crate::RLock) that this thread holds. Dropping the guard releases the lock.
///
/// Dropping does not wait for an answer. While nobody wants the lock, it does not even wake the manager, which learns
/// of the release with the next request of this process, or looks for it as soon as somebody wants the lock. In any
/// case the release comes before the next request of this process. In a forked child, the parent's guards do nothing:
/// the parent holds the lock.
///
/// The holder is the thread that acquired the lock. Another thread can drop or release the guard, but only the thread
/// that acquired the lock can wait for a condition with it, and deadlocks are found for that thread. So if a thread
/// hands its guard to another thread, which will drop it, and then acquires the lock again, that fails as a deadlock,
/// though the wait would have ended. Let the other thread acquire the lock instead.
///
/// A guard releases what it holds, and nothing else. If [`force_release`](crate::Lock::force_release) has taken the
/// lock away, dropping the guard does nothing, even if the same thread has acquired the lock again.
///
/// **Death.** When the process ends without dropping the guard, in whatever way, the next taker gets the lock at once
/// and learns of it by [`abandoned`](Self::abandoned). When the manager dies, the lock is gone with it, and the holder
/// gets no notice; an outside resource that must know compares [`token`](Self::token)s.
///
/// ```no_run
/// # use client as rallypoint;
/// # fn write(_token: u64, _line: &str) {}
/// # fn main() -> rallypoint::Result<()> {
/// let manager = rallypoint::Manager::connect()?;
/// let guard = manager.lock("ledger")?.acquire()?;
/// write(guard.token(), "a store that refuses tokens smaller than the last");
/// guard.release()?;
/// # Ok(())
/// # }
/// ```
#[must_use = "a guard releases its lock when it is dropped, so one that is not used releases it at once"]
pub struct LockGuard {
    lock: Arc<Reference>,
    /// The number of the holding, so that the guard releases no later one in its place.
    holding: u64,
    token: u64,
    depth: u32,
    abandoned: Option<Abandonment>,
    /// The thread that acquired the lock.
    thread: ThreadId,
    /// The process that has to release it; 0 once there is nothing to release.
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
        let LockGrant { holding, token, depth, abandoned } = grant;
        LockGuard {
            lock: Arc::clone(lock),
            holding,
            token,
            depth,
            abandoned: abandoned.map(Abandonment::from),
            thread: this_thread(),
            process: lock.process(),
        }
    }

    /// The fencing token: a number that grows with every taking of any lock of this manager.
    ///
    /// An outside resource, such as a file server, that gets the token with each order and refuses a smaller one than
    /// the largest it has seen, is safe from a holder that was suspended and has lost the lock without noticing.
    /// Acquiring a reentrant lock once more keeps the token; a wait for a condition changes it. Then only the guard
    /// that waited has the new token: the outer guards of the same reentrant lock still have the old one, which such a
    /// resource may refuse. So send the token of the innermost guard.
    pub fn token(&self) -> u64 {
        self.token
    }

    /// How often the thread had acquired the lock, this time included: always 1 for a lock that is not reentrant.
    pub fn depth(&self) -> u32 {
        self.depth
    }

    /// The holder that abandoned the lock before this guard took it; none if the last holder released it.
    pub fn abandoned(&self) -> Option<&Abandonment> {
        self.abandoned.as_ref()
    }

    /// Whether this guard holds its lock. It does not after a failed wait for a condition, nor in a forked child.
    pub fn is_held(&self) -> bool {
        self.process == std::process::id()
    }

    /// Releases the lock, and returns when the manager has done so. (Dropping does not wait for that.)
    ///
    /// # Errors
    ///
    /// [`is_not_owner`](Error::is_not_owner) if [`force_release`](crate::Lock::force_release) has taken the lock away;
    /// the text says who holds it.
    pub fn release(mut self) -> Result<()> {
        self.check_held()?;
        self.disarm();
        self.lock.run(self.release_operation())
    }

    /// Ends this guard and keeps the lock. From then on, the thread that acquired it can release it by
    /// [`Lock::release`](crate::Lock::release) or [`RLock::release`](crate::RLock::release).
    ///
    /// A process that keeps a lock and ends abandons it, and any process can clear that by `release`.
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
    pub(crate) fn holding(&self) -> u64 {
        self.holding
    }

    /// Notes that the wait gave the lock up and holds it again.
    pub(crate) fn renew(&mut self, grant: LockGrant) {
        self.holding = grant.holding;
        self.token = grant.token;
        self.depth = grant.depth;
        self.abandoned = grant.abandoned.map(Abandonment::from);
    }

    /// Releases the lock, if this holds it, and does not wait for an answer.
    pub(crate) fn give_back(&mut self) {
        let process = std::mem::take(&mut self.process);
        // To find deadlocks, the manager assumes that a waiting thread has reported its releases. So it has, since the
        // report precedes its next request; but a release by another thread must be reported at once.
        if self.thread == this_thread() {
            let release =
                DeferredRelease { lock: self.lock.id(), holding: self.holding, thread: self.thread };
            self.lock.give_back_lock(process, release);
        } else {
            self.lock.give_back(process, self.release_operation().into_request());
        }
    }

    /// Makes this release nothing when it is dropped.
    pub(crate) fn disarm(&mut self) {
        self.process = 0;
    }

    /// Fails if this guard holds no lock.
    pub(crate) fn check_held(&self) -> Result<()> {
        if self.is_held() {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::NotOwner,
            "this guard holds nothing: its lock was given up, or belongs to the parent process",
        ))
    }

    /// The operation that releases what this holds.
    pub(crate) fn release_operation(&self) -> LockRelease {
        LockRelease { id: self.lock.id(), holding: Some(self.holding), thread: self.thread }
    }
}

/// The target of a wait for a lock of either kind.
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
