//! The operations of the owners of pools and batches, and those of workers.

use alloc::vec::Vec;

use protocol::{
    BatchOptions, BlobCallGrant, BlobId, CallCounts, CallsGrant, CallsOutcomes, Chunk, Grant, ObjectId,
    Reply, Request, Results, StopSignal, Target, ThreadId,
};

use super::answers;
use crate::{Operation, Unexpected, WaitTarget};

/// Closes a pool: it takes no more batches.
#[derive(Clone, Copy, Debug)]
pub struct PoolClose {
    /// The pool.
    pub id: ObjectId,
}

impl Operation<'static> for PoolClose {
    type Output = ();

    fn into_request(self) -> Request<'static> {
        let PoolClose { id } = self;
        Request::PoolClose { id }
    }

    fn output(reply: Reply) -> Result<(), Unexpected> {
        answers::done(reply)
    }
}

/// Closes a pool and fails all of its calls.
#[derive(Clone, Copy, Debug)]
pub struct PoolTerminate<'a> {
    /// The pool.
    pub id: ObjectId,
    /// Why, for the owners of the calls.
    pub reason: &'a str,
}

impl<'a> Operation<'a> for PoolTerminate<'a> {
    type Output = ();

    fn into_request(self) -> Request<'a> {
        let PoolTerminate { id, reason } = self;
        Request::PoolTerminate { id, reason }
    }

    fn output(reply: Reply) -> Result<(), Unexpected> {
        answers::done(reply)
    }
}

/// Makes a batch.
#[derive(Clone, Copy, Debug)]
pub struct BatchOpen<'a> {
    /// The id that the batch gets.
    pub id: ObjectId,
    /// The pool that runs it.
    pub pool: ObjectId,
    /// The name of the function that the batch calls.
    pub function: &'a str,
    /// How it runs.
    pub options: BatchOptions,
}

impl<'a> Operation<'a> for BatchOpen<'a> {
    type Output = ();

    fn into_request(self) -> Request<'a> {
        let BatchOpen { id, pool, function, options } = self;
        Request::BatchOpen { id, pool, function, options }
    }

    fn output(reply: Reply) -> Result<(), Unexpected> {
        answers::done(reply)
    }
}

/// Adds calls to a batch.
#[derive(Clone, Debug)]
pub struct BatchAdd<'a> {
    /// The batch.
    pub id: ObjectId,
    /// The calls, in chunks.
    pub chunks: Vec<Chunk<'a>>,
    /// Whether these are the last.
    pub last: bool,
}

impl<'a> Operation<'a> for BatchAdd<'a> {
    type Output = ();

    fn into_request(self) -> Request<'a> {
        let BatchAdd { id, chunks, last } = self;
        Request::BatchAdd { id, chunks, last }
    }

    fn output(reply: Reply) -> Result<(), Unexpected> {
        answers::done(reply)
    }
}

/// Adds one call to a batch, whose arguments are a blob.
#[derive(Clone, Debug)]
pub struct BatchAddBlob {
    /// The batch.
    pub id: ObjectId,
    /// A blob to which this session has a reference.
    pub blob: BlobId,
    /// The objects whose proxies are in the arguments.
    pub carries: Vec<ObjectId>,
}

impl<'a> Operation<'a> for BatchAddBlob {
    type Output = ();

    fn into_request(self) -> Request<'a> {
        let BatchAddBlob { id, blob, carries } = self;
        Request::BatchAddBlob { id, blob, carries }
    }

    fn output(reply: Reply) -> Result<(), Unexpected> {
        answers::done(reply)
    }
}

/// Ends the calls of a batch that have not begun. Its output is how many.
#[derive(Clone, Copy, Debug)]
pub struct BatchCancel {
    /// The batch.
    pub id: ObjectId,
}

impl Operation<'static> for BatchCancel {
    type Output = u64;

    fn into_request(self) -> Request<'static> {
        let BatchCancel { id } = self;
        Request::BatchCancel { id }
    }

    fn output(reply: Reply) -> Result<u64, Unexpected> {
        answers::count(reply)
    }
}

/// Has the manager send a signal to every process that runs a call of a batch. Its output is how many.
#[derive(Clone, Copy, Debug)]
pub struct BatchSignal {
    /// The batch.
    pub id: ObjectId,
    /// Which signal.
    pub signal: StopSignal,
}

impl Operation<'static> for BatchSignal {
    type Output = u64;

    fn into_request(self) -> Request<'static> {
        let BatchSignal { id, signal } = self;
        Request::BatchSignal { id, signal }
    }

    fn output(reply: Reply) -> Result<u64, Unexpected> {
        answers::count(reply)
    }
}

/// Asks how far a batch is.
#[derive(Clone, Copy, Debug)]
pub struct GetBatchProgress {
    /// The batch.
    pub id: ObjectId,
}

impl Operation<'static> for GetBatchProgress {
    type Output = CallCounts;

    fn into_request(self) -> Request<'static> {
        Request::BatchProgress { id: self.id }
    }

    fn output(reply: Reply) -> Result<CallCounts, Unexpected> {
        match reply {
            Reply::Progress(progress) => Ok(progress),
            reply => Err(Unexpected::reply(reply)),
        }
    }
}

/// Makes a batch of these calls and no others, and waits for results. None if the timeout ended first.
#[derive(Clone, Debug)]
pub struct BatchRun<'a> {
    /// The id that the batch gets.
    pub id: ObjectId,
    /// The pool that runs it.
    pub pool: ObjectId,
    /// The name of the function that the batch calls.
    pub function: &'a str,
    /// How it runs.
    pub options: BatchOptions,
    /// The calls, in chunks.
    pub chunks: Vec<Chunk<'a>>,
    /// Nanoseconds after which the wait gives up; none waits forever.
    pub timeout_ns: Option<u64>,
    /// The thread that waits.
    pub thread: ThreadId,
}

impl<'a> Operation<'a> for BatchRun<'a> {
    type Output = Option<Results>;

    fn into_request(self) -> Request<'a> {
        let BatchRun { id, pool, function, options, chunks, timeout_ns, thread } = self;
        Request::BatchRun { id, pool, function, options, chunks, timeout_ns, thread }
    }

    fn output(reply: Reply) -> Result<Option<Results>, Unexpected> {
        answers::taken(reply, ResultsTarget::accept)
    }
}

/// Reports how consecutive calls of this session ended.
#[derive(Clone, Debug)]
pub struct CallsEnd<'a> {
    /// The batch.
    pub batch: ObjectId,
    /// The number of the first of them.
    pub first: u64,
    /// How they ended, in order.
    pub ends: CallsOutcomes<'a>,
    /// The objects whose proxies the results carry.
    pub carries: Vec<ObjectId>,
}

impl<'a> Operation<'a> for CallsEnd<'a> {
    type Output = ();

    fn into_request(self) -> Request<'a> {
        let CallsEnd { batch, first, ends, carries } = self;
        Request::CallsEnd { batch, first, ends, carries }
    }

    fn output(reply: Reply) -> Result<(), Unexpected> {
        answers::done(reply)
    }
}

/// Gives back a call that this session was granted and has not begun, and all behind it that were granted together
/// with it.
#[derive(Clone, Copy, Debug)]
pub struct CallsGiveBack {
    /// The batch.
    pub batch: ObjectId,
    /// The number of the first call to give back.
    pub first: u64,
}

impl Operation<'static> for CallsGiveBack {
    type Output = ();

    fn into_request(self) -> Request<'static> {
        let CallsGiveBack { batch, first } = self;
        Request::CallsGiveBack { batch, first }
    }

    fn output(reply: Reply) -> Result<(), Unexpected> {
        answers::done(reply)
    }
}

/// Waits until a batch has results of several calls, or its last, and takes them.
#[derive(Clone, Copy, Debug)]
pub struct ResultsTarget {
    /// The batch.
    pub batch: ObjectId,
    /// How many calls must have ended, unless they are the last. At least one.
    pub least: u32,
}

impl WaitTarget<'static> for ResultsTarget {
    type Granted = Results;

    fn into_target(self) -> Target<'static> {
        let ResultsTarget { batch, least } = self;
        match least {
            1 => Target::Results { batch },
            least => Target::ManyResults { batch, least },
        }
    }

    fn accept(grant: Grant) -> Result<Results, Grant> {
        match grant {
            Grant::Results(results) => Ok(results),
            grant => Err(grant),
        }
    }
}

/// Waits until a pool has calls that have not begun, and takes some of one batch, to run them one after the other.
#[derive(Clone, Copy, Debug)]
pub struct CallsTarget {
    /// The pool.
    pub pool: ObjectId,
    /// How many calls to take at most; at least one.
    pub most: u32,
}

/// Calls that were taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TakenCalls {
    /// The calls.
    pub calls: CallsGrant,
    /// The arguments, if they did not come with the grant. Then it is one call.
    pub large: Option<LargeArguments>,
}

/// Arguments that are a blob, to which this session has a reference now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LargeArguments {
    /// The blob.
    pub blob: BlobId,
    /// How many bytes it has.
    pub bytes: u64,
}

impl WaitTarget<'static> for CallsTarget {
    type Granted = TakenCalls;

    fn into_target(self) -> Target<'static> {
        let CallsTarget { pool, most } = self;
        Target::Calls { pool, most }
    }

    fn accept(grant: Grant) -> Result<TakenCalls, Grant> {
        match grant {
            Grant::Calls(calls) => Ok(TakenCalls { calls, large: None }),
            Grant::BlobCall(granted) => {
                let BlobCallGrant { call, blob, bytes } = *granted;
                Ok(TakenCalls { calls: call, large: Some(LargeArguments { blob, bytes }) })
            }
            grant => Err(grant),
        }
    }
}
