//! The calls of a batch: what is sent with them, and how they end.

use alloc::sync::Arc;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use crate::{BlobId, ObjectId, Payload};

/// How a batch runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchOptions {
    /// The id of the batch's stop event, which is made with the batch, with one reference of the session. Once it was
    /// set, calls that have not begun never begin, and end as [`FailureKind::Cancelled`].
    pub stop: ObjectId,
    /// An event that also sets the stop event when it is set, such as the stop event of the call that opens this batch.
    pub parent: Option<ObjectId>,
    /// Calls of higher priority begin first; batches of one priority take turns.
    pub priority: i32,
    /// How often a call is begun again if its worker dies in it.
    pub retries: u32,
    /// Nanoseconds that a call may run. After that its worker is killed, and it fails as [`FailureKind::TimeLimit`].
    pub time_limit_ns: Option<u64>,
}

/// The signal for processes that do not stop by themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum StopSignal {
    /// SIGTERM, which asks.
    Terminate,
    /// SIGKILL, which ends the process.
    Kill,
}

/// A chunk: calls that travel together to a batch. Each is on its own from there on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chunk<'a> {
    /// The encoded arguments of each call, one after the other, each preceded by their length: see
    /// [`calls`](crate::calls).
    pub arguments: &'a [u8],
    /// The objects whose proxies the arguments carry. They exist at least until all of the calls have ended.
    #[serde(deserialize_with = "crate::sequence::carries")]
    pub carries: Vec<ObjectId>,
    /// How many calls; at least one.
    pub calls: u32,
}

/// How consecutive calls ended, all in the same way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallsOutcome<Bytes = Payload, Text = Arc<str>> {
    /// How many calls; at least one.
    pub calls: u32,
    /// How they ended.
    pub outcome: Outcome<Bytes, Text>,
}

/// How the calls of one report ended; nearly always in one way.
pub type CallsOutcomes<'a> = SmallVec<[CallsOutcome<&'a [u8], &'a str>; 1]>;

/// How one or more calls ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome<Bytes = Payload, Text = Arc<str>> {
    /// The function returned. These are the encoded results, each preceded by its length: see
    /// [`calls`](crate::calls).
    Returned(Bytes),
    /// It did not return, in any of the calls.
    Failed(Failure<Text>),
    /// The function returned, in one call, and the encoded result is a blob. In a report it is a whole one to which the
    /// session has a reference, which it keeps; an owner has a reference to it now.
    ReturnedBlob {
        /// The encoded result, without its length.
        blob: BlobId,
        /// How many bytes it has.
        bytes: u64,
    },
}

/// Why a call has no result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure<Text = Arc<str>> {
    /// What programs decide by.
    pub kind: FailureKind,
    /// What people read.
    pub text: Text,
}

/// The way in which a call failed. Variants are only ever added, at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FailureKind {
    /// The function panicked; the text is the panic's.
    Panicked,
    /// The worker knows no function of this name; the text lists those it knows.
    UnknownFunction,
    /// The arguments did not decode, or the result did not encode.
    BadEncoding,
    /// The worker process ended while it ran the call.
    WorkerDied,
    /// The pool was terminated.
    Terminated,
    /// The result is over a limit; the text names it.
    TooLarge,
    /// The call was dropped before it began.
    Cancelled,
    /// The worker was sent a signal to stop this call, and ended.
    Stopped,
    /// The call ran longer than its batch allows.
    TimeLimit,
    /// The arguments did not decode: a proxy among them comes from an earlier life of the manager.
    StaleEpoch,
    /// The arguments did not decode: the object of a proxy among them does not exist.
    NoSuchObject,
    /// The arguments did not decode: the object of a proxy among them is of another kind.
    WrongKind,
}
