//! Barriers ("Barriers").

use protocol::{BarrierStatus, Code, Grant, ObjectId, Reply, SessionId, check_reason};

use super::waits::{Decision, Want};
use super::{Body, Model, ModelAnswer};

pub(crate) struct Barrier {
    pub(crate) parties: u32,
    /// How often all parties have come.
    turns: u64,
    /// The session that runs the action, and the turn.
    pub(crate) acting: Option<(SessionId, u64)>,
    pub(crate) is_broken: bool,
}

impl Barrier {
    pub(crate) fn new(parties: u32) -> Barrier {
        Barrier { parties, turns: 0, acting: None, is_broken: false }
    }
}

impl Model {
    /// The waits at a barrier in the order in which they came, with the first of their targets that is for it.
    fn parties(&self, id: ObjectId) -> Vec<(u64, usize)> {
        let is_for = |want: &Want| matches!(want, Want::Barrier { id: other, .. } if *other == id);
        let at = |wait: &super::waits::Wait| wait.targets.iter().position(is_for);
        self.waits.iter().filter_map(|(&key, wait)| Some((key, at(wait)?))).collect()
    }

    /// Lets the parties of one barrier go at which all have come, or the one of them that runs the action. If there are
    /// several, it is the first in the list of the wait that came last.
    pub(crate) fn trip_one(&mut self) -> bool {
        let full = self.waits.values().rev().flat_map(|wait| &wait.targets).find_map(|want| match *want {
            Want::Barrier { id, .. } => match self.objects[&id].body {
                Body::Barrier(Barrier { parties, acting: None, is_broken: false, .. }) => {
                    (self.parties(id).len() >= parties as usize).then_some((id, parties))
                }
                _ => None,
            },
            _ => None,
        });
        if let Some((id, parties)) = full {
            self.trip(id, parties as usize);
        }
        full.is_some()
    }

    fn trip(&mut self, id: ObjectId, count: usize) {
        let mut parties = self.parties(id);
        parties.truncate(count);
        let barrier = self.barrier(id).unwrap();
        barrier.turns += 1;
        let turn = barrier.turns;
        let mut leader = None;
        for (number, &(key, position)) in parties.iter().enumerate() {
            let Want::Barrier { has_action, came, .. } =
                &mut self.waits.get_mut(&key).unwrap().targets[position]
            else {
                unreachable!("it is a party");
            };
            *came = Some(number as u32);
            leader = if *has_action { Some((key, position)) } else { leader };
        }
        let Some(leader) = leader else {
            let last = *parties.last().unwrap();
            parties.iter().for_each(|&party| self.let_go(party, party == last, turn));
            return;
        };
        let session = self.waits[&leader.0].caller.session;
        self.barrier(id).unwrap().acting = Some((session, turn));
        // They have come, and wait for nothing else.
        for (key, position) in parties {
            for (other, want) in self.waits.get_mut(&key).unwrap().targets.iter_mut().enumerate() {
                if other != position {
                    *want = Want::Nothing;
                }
            }
        }
        self.note_if_unused = true;
        self.let_go(leader, true, turn);
    }

    fn let_go(&mut self, (key, position): (u64, usize), leads: bool, turn: u64) {
        let wait = self.waits.remove(&key).unwrap();
        let Want::Barrier { came: Some(index), .. } = wait.targets[position] else {
            unreachable!("it has come");
        };
        let grants = vec![Grant::Barrier { index, leads, turn }];
        let index = position as u32;
        self.conclude(wait, Decision::Taken { index, grants, unconfirmed: Vec::new() });
    }

    /// Refuses a session that does not run the action of this turn.
    fn check_acting(&mut self, session: SessionId, id: ObjectId, turn: u64) -> Result<(), Code> {
        let barrier = self.barrier(id)?;
        match barrier.acting {
            _ if barrier.is_broken => Err(Code::Broken),
            Some(acting) if acting == (session, turn) => Ok(()),
            _ => Err(Code::NotOwner),
        }
    }

    pub(crate) fn barrier_pass(&mut self, session: SessionId, id: ObjectId, turn: u64) -> ModelAnswer {
        self.check_acting(session, id, turn)?;
        self.barrier(id)?.acting = None;
        for (key, position) in self.parties(id) {
            if matches!(self.waits[&key].targets[position], Want::Barrier { came: Some(_), .. }) {
                self.let_go((key, position), false, turn);
            }
        }
        Ok(Reply::Done)
    }

    pub(crate) fn barrier_abort(
        &mut self,
        session: SessionId,
        id: ObjectId,
        turn: Option<u64>,
        reason: &str,
    ) -> ModelAnswer {
        self.barrier(id)?;
        if check_reason(reason).is_err() {
            return Err(Code::BadArgument);
        }
        if let Some(turn) = turn {
            self.check_acting(session, id, turn)?;
        }
        self.break_barrier(id);
        Ok(Reply::Done)
    }

    /// Breaks a barrier. Whoever waits at it is refused when the model serves.
    pub(crate) fn break_barrier(&mut self, id: ObjectId) {
        let barrier = self.barrier(id).unwrap();
        barrier.acting = None;
        barrier.is_broken = true;
    }

    /// Breaks the barriers at which a wait waits that gives up.
    pub(crate) fn break_barriers_of(&mut self, key: u64) {
        let ids: Vec<ObjectId> = self.waits[&key]
            .targets
            .iter()
            .filter_map(|want| match want {
                Want::Barrier { id, .. } => Some(*id),
                _ => None,
            })
            .collect();
        ids.into_iter().for_each(|id| self.break_barrier(id));
    }

    pub(crate) fn barrier_reset(&mut self, id: ObjectId) -> ModelAnswer {
        let barrier = self.barrier(id)?;
        barrier.acting = None;
        barrier.is_broken = false;
        self.parties(id).into_iter().for_each(|(key, _)| self.refuse_wait(key, Code::Broken));
        Ok(Reply::Done)
    }

    pub(crate) fn barrier_status(&mut self, id: ObjectId) -> ModelAnswer {
        self.barrier(id)?;
        Ok(Reply::Barrier(self.status_of(id)))
    }

    /// The status of a barrier. The page leaves open with which words it says what broke it.
    pub(crate) fn status_of(&self, id: ObjectId) -> BarrierStatus {
        let Body::Barrier(barrier) = &self.objects[&id].body else { unreachable!("it is a barrier") };
        let broken = barrier.is_broken.then(|| "".into());
        BarrierStatus { parties: barrier.parties, waiting: self.parties(id).len() as u32, broken }
    }
}
