//! Tasks: what is sent with them, and how they end.

use alloc::sync::Arc;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::{ObjectId, Payload};

/// How a batch runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchOptions {
    /// The id of the batch's stop event, which is made with the batch, with one reference of the session. Once it was
    /// set, tasks that have not started never start, and end as [`FailureKind::Cancelled`].
    pub stop: ObjectId,
    /// An event that also sets the stop event when it is set, such as the stop event of the task that opens this batch.
    pub parent: Option<ObjectId>,
    /// Tasks of higher priority start first; those of one priority take turns, batch by batch.
    pub priority: i32,
    /// How often a task is started again if its worker dies.
    pub retries: u32,
    /// Nanoseconds that a task may run. After that its worker is killed, and it fails as [`FailureKind::TimeLimit`].
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

/// One task to be added to a batch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskInput<'a> {
    /// The encoded arguments.
    pub arguments: &'a [u8],
    /// The objects whose proxies the arguments carry. They exist at least until the task has ended.
    pub carries: Vec<ObjectId>,
}

/// How a task ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome<Bytes = Payload, Text = Arc<str>> {
    /// The function returned; these are its encoded results.
    Returned(Bytes),
    /// It did not return.
    Failed(Failure<Text>),
}

/// Why a task has no result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure<Text = Arc<str>> {
    /// What programs decide by.
    pub kind: FailureKind,
    /// What people read.
    pub text: Text,
}

/// The way in which a task failed. Variants are only ever added, at the end.
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
    /// The task was dropped before it started.
    Cancelled,
    /// The worker was sent a signal to stop this task, and ended.
    Stopped,
    /// The task ran longer than its batch allows.
    TimeLimit,
    /// The arguments did not decode: a proxy among them comes from an earlier life of the manager.
    StaleEpoch,
    /// The arguments did not decode: the object of a proxy among them does not exist.
    NoSuchObject,
    /// The arguments did not decode: the object of a proxy among them is of another kind.
    WrongKind,
}
