//! Locks and reentrant locks: one thread of one process holds them at a time.

use std::sync::Arc;
use std::time::Duration;

use client_core::WaitTarget;
use client_core::operations::{LockForceRelease, LockRelease, LockTarget};
use protocol::{Grant, Kind, Spec, Target};

use crate::objects::guard;
use crate::objects::proxy::proxy;
use crate::objects::reference::Reference;
use crate::objects::waitable::SealedWaitable;
use crate::process::thread::this_thread;
use crate::{LockGuard, Manager, OpenOptions, Result, Taken};

/// A lock that one thread of one process holds at a time. This is a proxy: the lock itself is in the manager.
///
/// **Fairness.** First come, first served: nobody overtakes a waiter.
///
/// **Death.** When a process ends while it holds the lock, the next taker gets it at once and learns of it by
/// [`LockGuard::abandoned`], as with POSIX's robust mutexes and NT's abandoned ones. With no taker it stays marked
/// until somebody takes or [`release`](Self::release)s it. When a process that waits dies, its wait vanishes; a grant
/// that was on its way to it is such an abandoned lock. When the manager dies, every call fails at once
/// ([`is_manager_gone`](crate::Error::is_manager_gone)).
///
/// **Deadlock.** A wait without a timeout that would never end, since the holder waits for this thread in turn, fails
/// at once ([`is_deadlock`](crate::Error::is_deadlock)). That includes a second `acquire` by the thread that holds the
/// lock; [`RLock`] is for that.
///
/// Unlike Python's `multiprocessing.Lock`, it belongs to the thread that acquired it, and nobody else can release it by
/// mistake. A clone is the same lock, and so is a proxy that was serialized and deserialized, in any process of this
/// user.
///
/// ```no_run
/// # fn main() -> client::Result<()> {
/// let manager = client::Manager::connect()?;
/// let lock = manager.lock("deploy")?;
/// let guard = lock.acquire()?;
/// if let Some(abandonment) = guard.abandoned() {
///     eprintln!("the last deployment may be half done: {abandonment}");
/// }
/// drop(guard);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Lock {
    reference: Arc<Reference>,
}

/// A lock that the thread that holds it may acquire again. This is a proxy: the lock itself is in the manager.
///
/// It is free when it was given back as often as it was acquired. All else is as with [`Lock`]: first come, first
/// served (except its holder, which does not wait); a dead holder leaves it behind and the next taker learns of it,
/// however often it had been acquired; a wait that would never end fails.
///
/// As in Python, and as with POSIX's recursive mutexes, it is the thread that counts: a thread of a process gets a
/// reentrant lock again that it holds, another thread of that process waits.
///
/// ```no_run
/// # fn main() -> client::Result<()> {
/// let manager = client::Manager::connect()?;
/// let lock = manager.rlock("accounts")?;
/// let outer = lock.acquire()?;
/// let inner = lock.acquire()?;
/// assert_eq!((outer.depth(), inner.depth()), (1, 2));
/// assert_eq!(outer.token(), inner.token());
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct RLock {
    reference: Arc<Reference>,
}

macro_rules! lock {
    ($lock:ident) => {
        impl $lock {
            /// Acquires the lock, waiting as long as it takes.
            ///
            /// # Errors
            /// [`is_deadlock`](crate::Error::is_deadlock) if that would be forever, with the whole cycle in the text;
            /// [`is_removed`](crate::Error::is_removed) if the lock is removed meanwhile.
            pub fn acquire(&self) -> Result<LockGuard> {
                LockGuard::acquire(&self.reference)
            }

            /// Acquires the lock if it can be had at once. None if another holds it, or others wait for it.
            pub fn try_acquire(&self) -> Result<Option<LockGuard>> {
                self.acquire_timeout(Duration::ZERO)
            }

            /// Acquires the lock. None if the timeout ends first, which the manager's monotonic clock tells.
            ///
            /// # Errors
            /// [`is_removed`](crate::Error::is_removed) if the lock is removed meanwhile. A deadlock is none, as the
            /// timeout ends it.
            pub fn acquire_timeout(&self, timeout: Duration) -> Result<Option<LockGuard>> {
                LockGuard::acquire_within(&self.reference, Some(timeout))
            }

            /// Gives back once what the calling thread holds without a guard, after [`LockGuard::keep`]. A guard gives
            /// back by itself, so this is not for what one holds.
            ///
            /// If nobody holds the lock and it was left behind, this clears that, whoever calls: the next taker
            /// does not learn of it. So a process may acquire and end, and another release for it, as in Python.
            ///
            /// # Errors
            /// [`is_not_owner`](crate::Error::is_not_owner) if another thread holds the lock, or nobody does; the text
            /// says who.
            pub fn release(&self) -> Result<()> {
                let (id, thread) = (self.id(), this_thread());
                self.reference.run(LockRelease { id, hold: None, thread })
            }

            /// Takes the lock from whoever holds it, for an operator who knows that the holder is stuck. The next
            /// taker learns of it, as after a death. The holder does not: what it sends to release the lock is
            /// refused, and its token is smaller than the next one.
            ///
            /// # Errors
            /// [`is_not_owner`](crate::Error::is_not_owner) if nobody holds it.
            pub fn force_release(&self) -> Result<()> {
                self.reference.run(LockForceRelease { id: self.id() })
            }

            /// The object itself, for the rest of the product.
            #[doc(hidden)]
            pub fn reference(&self) -> &Reference {
                &self.reference
            }
        }

        impl SealedWaitable for $lock {
            fn reference(&self) -> &Reference {
                &self.reference
            }

            fn target(&self) -> Target<'_> {
                guard::target(&self.reference).into_target()
            }

            fn receive(&self, grant: Grant) -> Result<Taken> {
                let grant = LockTarget::granted(grant)?;
                Ok(Taken::Lock(LockGuard::new(&self.reference, grant)))
            }
        }
    };
}

proxy!(Lock, Kind::Lock);
lock!(Lock);
proxy!(RLock, Kind::RLock);
lock!(RLock);

/// Locks.
impl Manager {
    /// The lock of this name, made now if there is none.
    ///
    /// # Errors
    /// As with [`OpenOptions::open_or_create`].
    pub fn lock(&self, name: &str) -> Result<Lock> {
        self.lock_options().open_or_create(name)
    }

    /// A new lock without a name, which lives as long as there are proxies or guards of it.
    pub fn anonymous_lock(&self) -> Result<Lock> {
        self.lock_options().anonymous()
    }

    /// All other ways to open or make a lock.
    pub fn lock_options(&self) -> OpenOptions<'_, Lock> {
        OpenOptions::new(self, Spec::Lock)
    }

    /// The reentrant lock of this name, made now if there is none.
    ///
    /// # Errors
    /// As with [`OpenOptions::open_or_create`].
    pub fn rlock(&self, name: &str) -> Result<RLock> {
        self.rlock_options().open_or_create(name)
    }

    /// A new reentrant lock without a name, which lives as long as there are proxies or guards of it.
    pub fn anonymous_rlock(&self) -> Result<RLock> {
        self.rlock_options().anonymous()
    }

    /// All other ways to open or make a reentrant lock.
    pub fn rlock_options(&self) -> OpenOptions<'_, RLock> {
        OpenOptions::new(self, Spec::RLock)
    }
}
