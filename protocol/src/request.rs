//! What a client asks for.

use alloc::vec::Vec;

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use crate::{Epoch, Kind, ObjectId, Payload, RequestId, Spec, ThreadId};

/// A request on its way, with what the manager needs to answer it and to lose nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Envelope<'a> {
    /// The id that the answer will carry, or [`RequestId::ONE_WAY`].
    pub request: RequestId,
    /// How many answers this client has read from this connection so far. A grant that was sent and is not
    /// covered by this count goes to the next in line if the client dies.
    pub received: u64,
    /// The request.
    #[serde(borrow)]
    pub body: Request<'a>,
}

/// What a client can ask. Variants are only ever added, at the end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Request<'a> {
    /// Opens an object, or makes one. The session then holds one reference to it.
    /// Answer: [`Reply::Opened`](crate::Reply::Opened).
    Open {
        /// The id that the object gets if this makes it.
        id: ObjectId,
        /// The name, or none for an anonymous object.
        name: Option<&'a str>,
        /// Kind and parameters, which an existing object must have too.
        spec: Spec,
        /// What to do with an object that is there, or is not.
        mode: OpenMode,
    },
    /// Adds one reference of this session to an object that it knows by id, as from a received proxy.
    /// Answer: [`Reply::Done`](crate::Reply::Done).
    Attach {
        /// The object.
        id: ObjectId,
        /// The kind that the proxy stands for.
        kind: Kind,
        /// The life of the manager that the proxy comes from.
        epoch: Epoch,
    },
    /// Gives back one reference. An anonymous object without any is freed. Answer: Done.
    Detach {
        /// The object.
        id: ObjectId,
    },
    /// Takes a named object away for everyone. Who waits for it is refused with
    /// [`Code::Removed`](crate::Code::Removed). Answer: Done.
    Remove {
        /// The object.
        id: ObjectId,
    },
    /// Waits for any or all of some targets, and takes them, in one atomic step.
    /// Answer: [`Reply::Taken`](crate::Reply::Taken) or [`Reply::TimedOut`](crate::Reply::TimedOut).
    Wait {
        /// Whether one target is enough.
        mode: WaitMode,
        /// What to wait for. In a wait for any, the first in this order that is ready is taken.
        targets: Targets,
        /// Nanoseconds after its arrival at which the wait gives up; 0 only asks; none waits for ever.
        timeout_ns: Option<u64>,
        /// Who in the client process waits.
        thread: ThreadId,
    },
    /// Ends a blocked request of this session, which is refused with
    /// [`Code::Cancelled`](crate::Code::Cancelled). One that is decided already stays so. Answer: Done.
    Cancel {
        /// The blocked request.
        request: RequestId,
    },
    /// Sets an event. Answer: Done, after everyone whom this wakes has their answer queued.
    EventSet {
        /// The event.
        id: ObjectId,
        /// Why, for those who look.
        reason: Option<&'a str>,
    },
    /// Clears an event. Answer: Done.
    EventClear {
        /// The event.
        id: ObjectId,
    },
    /// Asks whether an event is set. Answer: [`Reply::Flag`](crate::Reply::Flag).
    EventIsSet {
        /// The event.
        id: ObjectId,
    },
    /// Asks who set an event, and why. Answer: [`Reply::SetBy`](crate::Reply::SetBy).
    EventCause {
        /// The event.
        id: ObjectId,
    },
    /// Makes a batch, with one reference of this session. It belongs to this session: it is cancelled when the
    /// session ends. Answer: Done.
    BatchOpen {
        /// The id of the batch.
        id: ObjectId,
        /// The pool that runs it.
        pool: ObjectId,
        /// The name of the function that every task of the batch calls.
        function: &'a str,
    },
    /// Adds tasks to a batch, which are numbered on from those before. Answer: Done.
    BatchAdd {
        /// The batch.
        id: ObjectId,
        /// The tasks.
        #[serde(borrow)]
        tasks: Vec<TaskInput<'a>>,
        /// Whether these were the last. The batch is complete when all of them have ended.
        last: bool,
    },
    /// Asks how far a batch is. Answer: [`Reply::Progress`](crate::Reply::Progress).
    BatchProgress {
        /// The batch.
        id: ObjectId,
    },
    /// Tells how a task ended that was granted to this session. Answer: Done.
    TaskEnd {
        /// The batch.
        batch: ObjectId,
        /// The task's number in it.
        task: u32,
        /// How it ended.
        #[serde(borrow)]
        outcome: Outcome<&'a [u8], &'a str>,
        /// The objects whose proxies the result carries.
        carries: Vec<ObjectId>,
    },
    /// Takes no more batches into a pool. Workers end when what is in it has ended. Answer: Done.
    PoolClose {
        /// The pool.
        id: ObjectId,
    },
    /// Closes a pool and fails all of its tasks, started or not, as [`FailureKind::Terminated`]. Answer: Done.
    PoolTerminate {
        /// The pool.
        id: ObjectId,
        /// Why, for the owners of the tasks.
        reason: &'a str,
    },
    /// Says that the session ends in order, everything it was sent has been read, and the connection closes next.
    Goodbye,
}

/// What opening does with an object that is there, or is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum OpenMode {
    /// Opens it; makes it if it is not there.
    OpenOrCreate,
    /// Makes it; refused if it is there.
    CreateNew,
    /// Opens it; refused if it is not there.
    Open,
}

/// Whether one of several targets is enough for a wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum WaitMode {
    /// The first target in list order that is ready is taken.
    Any,
    /// As soon as all are ready at one time, all are taken. None is taken before.
    All,
}

/// The targets of a wait; nearly always one.
pub type Targets = SmallVec<[Target; 1]>;

/// Something to wait for. Variants are only ever added, at the end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Target {
    /// Ready when the event is set. Taking clears it if it is an auto-reset event.
    Event {
        /// The event.
        id: ObjectId,
    },
    /// For a worker: ready when the pool has a task that has not started. Taking starts it in this session.
    Task {
        /// The pool.
        pool: ObjectId,
    },
    /// For a batch's owner: ready when results have come that were not taken, or when the batch is complete.
    /// Taking moves the results out of the manager.
    Results {
        /// The batch.
        batch: ObjectId,
    },
}

impl Target {
    /// The object to wait for, and the kind that it must have.
    pub fn object(&self) -> (ObjectId, Kind) {
        match *self {
            Target::Event { id } => (id, Kind::Event),
            Target::Task { pool } => (pool, Kind::Pool),
            Target::Results { batch } => (batch, Kind::Batch),
        }
    }
}

/// One task to be added to a batch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskInput<'a> {
    /// The encoded arguments.
    pub arguments: &'a [u8],
    /// The objects whose proxies the arguments carry. They stay alive until the task has ended.
    pub carries: Vec<ObjectId>,
}

/// How a task ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome<Bytes = Payload, Text = alloc::string::String> {
    /// The function returned; these are its encoded results.
    Returned(Bytes),
    /// It did not return.
    Failed(Failure<Text>),
}

/// Why a task has no result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure<Text = alloc::string::String> {
    /// What programs decide by.
    pub kind: FailureKind,
    /// What people read.
    pub text: Text,
}

/// In which way a task failed. Variants are only ever added, at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FailureKind {
    /// The function panicked; the text is the panic's.
    Panicked,
    /// The worker knows no function of this name; the text lists those it knows.
    UnknownFunction,
    /// The arguments did not decode, or the result did not encode.
    BadEncoding,
    /// The worker process ended while it ran the task.
    WorkerDied,
    /// The pool was terminated.
    Terminated,
    /// The result is over a limit; the text names it.
    TooLarge,
}
