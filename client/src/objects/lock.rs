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
/// [`LockGuard::abandoned`], as with POSIX's robust mutexes and NT's abandoned ones. Without a taker it stays marked
/// until somebody takes or [`release`](Self::release)s it. When a process that waits dies, its wait vanishes; if the
/// lock was already granted to it, the lock is abandoned as well. When the manager dies, every call fails at once
/// ([`is_manager_gone`](crate::Error::is_manager_gone)).
///
/// **Deadlock.** A wait without a timeout that would never end, because the holder waits for this thread in turn, fails
/// at once ([`is_deadlock`](crate::Error::is_deadlock)). That includes a second `acquire` by the thread that holds the
/// lock; [`RLock`] is for that.
///
/// Unlike Python's `multiprocessing.Lock`, a lock belongs to the thread that acquired it, and nobody else can release
/// it by mistake. A clone is the same lock, and so is a proxy that was serialized and deserialized, in any process of
/// this user.
///
/// ```no_run
/// # use client as rallypoint;
/// # fn main() -> rallypoint::Result<()> {
/// let manager = rallypoint::Manager::connect()?;
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

/// A lock that its holder may acquire again. This is a proxy: the lock itself is in the manager.
///
/// It is free once its holder has released it as often as it acquired it. All else is as with [`Lock`]: first come,
/// first served (except for the holder, which does not wait); a holder that dies abandons it, and the next taker gets
/// it at once, however often the holder had acquired it; a wait that would never end fails.
///
/// As in Python, and as with POSIX's recursive mutexes, the holder is a thread: it can acquire the lock again, and
/// another thread of the same process waits.
///
/// ```no_run
/// # use client as rallypoint;
/// # fn main() -> rallypoint::Result<()> {
/// let manager = rallypoint::Manager::connect()?;
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
            ///
            /// [`is_deadlock`](crate::Error::is_deadlock) if it would wait forever; the text names the whole cycle;
            /// [`is_removed`](crate::Error::is_removed) if the lock is removed meanwhile.
            pub fn acquire(&self) -> Result<LockGuard> {
                LockGuard::acquire(&self.reference)
            }

            /// Acquires the lock if this needs no waiting; none otherwise.
            ///
            /// # Errors
            ///
            /// As with [`acquire_timeout`](Self::acquire_timeout).
            pub fn try_acquire(&self) -> Result<Option<LockGuard>> {
                self.acquire_timeout(Duration::ZERO)
            }

            /// Acquires the lock. None if the timeout ends first, by the manager's monotonic clock.
            ///
            /// # Errors
            ///
            /// [`is_removed`](crate::Error::is_removed) if the lock is removed meanwhile. A deadlock is not an error,
            /// since the timeout ends it.
            pub fn acquire_timeout(&self, timeout: Duration) -> Result<Option<LockGuard>> {
                LockGuard::acquire_within(&self.reference, Some(timeout))
            }

            /// Releases once a lock that the calling thread holds without a guard, after [`LockGuard::keep`]. Do not
            /// use this for a lock that has a guard: the guard releases it.
            ///
            /// If the lock is abandoned and nobody holds it, any caller clears that: the next taker does not learn of
            /// it. So a process may acquire a lock and end, and another may release it, as in Python.
            ///
            /// # Errors
            ///
            /// [`is_not_owner`](crate::Error::is_not_owner) if another thread holds the lock, which the text names, or
            /// nobody does.
            pub fn release(&self) -> Result<()> {
                let (id, thread) = (self.id(), this_thread());
                self.reference.run(LockRelease { id, holding: None, thread })
            }

            /// Takes the lock from its holder, for an operator who knows that the holder is stuck. The next taker
            /// learns of it, as after a death. The holder does not, until it releases the lock, which fails; its token
            /// is smaller than the next one.
            ///
            /// # Errors
            ///
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
    ///
    /// As with [`OpenOptions::open_or_create`].
    pub fn lock(&self, name: &str) -> Result<Lock> {
        self.lock_options().open_or_create(name)
    }

    /// A new lock without a name, which lives as long as there are proxies or guards of it.
    pub fn anonymous_lock(&self) -> Result<Lock> {
        self.lock_options().anonymous()
    }

    /// Options to open or make a lock in any other way.
    pub fn lock_options(&self) -> OpenOptions<'_, Lock> {
        OpenOptions::new(self, Spec::Lock)
    }

    /// The reentrant lock of this name, made now if there is none.
    ///
    /// # Errors
    ///
    /// As with [`OpenOptions::open_or_create`].
    pub fn rlock(&self, name: &str) -> Result<RLock> {
        self.rlock_options().open_or_create(name)
    }

    /// A new reentrant lock without a name, which lives as long as there are proxies or guards of it.
    pub fn anonymous_rlock(&self) -> Result<RLock> {
        self.rlock_options().anonymous()
    }

    /// Options to open or make a reentrant lock in any other way.
    pub fn rlock_options(&self) -> OpenOptions<'_, RLock> {
        OpenOptions::new(self, Spec::RLock)
    }
}
