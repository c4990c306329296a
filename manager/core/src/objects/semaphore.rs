//! Semaphores: a number of permits, charged to the sessions that acquired them.
//!
//! First come, first served, also for large requests: a request for one permit does not overtake an earlier one for
//! ten. Permits of a process that ends without giving them back are *abandoned*: the next taker gets them at once and
//! learns of it. As in Python, a session that never acquired may release a plain semaphore, as a signal; a bounded one
//! refuses to have more permits than at first.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use core::mem::take;

use protocol::{
    Abandonment, Code, Grant, Kind, ObjectId, ObjectState, PermitsInfo, Refusal, Reply, SessionId, Spec,
};
use serde::{Deserialize, Serialize};

use crate::inspect::LIST_MAX;
use crate::objects::object_body::ObjectBody;
use crate::objects::{Body, Want};
use crate::sessions::session::Abandoner;
use crate::store::catalog::Object;
use crate::store::lifetime::{ObjectEnd, Remains};
use crate::store::long_queue::LongQueue;
use crate::store::memory::HOLDER_BYTES;
use crate::store::slab::Key;
use crate::waiting::wait::{Caller, Readiness};
use crate::{State, Time};

/// Marks of the dead of whose permits none are left.
type Marks = LongQueue<PermitsMark>;

/// A semaphore.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Semaphore {
    permits_at_first: u64,
    is_bounded: bool,
    /// Permits that were given back or never taken.
    free: u64,
    /// Permits that dead processes held, the first to die first.
    abandoned: LongQueue<PermitsMark>,
    /// How many permits those are together.
    abandoned_permits: u64,
    /// How many permits of the dead were ever taken, modulo 2^64.
    abandoned_taken: u64,
    /// Permits that are out: acquired, and neither given back nor forgotten. Together with the available ones they
    /// always fit into a `u64`, because a release that would exceed it is refused.
    out: u64,
    /// What each session is charged with, and since when.
    charges: BTreeMap<SessionId, Charge>,
}

/// Permits that a dead process held. Its permits end where those of the next begin, so that the marks of which all are
/// taken are found at once, and not one by one.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct PermitsMark {
    /// How many permits of the dead will ever have been taken when the last of these is, modulo 2^64.
    end: u64,
    abandonment: Abandonment,
}

/// What one session holds.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Charge {
    permits: u64,
    since: Time,
}

impl Semaphore {
    pub(crate) fn new(permits: u64, is_bounded: bool) -> Result<Semaphore, Refusal> {
        if is_bounded && permits == 0 {
            let text = "a bounded semaphore has at least one permit, else nobody could ever acquire";
            return Err(Refusal::new(Code::BadArgument, text));
        }
        Ok(Semaphore {
            permits_at_first: permits,
            is_bounded,
            free: permits,
            abandoned: LongQueue::default(),
            abandoned_permits: 0,
            abandoned_taken: 0,
            out: 0,
            charges: BTreeMap::new(),
        })
    }

    /// How many hold permits of it, or have left some behind.
    fn holders(&self) -> usize {
        self.charges.len() + self.abandoned.len()
    }

    fn permits_max(&self) -> Option<u64> {
        self.is_bounded.then_some(self.permits_at_first)
    }

    fn available(&self) -> u64 {
        self.free + self.abandoned_permits
    }

    /// Takes permits for a session: first those of the dead, so that a session soon learns of the death.
    fn take(&mut self, session: SessionId, permits: u64, now: Time) -> Option<Abandonment> {
        let first = self.abandoned.front().map(|mark| mark.abandonment.clone());
        let left_behind = permits.min(self.abandoned_permits);
        self.take_abandoned(left_behind);
        self.free -= permits - left_behind;
        self.out += permits;
        let charge = self.charges.entry(session).or_insert(Charge { permits: 0, since: now });
        // Others may give back on its behalf what it then takes again, so its charge can be any number.
        charge.permits = charge.permits.saturating_add(permits);
        first
    }

    /// Takes permits of the dead, of which there are this many.
    fn take_abandoned(&mut self, permits: u64) {
        self.abandoned_taken = self.abandoned_taken.wrapping_add(permits);
        self.abandoned_permits -= permits;
    }

    /// Takes the marks of the dead of whose permits none are left.
    #[cold]
    fn take_spent(&mut self) -> Marks {
        let (taken, left) = (self.abandoned_taken, self.abandoned_permits);
        let is_spent = |mark: &PermitsMark| mark.end.wrapping_sub(taken).wrapping_sub(1) >= left;
        let spent = self.abandoned.partition_point(is_spent);
        self.abandoned.split_front(spent)
    }

    /// Marks permits as left behind.
    fn abandon(&mut self, permits: u64, abandonment: Abandonment) {
        self.abandoned_permits += permits;
        let end = self.abandoned_taken.wrapping_add(self.abandoned_permits);
        self.abandoned.push_back(PermitsMark { end, abandonment });
    }

    /// Reduces the charge of a session. Returns true if it holds nothing any more.
    fn discharge(&mut self, session: SessionId, permits: u64) -> bool {
        let Some(charge) = self.charges.get_mut(&session) else {
            return true;
        };
        charge.permits = charge.permits.saturating_sub(permits);
        if charge.permits == 0 {
            self.charges.remove(&session);
            return true;
        }
        false
    }

    /// Gives back permits, on any session's behalf: what goes beyond the giver's own charge first clears marks of the
    /// dead.
    fn give_back(&mut self, session: SessionId, permits: u64) -> Result<(), ()> {
        let own = self.charges.get(&session).map_or(0, |charge| charge.permits.min(permits));
        let cleared = self.abandoned_permits.min(permits - own);
        // Permits that clear marks of the dead were available already, and add nothing.
        let added = permits - cleared;
        let total = self.available().checked_add(added).ok_or(())?;
        if self.permits_max().is_some_and(|permits_max| total > permits_max) {
            return Err(());
        }
        self.take_abandoned(cleared);
        self.free += permits;
        self.out = self.out.saturating_sub(added);
        Ok(())
    }
}

impl ObjectBody for Semaphore {
    fn kind(&self) -> Kind {
        Kind::Semaphore
    }

    fn spec(&self, _: &State) -> Option<Spec> {
        Some(Spec::Semaphore { permits: self.permits_at_first, is_bounded: self.is_bounded })
    }

    fn inspect(&self, state: &State, _: &Object) -> ObjectState {
        let permits_of = |(&session, charge): (&SessionId, &Charge)| PermitsInfo {
            session: state.session_info(session),
            permits: charge.permits,
            held_ns: state.now.ns_since(charge.since),
        };
        ObjectState::Semaphore {
            available: self.available(),
            permits_max: self.permits_max(),
            holders: self.charges.iter().take(LIST_MAX).map(permits_of).collect(),
        }
    }

    fn readiness(&self, want: &Want, _: Caller) -> Readiness {
        match want {
            Want::Permits(permits) => Readiness::when(self.available() >= *permits),
            _ => unreachable!("the kind was checked when the wait began"),
        }
    }

    fn is_used_up(&self, _: &Want) -> bool {
        true
    }

    fn abandoned(state: &mut State, key: Key, abandoner: &Abandoner, _: &str) -> bool {
        state.permits_abandon(key, abandoner);
        false
    }

    fn destroyed(&mut self, state: &mut State, key: Key, _: &ObjectEnd) {
        state.memory.give_back(HOLDER_BYTES * self.holders());
        state.held_by_none(key, self.charges.keys());
        state.let_go_of_marks(take(&mut self.abandoned));
    }
}

impl State {
    /// Refuses a number of permits that can never be acquired.
    pub(crate) fn check_permits(&self, key: Key, permits: u64) -> Result<(), Refusal> {
        let Body::Semaphore(semaphore) = &self.catalog.at(key).body else {
            unreachable!("the kind was checked when the key was found");
        };
        match semaphore.permits_max() {
            _ if permits == 0 => Err(no_permits()),
            Some(permits_max) if permits > permits_max => {
                let text = format!(
                    "{} has {}, so {permits} are never available",
                    self.describe(key),
                    in_words(permits_max)
                );
                Err(Refusal::new(Code::BadArgument, text))
            }
            _ => Ok(()),
        }
    }

    pub(crate) fn permits_take(&mut self, key: Key, session: SessionId, permits: u64) -> Grant {
        let now = self.now;
        let semaphore = self.semaphore_at(key);
        let before = semaphore.holders();
        let abandoned = semaphore.take(session, permits, now);
        let after = semaphore.holders();
        self.semaphore_recharge(before, after);
        self.permits_spent(key);
        self.session_at(session).hold(key);
        Grant::Permits { abandoned }
    }

    pub(crate) fn semaphore_release(
        &mut self,
        session: SessionId,
        id: ObjectId,
        permits: u64,
    ) -> Result<Reply, Refusal> {
        let key = self.catalog.find(id, Kind::Semaphore)?;
        if permits == 0 {
            return Err(no_permits());
        }
        let semaphore = self.semaphore_at(key);
        let before = semaphore.holders();
        if semaphore.give_back(session, permits).is_err() {
            let text = match semaphore.permits_max() {
                Some(permits_max) => format!(
                    "{} has {} of its {}, {permits} more would be too many",
                    self.describe(key),
                    self.semaphore_at(key).available(),
                    in_words(permits_max)
                ),
                None => format!("{} cannot count that many permits", self.describe(key)),
            };
            return Err(Refusal::new(Code::OverRelease, text));
        }
        let after = semaphore.holders();
        self.semaphore_recharge(before, after);
        self.permits_spent(key);
        self.permits_discharge(key, session, permits);
        self.touch(key);
        Ok(Reply::Done)
    }

    pub(crate) fn semaphore_forget(
        &mut self,
        session: SessionId,
        id: ObjectId,
        permits: u64,
    ) -> Result<Reply, Refusal> {
        let key = self.catalog.find(id, Kind::Semaphore)?;
        let semaphore = self.semaphore_at(key);
        let held = semaphore.charges.get(&session).map_or(0, |charge| charge.permits);
        if permits > held {
            let text =
                format!("this process holds {} of {}, not {permits}", in_words(held), self.describe(key));
            return Err(Refusal::new(Code::NotOwner, text));
        }
        semaphore.out = semaphore.out.saturating_sub(permits);
        self.permits_discharge(key, session, permits);
        Ok(Reply::Done)
    }

    fn permits_discharge(&mut self, key: Key, session: SessionId, permits: u64) {
        let semaphore = self.semaphore_at(key);
        let before = semaphore.holders();
        let holds_nothing = semaphore.discharge(session, permits);
        let after = semaphore.holders();
        self.semaphore_recharge(before, after);
        if holds_nothing {
            self.session_at(session).hold_no_more(key);
        }
    }

    pub(crate) fn semaphore_available(&mut self, id: ObjectId) -> Result<Reply, Refusal> {
        let key = self.catalog.find(id, Kind::Semaphore)?;
        Ok(Reply::Count(self.semaphore_at(key).available()))
    }

    /// Marks the permits of a session that is gone as abandoned: at most as many as are still out, since others may
    /// have given some back on its behalf.
    fn permits_abandon(&mut self, key: Key, abandoner: &Abandoner) {
        let now = self.now;
        let semaphore = self.semaphore_at(key);
        let before = semaphore.holders();
        if let Some(charge) = semaphore.charges.remove(&abandoner.session) {
            let permits = charge.permits.min(semaphore.out);
            semaphore.out -= permits;
            if permits > 0 {
                semaphore.abandon(permits, abandoner.abandonment(now.ns_since(charge.since)));
            }
        }
        let after = semaphore.holders();
        self.semaphore_recharge(before, after);
        self.touch(key);
    }

    /// Forgets the dead of whose permits none are left.
    fn permits_spent(&mut self, key: Key) {
        let semaphore = self.semaphore_at(key);
        if !semaphore.abandoned.is_empty() {
            let marks = semaphore.take_spent();
            self.memory.give_back(HOLDER_BYTES * marks.len());
            self.let_go_of_marks(marks);
        }
    }

    /// Lets go of marks of the dead.
    fn let_go_of_marks(&mut self, marks: Marks) {
        if !marks.is_empty() {
            self.let_go_of(Box::new(Remains { marks, ..Remains::default() }));
        }
    }

    /// Charges a semaphore with the difference in its holders.
    fn semaphore_recharge(&mut self, before: usize, after: usize) {
        if before != after {
            self.memory.charge(HOLDER_BYTES * after);
            self.memory.give_back(HOLDER_BYTES * before);
        }
    }

    fn semaphore_at(&mut self, key: Key) -> &mut Semaphore {
        match &mut self.catalog.at_mut(key).body {
            Body::Semaphore(semaphore) => semaphore,
            _ => unreachable!("the kind was checked when the key was found"),
        }
    }
}

/// As in “3 permits”.
fn in_words(permits: u64) -> String {
    if permits == 1 { "1 permit".into() } else { format!("{permits} permits") }
}

fn no_permits() -> Refusal {
    Refusal::new(Code::BadArgument, "the number of permits is at least one")
}
