//! Semaphores ("Semaphores").

use std::collections::BTreeMap;

use protocol::{Abandonment, Code, ObjectId, Reply, SessionId};

use super::sessions::Session;
use super::{Model, ModelAnswer, abandonment};

pub(crate) struct Semaphore {
    pub(crate) permits_at_first: u64,
    pub(crate) is_bounded: bool,
    /// The permits that were given back, or never taken.
    free: u64,
    /// The permits that the dead held, the first to die first.
    abandoned: Vec<(u64, Abandonment)>,
    /// The permits that were taken, and neither given back nor forgotten, by whomever.
    out: u64,
    /// What each session is charged with, and since when.
    pub(crate) charges: BTreeMap<SessionId, (u64, u64)>,
}

impl Semaphore {
    pub(crate) fn new(permits: u64, is_bounded: bool) -> Semaphore {
        Semaphore {
            permits_at_first: permits,
            is_bounded,
            free: permits,
            abandoned: Vec::new(),
            out: 0,
            charges: BTreeMap::new(),
        }
    }

    fn abandoned_permits(&self) -> u64 {
        self.abandoned.iter().map(|(permits, _)| permits).sum()
    }

    /// How many sessions hold permits, and how many have left some behind.
    pub(crate) fn holders(&self) -> usize {
        self.charges.len() + self.abandoned.len()
    }

    pub(crate) fn available(&self) -> u64 {
        self.free + self.abandoned_permits()
    }

    /// Takes permits of the dead, as many as there are and at most this many. Returns how many.
    fn take_abandoned(&mut self, most: u64) -> u64 {
        let mut taken = 0;
        for (permits, _) in &mut self.abandoned {
            let some = (*permits).min(most - taken);
            *permits -= some;
            taken += some;
        }
        self.abandoned.retain(|(permits, _)| *permits > 0);
        taken
    }

    /// Charges permits to a session: those of the dead first. Returns the first of the dead.
    pub(crate) fn take(&mut self, session: SessionId, permits: u64, now: u64) -> Option<Abandonment> {
        let first = self.abandoned.first().map(|(_, mark)| mark.clone());
        self.free -= permits - self.take_abandoned(permits);
        self.out += permits;
        let charge = self.charges.entry(session).or_insert((0, now));
        charge.0 = charge.0.saturating_add(permits);
        first
    }

    fn charge(&self, session: SessionId) -> u64 {
        self.charges.get(&session).map_or(0, |charge| charge.0)
    }

    fn discharge(&mut self, session: SessionId, permits: u64) {
        if let Some(charge) = self.charges.get_mut(&session) {
            charge.0 = charge.0.saturating_sub(permits);
        }
        self.charges.retain(|_, charge| charge.0 > 0);
    }

    /// Makes the permits of a session that is gone available again, as abandoned. What others gave back on its behalf
    /// is available already.
    pub(crate) fn abandon(&mut self, id: SessionId, session: &Session, how: &str, now: u64) {
        if let Some((permits, since)) = self.charges.remove(&id) {
            let permits = permits.min(self.out);
            self.out -= permits;
            if permits > 0 {
                self.abandoned.push((permits, abandonment(session, how, now - since)));
            }
        }
    }
}

impl Model {
    /// Refuses a number of permits that a semaphore never has.
    pub(crate) fn check_permits(&mut self, id: ObjectId, permits: u64) -> Result<(), Code> {
        let semaphore = self.semaphore(id)?;
        let is_too_many = semaphore.is_bounded && permits > semaphore.permits_at_first;
        if permits == 0 || is_too_many { Err(Code::BadArgument) } else { Ok(()) }
    }

    pub(crate) fn semaphore_release(
        &mut self,
        session: SessionId,
        id: ObjectId,
        permits: u64,
    ) -> ModelAnswer {
        let semaphore = self.semaphore(id)?;
        if permits == 0 {
            return Err(Code::BadArgument);
        }
        // What goes beyond its own charge first clears marks of the dead, and adds only the rest.
        let beyond = permits - semaphore.charge(session).min(permits);
        let cleared = beyond.min(semaphore.abandoned_permits());
        let added = permits - cleared;
        let total = semaphore.available().checked_add(added).ok_or(Code::OverRelease)?;
        if semaphore.is_bounded && total > semaphore.permits_at_first {
            return Err(Code::OverRelease);
        }
        semaphore.take_abandoned(cleared);
        semaphore.free += cleared + added;
        semaphore.out = semaphore.out.saturating_sub(added);
        semaphore.discharge(session, permits);
        Ok(Reply::Done)
    }

    pub(crate) fn semaphore_forget(&mut self, session: SessionId, id: ObjectId, permits: u64) -> ModelAnswer {
        let semaphore = self.semaphore(id)?;
        if permits > semaphore.charge(session) {
            return Err(Code::NotOwner);
        }
        semaphore.out = semaphore.out.saturating_sub(permits);
        semaphore.discharge(session, permits);
        Ok(Reply::Done)
    }
}
