//! The steps of a run, as data: what a client or its manager does next.
//!
//! A step names what exists in a way that still means something when steps before it are left out: the holding of a
//! lock is the one that there is, and the count of answers depends on how many there were.

use manager_core::{DeathCause, SessionEnd};
use protocol::{BlobId, Code, ObjectId, Request, RequestId, SessionId};
use uuid::Uuid;

/// The holding, turn or item that there is now, instead of its number. Blobs of a session have the numbers from this
/// one downwards.
pub(crate) const CURRENT: u64 = u64::MAX;

/// How many blobs of a session a step can name so.
pub(crate) const PLACES: u64 = 16;

#[derive(Clone, Debug)]
pub(crate) enum SimulatedStep {
    Begin {
        session: SessionId,
    },
    /// A request; its `received` is said as how many of the answers the client has not read.
    Request {
        session: SessionId,
        request: RequestId,
        unread: u64,
        body: Request<'static>,
    },
    /// A request whose `received` counts one answer too many.
    Overcount {
        session: SessionId,
        request: RequestId,
        body: Request<'static>,
    },
    /// A request to give a blob its bytes, and what the manager says of what came beside it.
    Arrive {
        session: SessionId,
        request: RequestId,
        unread: u64,
        /// Whether its `received` counts one answer too many.
        overcounts: bool,
        blob: BlobId,
        bytes: u64,
        refusal: Option<Code>,
    },
    /// The end of a session to which processes are bound.
    Ending {
        session: SessionId,
        ending: End,
        /// What its call record says.
        found: Option<SimulatedRecord>,
        /// How many processes are bound to it.
        bound: u32,
    },
    /// The end of a session, unless it has ended already: then of the processes that are bound to it.
    End {
        session: SessionId,
        ending: End,
        /// What its call record says.
        found: Option<SimulatedRecord>,
    },
    /// The manager finds a release of the session's holding of this lock in the memory that they share.
    Deferred {
        session: SessionId,
        lock: ObjectId,
    },
    /// The manager reads the call record of a session that goes on.
    Found {
        session: SessionId,
        found: SimulatedRecord,
    },
    /// Time passes.
    Pass {
        nanoseconds: u64,
    },
    /// Time passes up to the next deadline.
    Due,
    /// From now on the core takes this many steps in one input at most, and goes on with what it leaves.
    Slices {
        steps: u64,
    },
}

/// What a call record says, as seen from the first call of a grant that has not ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SimulatedRecord {
    pub(crate) batch: ObjectId,
    /// How many calls before that call have their results there, though they were reported.
    pub(crate) reported: u64,
    /// How many calls from that one on have ended, and how many behind these have begun.
    pub(crate) ended: u64,
    pub(crate) begun: u64,
    /// The result of each, and of how many it is there.
    pub(crate) result: &'static [u8],
    pub(crate) results: u64,
}

/// How a session ends.
#[derive(Clone, Copy, Debug)]
pub(crate) enum End {
    Goodbye,
    Killed,
    Exited,
    Ended,
    Disconnected,
    Dropped,
}

impl From<End> for SessionEnd {
    fn from(end: End) -> SessionEnd {
        match end {
            End::Goodbye => SessionEnd::Goodbye,
            End::Killed => SessionEnd::Died(DeathCause::Signal(9)),
            End::Exited => SessionEnd::Died(DeathCause::Exit(3)),
            End::Ended => SessionEnd::Died(DeathCause::Ended),
            End::Disconnected => SessionEnd::Died(DeathCause::Disconnected),
            End::Dropped => SessionEnd::Died(DeathCause::Dropped("it was cut off".into())),
        }
    }
}

/// The id of an object, by a small number.
pub(crate) const fn id(number: u128) -> ObjectId {
    ObjectId(Uuid::from_u128(number))
}
