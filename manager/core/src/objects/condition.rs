//! Conditions: a place to wait, under a lock, until the holder of the lock notifies.
//!
//! A wait gives up the lock and joins the wait queue in one step, so no notification falls between the two. A notified
//! waiter goes to the end of the lock's wait queue, and gets its answer when it holds the lock again, as often as
//! before. It never gets one without a notification, another target, or its deadline: there are no spurious wake-ups. A
//! notified waiter that dies passes its notification on. Notifying needs the lock, as in Python.

use alloc::boxed::Box;
use alloc::format;

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

/// A condition.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Condition {
    /// The lock, of either kind.
    lock: Key,
    /// Keeps the lock alive.
    pin: Pin,
    /// Whether the lock was made with this.
    is_own: bool,
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
    fn readiness(&self, _: &Want, _: Caller) -> Readiness {
        Readiness::NotYet
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
            LockChoice::Given { id } => (self.find_lock(id)?, false),
            LockChoice::Own { id: own, .. } if own == id => {
                return Err(Refusal::new(Code::BadArgument, "a condition and its lock have different ids"));
            }
            LockChoice::Own { id, is_reentrant } => {
                (self.create(id, None, Body::Lock(Box::new(Lock::new(is_reentrant))))?, true)
            }
        };
        let pin = self.pin_at(lock);
        match self.create(id, name, Body::Condition(Box::new(Condition { lock, pin, is_own }))) {
            Ok(key) => {
                self.lock_at(lock).conditions.push(key);
                Ok(key)
            }
            Err(refusal) => {
                self.unpin(pin);
                Err(refusal)
            }
        }
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
    pub(crate) fn check_condition(&self, caller: Caller, key: Key, hold: Option<u64>) -> Result<(), Refusal> {
        let lock = self.condition_at(key).lock;
        if matches!(&self.catalog.at(lock).body, Body::Lock(lock) if lock.is_held_in(caller, hold)) {
            return Ok(());
        }
        let refusal = self.not_owner(lock, hold);
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
        hold: Option<u64>,
    ) -> Result<Reply, Refusal> {
        let key = self.catalog.find(id, Kind::Condition)?;
        self.check_condition(caller, key, hold)?;
        let mut woken: u64 = 0;
        while count.is_none_or(|count| woken < u64::from(count)) && self.notify_first(key, count.is_some()) {
            woken += 1;
        }
        Ok(Reply::Count(woken))
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
            self.lock_at(condition.lock).conditions.retain(|other| *other != key);
        }
        self.unpin(condition.pin);
    }

    fn condition_at(&self, key: Key) -> &Condition {
        match &self.catalog.at(key).body {
            Body::Condition(condition) => condition,
            _ => unreachable!("the kind was checked when the key was found"),
        }
    }
}
