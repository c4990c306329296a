//! Conditions ("Conditions").

use protocol::{Code, Grant, ObjectId, Reply};

use super::sessions::Used;
use super::waits::{Decision, Want};
use super::{Caller, Model, ModelAnswer};

pub(crate) struct Condition {
    pub(crate) lock: ObjectId,
    /// Whether the lock was made with it.
    pub(crate) is_own: bool,
}

impl Model {
    /// Refuses a caller that does not hold the lock of a condition, in this holding if one is named.
    pub(crate) fn check_condition(
        &mut self,
        caller: Caller,
        id: ObjectId,
        holding: Option<u64>,
    ) -> Result<(), Code> {
        let lock = self.condition(id)?.lock;
        match self.lock(lock).is_ok_and(|lock| lock.is_held_by(caller, holding)) {
            true => Ok(()),
            false => Err(Code::NotOwner),
        }
    }

    /// Gives up the lock of a condition whole, for a wait of its holder.
    pub(crate) fn give_up_lock(&mut self, condition: ObjectId) -> (ObjectId, u64, u32) {
        let lock = self.condition(condition).unwrap().lock;
        let holder =
            self.lock(lock).unwrap().holder.clone().expect("it was checked that the caller holds it");
        self.free_lock(lock);
        (lock, holder.holding, holder.depth)
    }

    pub(crate) fn notify(
        &mut self,
        caller: Caller,
        id: ObjectId,
        count: Option<u32>,
        holding: Option<u64>,
    ) -> ModelAnswer {
        self.check_condition(caller, id, holding)?;
        let mut woken = 0;
        while count.is_none_or(|count| woken < u64::from(count)) && self.wake_first(id, count.is_some()) {
            woken += 1;
        }
        Ok(Reply::Count(woken))
    }

    /// Wakes the wait that has waited longest, if there is one. A notification that is not for all passes on.
    pub(crate) fn wake_first(&mut self, id: ObjectId, passes_on: bool) -> bool {
        let is_for = |want: &Want| matches!(want, Want::Notification(other) if *other == id);
        let found =
            self.waits.iter().find_map(|(&key, wait)| Some((key, wait.targets.iter().position(is_for)?)));
        let Some((key, position)) = found else { return false };
        let wait = self.waits.remove(&key).unwrap();
        let unconfirmed = match passes_on {
            true => vec![self.unconfirmed(id, Used::Notification)],
            false => Vec::new(),
        };
        let grants = vec![Grant::Notified];
        self.conclude(wait, Decision::Taken { index: position as u32, grants, unconfirmed });
        true
    }

    pub(crate) fn condition_lock(&mut self, id: ObjectId) -> ModelAnswer {
        let lock = self.condition(id)?.lock;
        let is_reentrant = self.lock(lock)?.is_reentrant;
        Ok(Reply::Lock { id: lock, is_reentrant })
    }
}
