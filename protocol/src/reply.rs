//! What the manager answers.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use crate::{ObjectId, ObjectInfo, ObjectSummary, Outcome, Payload, Refusal, RequestId, SessionInfo};

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
    TimedOut {
        /// The lock that the wait gave up and the waiter holds again, if it waited for a condition.
        reacquired: Option<LockGrant>,
    },
    /// Who set the event, if it is set.
    SetBy(Option<Cause>),
    /// How far a batch is.
    Progress(Progress),
    /// A number.
    Count(u64),
    /// Which lock a condition is over.
    Lock {
        /// The lock.
        id: ObjectId,
        /// Whether it is reentrant.
        is_reentrant: bool,
    },
    /// How a barrier is.
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
        /// How many bytes there are to be mapped.
        bytes: u64,
    },
    /// An event is published in the mirror.
    Mirrored {
        /// At which place: see [`shared_memory::mirror`](crate::shared_memory::mirror).
        number: u32,
        /// The serial that stands there as long as the event is there.
        serial: u32,
    },
}

/// What a wait took.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Taken {
    /// In a wait for any: the position of the target that was taken. In a wait for all: 0.
    pub index: u32,
    /// What was taken: one grant in a wait for any, one for each target, in order, in a wait for all.
    #[serde(deserialize_with = "crate::sequence::deserialize")]
    pub grants: SmallVec<[Grant; 1]>,
    /// The lock that the wait gave up and the waiter holds again. None if it waited for no condition, or did not
    /// block and so never gave up the lock, or the lock was removed meanwhile.
    pub reacquired: Option<LockGrant>,
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
    /// A lock, or a reentrant lock once more.
    Lock(LockGrant),
    /// The condition was notified.
    Notified,
    /// As many permits as were asked for.
    Permits {
        /// Whose some of them were, if they were abandoned; the first who died, if there are several.
        abandoned: Option<Abandonment>,
    },
    /// All parties have come to the barrier.
    Barrier {
        /// How many came before this party: each number below the number of parties is given once.
        index: u32,
        /// True for exactly one party of all: the last to come of those that brought an action, which now runs it and
        /// then lets the others go; or the last to come, with nothing to do, if nobody brought one.
        leads: bool,
        /// Which turn of the barrier this is: counted from 1, and never again.
        turn: u64,
    },
    /// The latch is at zero.
    Latch,
    /// An item of a queue.
    Item(ItemGrant),
    /// The item was put into the queue.
    Put,
    /// Every item of the queue is finished.
    Joined,
    /// Tasks to run, one after the other.
    Tasks(TasksGrant),
}

/// An item that was handed to this session, until it is acknowledged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ItemGrant {
    /// Its number among all that the queue has handed out. An item that is handed out again gets another.
    pub number: u64,
    /// Whether it carries proxies, which it keeps alive until it is acknowledged.
    pub carries: bool,
    /// The encoded item.
    pub payload: Payload,
}

/// A lock that is held now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockGrant {
    /// The number of this holding, to give it back by: never used again in the life of the manager. Acquiring a
    /// reentrant lock once more keeps it, and so does a wait for a condition that gives the lock up and has it again.
    pub hold: u64,
    /// The fencing token. Grows with every taking of any lock of the manager, also at the end of a wait for a
    /// condition, so that an outside resource can refuse who held a lock before. Acquiring a reentrant lock once more
    /// keeps it.
    pub token: u64,
    /// How often the holder has acquired it and not given it back.
    pub depth: u32,
    /// Who left it behind, if the last holder did not give it back.
    pub abandoned: Option<Abandonment>,
}

/// Who held something and did not give it back: a process that ended, or that a lock was taken from by force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Abandonment {
    /// The process id.
    pub process: u32,
    /// The name of its program.
    pub program: Arc<str>,
    /// What happened, to go after “process 12 (deploy)”: as in “was ended by signal 9 (SIGKILL)”.
    pub how: Arc<str>,
    /// For how many nanoseconds it had held it.
    pub held_ns: u64,
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
    /// The batch's stop event, which tells the task to end.
    pub stop: ObjectId,
    /// How often it was started before, in workers that died.
    pub retry: u32,
}

/// Tasks that are now this session's to run in order, and to end with `TaskEnd` each. All but the first are prefetched:
/// the session begins one only once it has sent the `TaskEnd` of the one before it, or returns it with
/// `TasksGiveBack`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TasksGrant {
    /// The batch they belong to.
    pub batch: ObjectId,
    /// The function to call.
    pub function: Arc<str>,
    /// The batch's stop event, which tells the tasks to end.
    pub stop: ObjectId,
    /// The tasks, in order; at least one.
    pub tasks: Vec<GrantedTask>,
}

/// One of several tasks that were granted together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GrantedTask {
    /// Its number in the batch.
    pub task: u32,
    /// How often it was started before, in workers that died.
    pub retry: u32,
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

/// How a barrier is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BarrierStatus {
    /// How many have to come.
    pub parties: u32,
    /// How many wait there now; while an action runs, the parties that wait for its end are among them.
    pub waiting: u32,
    /// By what it is broken, if it is.
    pub broken: Option<Arc<str>>,
}
