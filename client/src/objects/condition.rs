//! The condition: a place to wait, under a lock, until somebody who holds the lock notifies.

use std::fmt;
use std::iter::once;
use std::sync::Arc;
use std::time::{Duration, Instant};

use client_core::operations::{
    ConditionLock, ConditionNotify, ConditionTarget, LockOfCondition, Wait, WaitEnd,
};
use client_core::{Unexpected, WaitTarget};
use protocol::{Kind, LockChoice, ObjectId, Spec, Targets, WaitMode};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;

use crate::objects::reference::{Proxy, Reference};
use crate::objects::wait::common_link;
use crate::process::thread::this_thread;
use crate::{
    Error, ErrorKind, Lock, LockGuard, Manager, OpenOptions, RLock, Result, Taken, Waitable, duration,
};

/// A place to wait, under a lock, until somebody who holds the lock notifies. This is a proxy: the condition itself is
/// in the manager.
///
/// A condition has a lock: a reentrant one of its own, as in Python, or one that [`OpenOptions`] name. A waiter holds
/// the lock. It gives the lock up and joins the wait queue in one step, so that it misses no notification in between.
/// When the wait returns, it holds the lock again, as often as before.
///
/// **No spurious wake-ups.** Unlike POSIX's and C++'s, a wait never returns without a notification or its timeout.
/// Other threads may still have held the lock in between, so the caller has to check again whether what it waits for is
/// true, as [`wait_for`](Self::wait_for) does.
///
/// **Fairness.** The longest waiters are notified first, and then join the wait queue of the lock like all others.
///
/// **Death.** A waiter that dies passes its notification on to the next, unless it was for all. A holder that dies
/// abandons the lock, and the next taker, even one that returns from a wait, learns of it by [`LockGuard::abandoned`].
/// When the manager dies, every call fails at once ([`is_manager_gone`](Error::is_manager_gone)).
///
/// A clone is the same condition. A proxy carries its lock with it when it is sent to another process.
///
/// ```no_run
/// # use client as rallypoint;
/// # fn main() -> rallypoint::Result<()> {
/// let manager = rallypoint::Manager::connect()?;
/// let stock = manager.condition("stock")?;
/// let filled = manager.event("filled")?;
///
/// // One process waits,
/// let mut guard = stock.acquire()?;
/// stock.wait_for(&mut guard, None, || filled.is_set())?;
/// drop(guard);
///
/// // and another notifies.
/// let guard = stock.acquire()?;
/// filled.set()?;
/// stock.notify_one()?;
/// drop(guard);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Condition {
    reference: Arc<Reference>,
    lock: Base,
}

/// The lock of a condition.
#[derive(Clone, Serialize, Deserialize)]
enum Base {
    Lock(Lock),
    RLock(RLock),
}

/// How a wait for a condition or something else ended.
#[derive(Debug)]
pub enum WokenBy {
    /// The condition was notified.
    Notified,
    /// The wait took another object: its position in the list of others, and what it took.
    Other(usize, Taken),
    /// Neither came in time.
    TimedOut,
}

impl Condition {
    /// Acquires the condition's lock, waiting as long as it takes.
    ///
    /// # Errors
    ///
    /// As with [`Lock::acquire`].
    pub fn acquire(&self) -> Result<LockGuard> {
        match &self.lock {
            Base::Lock(lock) => lock.acquire(),
            Base::RLock(lock) => lock.acquire(),
        }
    }

    /// Acquires the condition's lock if this needs no waiting; none otherwise.
    ///
    /// # Errors
    ///
    /// As with [`Lock::try_acquire`].
    pub fn try_acquire(&self) -> Result<Option<LockGuard>> {
        self.acquire_timeout(Duration::ZERO)
    }

    /// Acquires the condition's lock; none if the timeout ends first.
    ///
    /// # Errors
    ///
    /// As with [`Lock::acquire_timeout`].
    pub fn acquire_timeout(&self, timeout: Duration) -> Result<Option<LockGuard>> {
        match &self.lock {
            Base::Lock(lock) => lock.acquire_timeout(timeout),
            Base::RLock(lock) => lock.acquire_timeout(timeout),
        }
    }

    /// Gives the lock up, waits for a notification, and holds the lock again. False if the timeout ended first.
    ///
    /// The timeout is for the notification alone: in any case this then waits for the lock as long as it takes. With
    /// `None` it waits for the notification forever. The guard gets a new [`token`](LockGuard::token). A wait gives up
    /// a reentrant lock completely, however often the thread had acquired it, and then holds it again as often; the
    /// guards of the outer acquisitions still release their part, and keep their old token.
    ///
    /// # Errors
    ///
    /// [`is_not_owner`](Error::is_not_owner) if the guard is of another lock or another thread, which then keeps it, or
    /// if [`force_release`](Lock::force_release) took the lock away from it; [`is_removed`](Error::is_removed) if the
    /// condition or its lock is removed meanwhile. After any error but the first the guard does not hold the lock, and
    /// [`LockGuard::is_held`] says so.
    pub fn wait(&self, guard: &mut LockGuard, timeout: impl Into<Option<Duration>>) -> Result<bool> {
        match self.wait_or(guard, &[], timeout)? {
            WokenBy::Notified => Ok(true),
            WokenBy::TimedOut => Ok(false),
            WokenBy::Other(..) => Err(Unexpected::Objects.into()),
        }
    }

    /// Waits until the predicate is true. Calls it with the lock held: first at once, and then after each notification.
    /// Returns its last value, which is false only if the timeout has ended.
    ///
    /// This is Python's `wait_for`, and the `wait` with a predicate of C++. The timeout is for all waits together. Even
    /// with a timeout of zero it waits once and then calls the predicate again, so that others can have the lock in
    /// between.
    ///
    /// # Errors
    ///
    /// Those of [`wait`](Self::wait). An error of the predicate ends the wait, and is returned with the lock held.
    pub fn wait_for(
        &self,
        guard: &mut LockGuard,
        timeout: impl Into<Option<Duration>>,
        mut predicate: impl FnMut() -> Result<bool>,
    ) -> Result<bool> {
        let timeout = timeout.into();
        self.check_guard(guard)?;
        if predicate()? {
            return Ok(true);
        }
        let started = Instant::now();
        let mut left = timeout;
        loop {
            self.wait(guard, left)?;
            if predicate()? {
                return Ok(true);
            }
            left = timeout.map(|timeout| timeout.saturating_sub(started.elapsed()));
            if left == Some(Duration::ZERO) {
                return Ok(false);
            }
        }
    }

    /// Gives the lock up, waits for a notification or for one of the others, whichever comes first, and holds the lock
    /// again. For example: “wait for work, unless `stop` is set”.
    ///
    /// The others are as in [`wait_any`](crate::wait_any). If one of them is ready at once, this takes it without
    /// giving the lock up.
    ///
    /// # Errors
    ///
    /// As with [`wait`](Self::wait), and [`wait_any`](crate::wait_any). Locks cannot be among the others
    /// ([`is_bad_target`](Error::is_bad_target)).
    pub fn wait_or(
        &self,
        guard: &mut LockGuard,
        others: &[&dyn Waitable],
        timeout: impl Into<Option<Duration>>,
    ) -> Result<WokenBy> {
        self.check_guard(guard)?;
        let outcome = self.wait_with(guard, others, timeout.into());
        if outcome.is_err() {
            // A wait may be refused before it gives the lock up, or after. The caller is to know what it has.
            guard.give_back();
        }
        outcome
    }

    fn wait_with(
        &self,
        guard: &mut LockGuard,
        others: &[&dyn Waitable],
        timeout: Option<Duration>,
    ) -> Result<WokenBy> {
        let references = others.iter().map(|other| other.reference());
        let link = common_link(once(&*self.reference).chain(references))?;
        let notification = ConditionTarget { id: self.reference.id(), holding: Some(guard.holding()) };
        let targets: Targets<'_> =
            once(notification.into_target()).chain(others.iter().map(|other| other.target())).collect();
        let timeout_ns = timeout.map(duration::nanoseconds);
        let (mode, thread) = (WaitMode::Any, this_thread());
        let wait = Wait { signal: None, mode, targets, timeout_ns, thread };
        let (end, ack_hold) = link.run_with_ack_hold(wait)?;
        let (taken, reacquired) = match end {
            WaitEnd::TimedOut { reacquired } => (None, reacquired),
            WaitEnd::Taken(mut taken) => {
                (taken.grants.pop().map(|grant| (taken.index, grant)), taken.reacquired)
            }
        };
        if let Some(grant) = reacquired {
            guard.renew(grant);
        }
        match taken {
            None => Ok(WokenBy::TimedOut),
            Some((0, _)) => Ok(WokenBy::Notified),
            Some((index, grant)) => {
                let position = index as usize - 1;
                let other = others.get(position).ok_or(Unexpected::Objects)?;
                Ok(WokenBy::Other(position, other.receive(grant)?.with_ack_hold(ack_hold)))
            }
        }
    }

    /// Wakes the longest waiter. Returns how many it woke: one, or none if nobody waits.
    ///
    /// # Errors
    ///
    /// [`is_not_owner`](Error::is_not_owner) if the calling thread does not hold the lock, as in Python. The woken
    /// waiters go on when they have it.
    pub fn notify_one(&self) -> Result<usize> {
        self.notify(1)
    }

    /// Wakes the longest waiters, this many at most. Returns how many it woke.
    ///
    /// # Errors
    ///
    /// As with [`notify_one`](Self::notify_one).
    pub fn notify(&self, count: usize) -> Result<usize> {
        // There are never more waiters than that.
        self.notify_some(Some(u32::try_from(count).unwrap_or(u32::MAX)))
    }

    /// Wakes all waiters. Returns how many it woke.
    ///
    /// # Errors
    ///
    /// As with [`notify_one`](Self::notify_one).
    pub fn notify_all(&self) -> Result<usize> {
        self.notify_some(None)
    }

    fn notify_some(&self, count: Option<u32>) -> Result<usize> {
        self.reference.run(ConditionNotify { id: self.reference.id(), count, thread: this_thread() })
    }

    /// Removes the condition for everyone; a lock of its own is freed with the last guard. A waiter fails with
    /// [`is_removed`](Error::is_removed) and no longer holds the lock, and every later call on a proxy of the condition
    /// fails with [`is_no_such_object`](Error::is_no_such_object).
    pub fn remove(&self) -> Result<()> {
        self.reference.remove()
    }

    /// The object itself, for the rest of the product.
    #[doc(hidden)]
    pub fn reference(&self) -> &Reference {
        &self.reference
    }

    /// Refuses a guard that the calling thread cannot wait with.
    fn check_guard(&self, guard: &LockGuard) -> Result<()> {
        let lock = self.lock.reference().id();
        let text = if guard.lock().id() != lock {
            format!("{self:?} is over lock {lock}, and this guard holds lock {}", guard.lock().id())
        } else if !guard.is_held() {
            format!("{self:?} needs its lock held, and this guard holds nothing")
        } else if guard.thread() != this_thread() {
            format!(
                "only the thread that holds the lock of {self:?} can wait for it, and this is another thread"
            )
        } else {
            return Ok(());
        };
        Err(Error::new(ErrorKind::NotOwner, text))
    }
}

impl Base {
    fn reference(&self) -> &Reference {
        match self {
            Base::Lock(lock) => lock.reference(),
            Base::RLock(lock) => lock.reference(),
        }
    }
}

impl Proxy for Condition {
    const KIND: Kind = Kind::Condition;

    fn from_reference(reference: Reference) -> Result<Condition> {
        let LockOfCondition { id, is_reentrant } = reference.run(ConditionLock { id: reference.id() })?;
        let kind = if is_reentrant { Kind::RLock } else { Kind::Lock };
        let lock = Reference::attach(Arc::clone(reference.link()?), id, kind)?;
        let lock = match lock.kind() {
            Kind::RLock => Base::RLock(RLock::from_reference(lock)?),
            _ => Base::Lock(Lock::from_reference(lock)?),
        };
        Ok(Condition { reference: Arc::new(reference), lock })
    }
}

/// A condition on its way, without its lock.
struct Arrived(Reference);

impl<'de> Deserialize<'de> for Arrived {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Arrived, D::Error> {
        Reference::deserialize(Kind::Condition, deserializer).map(Arrived)
    }
}

impl Serialize for Condition {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        (&*self.reference, &self.lock).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Condition {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Condition, D::Error> {
        let (Arrived(reference), lock) = Deserialize::deserialize(deserializer)?;
        Ok(Condition { reference: Arc::new(reference), lock })
    }
}

impl fmt::Debug for Condition {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Condition({})", self.reference.id().0)
    }
}

impl OpenOptions<'_, Condition> {
    /// Makes the condition over this lock, which other uses share. The condition ends with the lock.
    pub fn over_lock(self, lock: &Lock) -> Self {
        self.over(LockChoice::Given { id: lock.reference().id() })
    }

    /// Makes the condition over this reentrant lock, which other uses share. The condition ends with the lock.
    pub fn over_rlock(self, lock: &RLock) -> Self {
        self.over(LockChoice::Given { id: lock.reference().id() })
    }

    /// Gives the condition a lock of its own that is not reentrant. By default it has a reentrant one.
    pub fn with_plain_lock(self) -> Self {
        self.over(own_lock(false))
    }

    fn over(mut self, over: LockChoice) -> Self {
        self.spec = Spec::Condition { over };
        self
    }
}

fn own_lock(is_reentrant: bool) -> LockChoice {
    LockChoice::Own { id: ObjectId(Uuid::new_v4()), is_reentrant }
}

/// Conditions.
impl Manager {
    /// The condition of this name, made now if there is none: with a reentrant lock of its own.
    ///
    /// # Errors
    ///
    /// As with [`OpenOptions::open_or_create`].
    pub fn condition(&self, name: &str) -> Result<Condition> {
        self.condition_options().open_or_create(name)
    }

    /// A new condition without a name, with a reentrant lock of its own. It lives as long as there are proxies of it.
    pub fn anonymous_condition(&self) -> Result<Condition> {
        self.condition_options().anonymous()
    }

    /// Options to open or make a condition in any other way.
    pub fn condition_options(&self) -> OpenOptions<'_, Condition> {
        OpenOptions::new(self, Spec::Condition { over: own_lock(true) })
    }
}
