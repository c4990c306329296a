//! The manager's replies.

use alloc::boxed::Box;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::{
    BarrierStatus, BlobId, CallCounts, Cause, LockGrant, ObjectId, ObjectInfo, ObjectSummary, Payload,
    Refusal, RequestId, SessionInfo, WaitResult,
};

/// A reply and the request that it answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// The request that this answers, or [`RequestId::ONE_WAY`] for a refusal of the connection as a whole.
    pub request: RequestId,
    /// The reply.
    pub body: Reply,
}

/// An [`Answer`] whose reply stays where it is: replies are large, and most of them say little. It has the same bytes.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct AnswerRef<'a> {
    /// As in an answer.
    pub request: RequestId,
    /// As in an answer.
    pub body: &'a Reply,
}

/// A reply of the manager. Variants are only ever added, at the end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reply {
    /// The request was carried out, and there is nothing more to say.
    Done,
    /// The request was not carried out.
    Refused(Refusal),
    /// Yes or no.
    Flag(bool),
    /// An object was opened.
    Opened {
        /// Its id: the one in the request only if this request made it.
        id: ObjectId,
        /// Whether this request made it.
        created: bool,
    },
    /// A wait has ended with what it waited for.
    Taken(WaitResult),
    /// A wait has timed out.
    TimedOut {
        /// The lock that the wait gave up and the waiter holds again, if it waited for a condition.
        reacquired: Option<LockGrant>,
    },
    /// Who set the event and why, if it is set.
    SetBy(Option<Cause>),
    /// The progress of a batch.
    Progress(CallCounts),
    /// A number.
    Count(u64),
    /// Which lock a condition is over.
    Lock {
        /// The lock.
        id: ObjectId,
        /// Whether it is reentrant.
        is_reentrant: bool,
    },
    /// The state of a barrier.
    Barrier(BarrierStatus),
    /// Sessions, a thousand at most.
    Sessions {
        /// In the order of their numbers.
        sessions: Vec<SessionInfo>,
        /// Whether there are more.
        more: bool,
    },
    /// Objects, a thousand at most.
    Objects {
        /// In the order of their ids.
        objects: Vec<ObjectSummary>,
        /// Whether there are more.
        more: bool,
    },
    /// Everything about one object.
    Object(Box<ObjectInfo>),
    /// Memory is shared. A descriptor of it comes with the first byte of this answer's frame.
    Shared {
        /// The number of bytes to map.
        bytes: u64,
    },
    /// An event is published in the mirror.
    Mirrored {
        /// Its number there: see [`shared_memory::mirror`](crate::shared_memory::mirror).
        number: u32,
        /// The serial that stands there for as long as the event exists.
        serial: u32,
    },
    /// A blob was made, and there is room for it.
    BlobOpened {
        /// Its number.
        blob: BlobId,
        /// Whether the manager takes a descriptor of its memory, and it need not be written in pieces.
        takes_descriptor: bool,
    },
    /// A piece of a blob: as many bytes as were asked for, or as there are.
    Piece(Payload),
}
