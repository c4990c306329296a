//! What the manager answers.

use alloc::sync::Arc;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use crate::{ObjectId, Outcome, Payload, Refusal, RequestId};

/// A reply on its way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// The request that this answers, or [`RequestId::ONE_WAY`] for a refusal of the connection as a whole.
    pub request: RequestId,
    /// The reply.
    pub body: Reply,
}

/// What the manager can answer. Variants are only ever added, at the end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reply {
    /// It is done, and there is nothing more to say.
    Done,
    /// It was not done.
    Refused(Refusal),
    /// Yes or no.
    Flag(bool),
    /// An object was opened.
    Opened {
        /// Its id: the one in the request only if it was made just now.
        id: ObjectId,
        /// Whether it was made just now.
        created: bool,
    },
    /// A wait has ended with what it waited for.
    Taken(Taken),
    /// A wait has ended without.
    TimedOut,
    /// Who set the event, if it is set.
    SetBy(Option<Cause>),
    /// How far a batch is.
    Progress(Progress),
}

/// What a wait took.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Taken {
    /// In a wait for any: the position of the target that was taken. In a wait for all: 0.
    pub index: u32,
    /// What was taken: one grant in a wait for any, one for each target, in order, in a wait for all.
    pub grants: SmallVec<[Grant; 1]>,
}

/// What one target gave. Variants are only ever added, at the end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Grant {
    /// The event was set, by this cause.
    Event(Cause),
    /// A task to run.
    Task(TaskGrant),
    /// Results of a batch.
    Results(Results),
}

/// Who set an event, when, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cause {
    /// The process id of the client that set it.
    pub process: u32,
    /// The name of its program.
    pub program: Arc<str>,
    /// How many nanoseconds before this reply.
    pub age_ns: u64,
    /// The reason it gave.
    pub reason: Option<Arc<str>>,
}

/// A task that is now this session's to run, and to end with `TaskEnd`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskGrant {
    /// The batch it belongs to.
    pub batch: ObjectId,
    /// Its number there.
    pub task: u32,
    /// The function to call.
    pub function: Arc<str>,
    /// The encoded arguments.
    pub arguments: Payload,
}

/// Results of a batch, in the order in which they came.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Results {
    /// Those that had not been taken before, as many as fit into a reply.
    pub results: Vec<TaskResult>,
    /// Whether these were the last: every task has ended, and no more will be added.
    pub complete: bool,
}

/// How one task of a batch ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskResult {
    /// The task's number.
    pub task: u32,
    /// How it ended.
    pub outcome: Outcome,
}

/// How far a batch is, in tasks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Those that wait for a worker.
    pub waiting: u32,
    /// Those that run.
    pub running: u32,
    /// Those that returned.
    pub returned: u32,
    /// Those that failed.
    pub failed: u32,
}
