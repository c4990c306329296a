//! The operations of a barrier.

use protocol::{BarrierStatus, Grant, ObjectId, Reply, Request, Target};

use super::answers;
use crate::{Operation, Unexpected, WaitTarget};

/// Says that the action of a turn has ended well, and lets the other parties go.
#[derive(Clone, Copy, Debug)]
pub struct BarrierPass {
    /// The barrier.
    pub id: ObjectId,
    /// The turn that this party leads.
    pub turn: u64,
}

impl Operation<'static> for BarrierPass {
    type Output = ();

    fn into_request(self) -> Request<'static> {
        let BarrierPass { id, turn } = self;
        Request::BarrierPass { id, turn }
    }

    fn output(reply: Reply) -> Result<(), Unexpected> {
        answers::done(reply)
    }
}

/// Breaks a barrier: until it is reset, all waits at it fail.
#[derive(Clone, Copy, Debug)]
pub struct BarrierAbort<'a> {
    /// The barrier.
    pub id: ObjectId,
    /// The turn whose action failed; none breaks any turn.
    pub turn: Option<u64>,
    /// Why, for those whose waits fail.
    pub reason: &'a str,
}

impl<'a> Operation<'a> for BarrierAbort<'a> {
    type Output = ();

    fn into_request(self) -> Request<'a> {
        let BarrierAbort { id, turn, reason } = self;
        Request::BarrierAbort { id, turn, reason }
    }

    fn output(reply: Reply) -> Result<(), Unexpected> {
        answers::done(reply)
    }
}

/// Makes a barrier like new.
#[derive(Clone, Copy, Debug)]
pub struct BarrierReset {
    /// The barrier.
    pub id: ObjectId,
}

impl Operation<'static> for BarrierReset {
    type Output = ();

    fn into_request(self) -> Request<'static> {
        let BarrierReset { id } = self;
        Request::BarrierReset { id }
    }

    fn output(reply: Reply) -> Result<(), Unexpected> {
        answers::done(reply)
    }
}

/// How many wait at a barrier, and whether it is broken.
#[derive(Clone, Copy, Debug)]
pub struct GetBarrierStatus {
    /// The barrier.
    pub id: ObjectId,
}

impl Operation<'static> for GetBarrierStatus {
    type Output = BarrierStatus;

    fn into_request(self) -> Request<'static> {
        Request::BarrierStatus { id: self.id }
    }

    fn output(reply: Reply) -> Result<BarrierStatus, Unexpected> {
        match reply {
            Reply::Barrier(status) => Ok(status),
            reply => Err(Unexpected::reply(reply)),
        }
    }
}

/// What a party learns when all have come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BarrierTurn {
    /// How many came before this party.
    pub index: u32,
    /// Whether this party leads: it runs its action, if it has one, and then lets the others go.
    pub leads: bool,
    /// Which turn of the barrier this is.
    pub turn: u64,
}

/// Comes to a barrier, and waits until all parties have come.
#[derive(Clone, Copy, Debug)]
pub struct BarrierTarget {
    /// The barrier.
    pub id: ObjectId,
    /// Whether this party has an action, which it runs if it leads.
    pub has_action: bool,
}

impl WaitTarget<'static> for BarrierTarget {
    type Granted = BarrierTurn;

    fn into_target(self) -> Target<'static> {
        Target::Barrier { id: self.id, has_action: self.has_action }
    }

    fn accept(grant: Grant) -> Result<BarrierTurn, Grant> {
        match grant {
            Grant::Barrier { index, leads, turn } => Ok(BarrierTurn { index, leads, turn }),
            grant => Err(grant),
        }
    }
}
