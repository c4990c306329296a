//! Conditions: a place to wait, under a lock, until the holder of the lock notifies.
//!
//! A wait gives up the lock and joins the wait queue in one step, so no notification falls between the two. A notified
//! waiter goes to the end of the lock's wait queue, and gets its answer when it holds the lock again, as often as
//! before. It never gets one without a notification, another target, or its deadline: there are no spurious wake-ups. A
//! notified waiter that dies passes its notification on. Notifying needs the lock, as in Python.

use alloc::boxed::Box;
use alloc::format;

use protocol::limits::CONDITIONS_PER_LOCK_MAX;
use protocol::{Code, Grant, Kind, LockChoice, Name, ObjectId, ObjectState, Refusal, Reply, Spec};
use serde::{Deserialize, Serialize};
use smallvec::{SmallVec, smallvec};

use crate::State;
use crate::objects::lock::Lock;
use crate::objects::object_body::ObjectBody;
use crate::objects::{Body, Unconfirmed, Want};
use crate::store::catalog::{Object, Pin};
use crate::store::lifetime::ObjectEnd;
use crate::store::memory::UNCONFIRMED_BYTES;
use crate::store::slab::Key;
use crate::waiting::wait::{Caller, Decision, Readiness, Relock, Waiter};
use crate::work::LongWork;

/// A condition.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Condition {
    /// The lock, of either kind.
    lock: Key,
    /// Keeps the lock alive.
    pin: Pin,
    /// Whether the lock was made with this.
    is_own: bool,
    /// While the waiters are notified in slices: the number of the last that had come when the notification did.
    decided_upto: u64,
}

/// A notification of more waiters than one input may wake.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Notifying {
    condition: Pin,
    lock: Key,
    /// How many are still to be woken.
    left: u64,
    passes_on: bool,
}

impl Notifying {
    /// Whether it wakes the waiters of this condition, or has them join the wait queue of this lock.
    pub(crate) fn concerns(&self, object: Key) -> bool {
        self.condition.0.key == object || self.joins(object)
    }

    /// Whether it has waiters join the wait queue of this lock.
    pub(crate) fn joins(&self, lock: Key) -> bool {
        self.lock == lock
    }
}

impl Condition {
    pub(crate) fn lock(&self) -> Key {
        self.lock
    }
}

impl ObjectBody for Condition {
    fn kind(&self) -> Kind {
        Kind::Condition
    }

    fn spec(&self, state: &State) -> Option<Spec> {
        Some(Spec::Condition { over: state.lock_choice(self) })
    }

    fn inspect(&self, state: &State, _: &Object) -> ObjectState {
        ObjectState::Condition { lock: state.catalog.at(self.lock).id }
    }

    /// A condition serves its waiters by a notification alone.
    fn may_be_used_up(&self) -> bool {
        false
    }

    fn readiness(&self, _: &Want, _: Caller) -> Readiness {
        Readiness::NotYet
    }

    fn decided_upto(&self) -> u64 {
        self.decided_upto
    }

    /// Passes on a notification whose receiver died.
    fn given_back(state: &mut State, key: Key, _: Unconfirmed) {
        state.memory.give_back(UNCONFIRMED_BYTES);
        state.notify_first(key, true);
    }

    fn destroyed(&mut self, state: &mut State, key: Key, _: &ObjectEnd) {
        state.condition_destroyed(key, self);
    }
}

impl State {
    /// Makes a condition, and its lock if it is to have one of its own.
    pub(crate) fn condition_make(
        &mut self,
        id: ObjectId,
        name: Option<Name>,
        over: LockChoice,
    ) -> Result<Key, Refusal> {
        let (lock, is_own) = match over {
            LockChoice::Given { id } => {
                let lock = self.find_lock(id)?;
                self.check_conditions_over(lock)?;
                (lock, false)
            }
            LockChoice::Own { id: own, .. } if own == id => {
                return Err(Refusal::new(Code::BadArgument, "a condition and its lock have different ids"));
            }
            LockChoice::Own { id, is_reentrant } => {
                (self.create(id, None, Body::Lock(Box::new(Lock::new(is_reentrant))))?, true)
            }
        };
        let pin = self.pin_at(lock);
        match self.create(
            id,
            name,
            Body::Condition(Box::new(Condition { lock, pin, is_own, decided_upto: 0 })),
        ) {
            Ok(key) => {
                self.lock_at(lock).conditions.insert(key);
                Ok(key)
            }
            Err(refusal) => {
                self.unpin(pin);
                Err(refusal)
            }
        }
    }

    /// Refuses one more condition over a lock that has as many as it may. They end with it in one step.
    fn check_conditions_over(&mut self, lock: Key) -> Result<(), Refusal> {
        if self.lock_at(lock).conditions.len() >= CONDITIONS_PER_LOCK_MAX {
            let text = format!(
                "{} has {CONDITIONS_PER_LOCK_MAX} conditions over it, which is the limit",
                self.describe(lock)
            );
            return Err(Refusal::new(Code::LimitReached, text));
        }
        Ok(())
    }

    fn lock_choice(&self, condition: &Condition) -> LockChoice {
        let lock = self.catalog.at(condition.lock);
        match condition.is_own {
            true => LockChoice::Own { id: lock.id, is_reentrant: lock.body.kind() == Kind::RLock },
            false => LockChoice::Given { id: lock.id },
        }
    }

    /// Refuses a request that needs the lock of a condition, if the caller does not hold it in the holding that it
    /// named.
    pub(crate) fn check_condition(
        &self,
        caller: Caller,
        key: Key,
        holding: Option<u64>,
    ) -> Result<(), Refusal> {
        let lock = self.condition_at(key).lock;
        if matches!(&self.catalog.at(lock).body, Body::Lock(lock) if lock.is_held_in(caller, holding)) {
            return Ok(());
        }
        let refusal = self.not_owner(lock, holding);
        Err(Refusal::new(
            refusal.code,
            format!("{} needs its lock held: {}", self.describe(key), refusal.text),
        ))
    }

    /// Gives up the lock of the condition that a waiter is about to wait for, if there is one.
    pub(crate) fn give_up_lock(&mut self, waiter: &Waiter) -> Option<Relock> {
        let entry = waiter.targets.iter().find(|entry| matches!(entry.want, Want::Notification))?;
        let lock = self.condition_at(entry.object).lock;
        Some(self.lock_give_up(lock))
    }

    pub(crate) fn notify(
        &mut self,
        caller: Caller,
        id: ObjectId,
        count: Option<u32>,
        holding: Option<u64>,
    ) -> Result<Reply, Refusal> {
        let key = self.catalog.find(id, Kind::Condition)?;
        self.check_condition(caller, key, holding)?;
        let waiting = u64::from(self.catalog.at(key).wait_queue(&Want::Notification).len());
        let woken = count.map_or(waiting, |count| waiting.min(u64::from(count)));
        let left = self.notify_many(key, woken, count.is_some());
        if left > 0 {
            let condition = self.pin_at(key);
            let arrivals = self.arrivals;
            let Condition { lock, decided_upto, .. } = self.condition_at_mut(key);
            *decided_upto = arrivals;
            let notifying = Notifying { condition, lock: *lock, left, passes_on: count.is_some() };
            self.go_on_later(LongWork::Notify(Box::new(notifying)));
        }
        Ok(Reply::Count(woken))
    }

    /// Goes on with a notification, to the end or until this input is over.
    pub(crate) fn go_on_notifying(&mut self, mut notifying: Box<Notifying>) {
        let Some(key) = self.catalog.resolve(notifying.condition.0) else { return };
        notifying.left = self.notify_many(key, notifying.left, notifying.passes_on);
        if notifying.left > 0 {
            return self.go_on_later(LongWork::Notify(notifying));
        }
        self.condition_at_mut(key).decided_upto = 0;
        self.unpin(notifying.condition);
    }

    /// Wakes this many waiters, or as many as this input may. Returns how many are left.
    fn notify_many(&mut self, key: Key, mut left: u64, passes_on: bool) -> u64 {
        while left > 0 {
            if !self.notify_first(key, passes_on) {
                return 0;
            }
            left -= 1;
            if self.is_over() {
                break;
            }
        }
        left
    }

    /// Wakes the first waiter. Returns false if nobody waits. A notification that is not for all passes on if its
    /// receiver dies.
    fn notify_first(&mut self, key: Key, passes_on: bool) -> bool {
        let Some(position) = self.catalog.at(key).wait_queue(&Want::Notification).first() else {
            return false;
        };
        let index = position.target();
        let unconfirmed: SmallVec<[Unconfirmed; 1]> = match passes_on {
            true => {
                self.memory.charge(UNCONFIRMED_BYTES);
                smallvec![Unconfirmed::Notification(self.catalog.handle(key))]
            }
            false => SmallVec::new(),
        };
        let mut waiter = self.unpark(position.waiter);
        let grants = smallvec![Grant::Notified];
        self.conclude(&mut waiter, Decision::Taken { index, grants, unconfirmed });
        true
    }

    pub(crate) fn condition_lock(&self, id: ObjectId) -> Result<Reply, Refusal> {
        let key = self.catalog.find(id, Kind::Condition)?;
        let lock = self.catalog.at(self.condition_at(key).lock);
        Ok(Reply::Lock { id: lock.id, is_reentrant: lock.body.kind() == Kind::RLock })
    }

    fn condition_destroyed(&mut self, key: Key, condition: &Condition) {
        // The lock may have ended first, and this with it.
        if let Some(object) = self.catalog.get(condition.lock)
            && matches!(object.body, Body::Lock(_))
        {
            self.lock_at(condition.lock).conditions.remove(&key);
        }
        self.unpin(condition.pin);
    }

    fn condition_at_mut(&mut self, key: Key) -> &mut Condition {
        match &mut self.catalog.at_mut(key).body {
            Body::Condition(condition) => condition,
            _ => unreachable!("the kind was checked when the key was found"),
        }
    }

    fn condition_at(&self, key: Key) -> &Condition {
        match &self.catalog.at(key).body {
            Body::Condition(condition) => condition,
            _ => unreachable!("the kind was checked when the key was found"),
        }
    }
}
