//! What a client asks for.

use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::{
    BatchOptions, Epoch, Kind, ObjectId, Outcome, RequestId, SessionId, SharedMemory, Signal, Spec,
    StopSignal, Targets, TaskInput, ThreadId, WaitMode,
};

/// A request on its way, with what the manager needs to answer it and to lose nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Envelope<'a> {
    /// The id that the answer will carry, or [`RequestId::ONE_WAY`].
    pub request: RequestId,
    /// How many answers, from the first on, this client has read and will not lose any more. An item, a
    /// notification or an auto-reset event whose answer is not covered by this count goes to the next in line if
    /// the client dies. The count may lag: a client attaches the proxies in an item before it counts its answer.
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
    /// Takes an object away for everyone, with the conditions over it if it is a lock. Who waits for it is refused
    /// with [`Code::Removed`](crate::Code::Removed). Answer: Done.
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
        #[serde(borrow, deserialize_with = "crate::sequence::deserialize")]
        targets: Targets<'a>,
        /// Nanoseconds after its arrival at which the wait gives up; 0 only asks; none waits for ever.
        timeout_ns: Option<u64>,
        /// Who in the client process waits.
        thread: ThreadId,
    },
    /// Ends a blocked request of this session, which is refused with
    /// [`Code::Cancelled`](crate::Code::Cancelled). One whose answer is on its way stays as it is. A wait that was
    /// notified and only waits for its lock is still blocked: its notification is passed on. But one that took what
    /// can not be passed on, such as permits, is answered when it has its lock. Answer: Done.
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
        /// How it runs.
        options: BatchOptions,
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
    /// Ends the tasks of a batch that have not started, as
    /// [`FailureKind::Cancelled`](crate::FailureKind::Cancelled). Those that run go on. Answer: Count, how many there
    /// were.
    BatchCancel {
        /// The batch.
        id: ObjectId,
    },
    /// Has a signal sent to every process that runs a task of this batch. Such a process gets no other task any more.
    /// Answer: Count, how many there were.
    BatchSignal {
        /// The batch.
        id: ObjectId,
        /// Which signal.
        signal: StopSignal,
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
    /// Closes a pool and fails all of its tasks, started or not, as
    /// [`FailureKind::Terminated`](crate::FailureKind::Terminated). Answer: Done.
    PoolTerminate {
        /// The pool.
        id: ObjectId,
        /// Why, for the owners of the tasks.
        reason: &'a str,
    },
    /// Says that the session ends in order, everything it was sent has been read, and the connection closes next.
    Goodbye,
    /// Signals one object and begins a wait, in one atomic step; whom the signal serves is served before the wait
    /// begins. If the signal is refused, so is the request, and nothing has changed; if the wait is refused, the
    /// signal stands. Answer: that of the wait.
    SignalAndWait {
        /// What to do first, as the thread that waits.
        #[serde(borrow)]
        signal: Signal<'a>,
        /// As in a wait.
        mode: WaitMode,
        /// As in a wait.
        #[serde(borrow, deserialize_with = "crate::sequence::deserialize")]
        targets: Targets<'a>,
        /// As in a wait.
        timeout_ns: Option<u64>,
        /// As in a wait.
        thread: ThreadId,
    },
    /// Gives back a lock once; a reentrant lock is free when it was given back as often as it was acquired. Without
    /// a holding this also clears the mark of an abandoned lock that nobody holds, whoever asks. Answer: Done.
    Release {
        /// The lock or reentrant lock.
        id: ObjectId,
        /// The holding that is given back, which any thread of the session that has it may do; or none for what the
        /// calling thread holds.
        hold: Option<u64>,
        /// Who in the client process asks.
        thread: ThreadId,
    },
    /// Takes a lock from its holder, whoever that is and however often it was acquired. The lock is abandoned then,
    /// and what its holder sends to release it is refused. Answer: Done.
    ForceRelease {
        /// The lock or reentrant lock.
        id: ObjectId,
    },
    /// Asks which lock a condition is over. Answer: [`Reply::Lock`](crate::Reply::Lock).
    ConditionLock {
        /// The condition.
        id: ObjectId,
    },
    /// Wakes those who have waited longest for a condition. The calling thread holds its lock, and those who are
    /// woken go on when they have it. Answer: [`Reply::Count`](crate::Reply::Count), how many were woken.
    Notify {
        /// The condition.
        id: ObjectId,
        /// How many to wake at most; none for all.
        count: Option<u32>,
        /// The holding of the lock; or none for whichever the calling thread has.
        hold: Option<u64>,
        /// Who in the client process asks.
        thread: ThreadId,
    },
    /// Gives back permits, or adds to those of a plain semaphore. Clears the marks of abandoned ones, as far as more
    /// come than this session holds. Answer: Done.
    SemaphoreRelease {
        /// The semaphore.
        id: ObjectId,
        /// How many; at least one.
        permits: u64,
    },
    /// Lets go of permits that this session holds, without giving them back: nobody is charged with them any more,
    /// and no death makes them available. Answer: Done.
    SemaphoreForget {
        /// The semaphore.
        id: ObjectId,
        /// How many; at most as many as it holds.
        permits: u64,
    },
    /// Asks how many permits are available, abandoned ones among them. Answer: Count.
    SemaphoreAvailable {
        /// The semaphore.
        id: ObjectId,
    },
    /// Says that the action of a barrier has ended well, and lets the other parties go. Sent by the session whose
    /// party brought an action and was chosen to lead. Answer: Done.
    BarrierPass {
        /// The barrier.
        id: ObjectId,
        /// The turn that the party leads, as its grant told.
        turn: u64,
    },
    /// Breaks a barrier: who waits is refused, and who comes, until it is reset. So says a party that leads that
    /// its action failed. Answer: Done.
    BarrierAbort {
        /// The barrier.
        id: ObjectId,
        /// The turn whose action failed; refused if this session does not run it any more. None breaks any turn.
        turn: Option<u64>,
        /// Why, for those who are refused.
        reason: &'a str,
    },
    /// Makes a barrier like new. Who waits is refused with [`Code::Broken`](crate::Code::Broken). Answer: Done.
    BarrierReset {
        /// The barrier.
        id: ObjectId,
    },
    /// Asks how many wait at a barrier, and whether it is broken. Answer: [`Reply::Barrier`](crate::Reply::Barrier).
    BarrierStatus {
        /// The barrier.
        id: ObjectId,
    },
    /// Counts a latch down, to zero at the lowest. Answer: Count, what is left.
    LatchCountDown {
        /// The latch.
        id: ObjectId,
        /// By how much.
        count: u64,
    },
    /// Asks for the count of a latch. Answer: Count.
    LatchCount {
        /// The latch.
        id: ObjectId,
    },
    /// Asks how many items are in a queue; those that were handed out are not. Answer: Count.
    QueueLength {
        /// The queue.
        id: ObjectId,
    },
    /// Says that an unfinished item that this session got from a joinable queue is finished, which acknowledges it.
    /// Answer: Done.
    QueueTaskDone {
        /// The queue.
        id: ObjectId,
        /// The number of the item; or none for the oldest that this thread got, or else the session.
        item: Option<u64>,
        /// Who in the client process asks.
        thread: ThreadId,
    },
    /// Takes no more items into a queue. Who puts is refused at once, and who gets when it is empty. Answer: Done.
    QueueClose {
        /// The queue.
        id: ObjectId,
    },
    /// Lists sessions in the order of their numbers, a thousand at most.
    /// Answer: [`Reply::Sessions`](crate::Reply::Sessions).
    ListSessions {
        /// Only those after this one.
        after: Option<SessionId>,
    },
    /// Lists objects in the order of their ids, a thousand at most.
    /// Answer: [`Reply::Objects`](crate::Reply::Objects).
    ListObjects {
        /// Only those after this one.
        after: Option<ObjectId>,
    },
    /// Asks for everything about one object. Answer: [`Reply::Object`](crate::Reply::Object).
    Inspect {
        /// Which.
        object: Selector<'a>,
    },
    /// Asks for memory to be shared. Answer: [`Reply::Shared`](crate::Reply::Shared), with a descriptor of it.
    Share {
        /// Which memory.
        memory: SharedMemory,
    },
    /// Has a manual-reset event published in the mirror from now on. Answer:
    /// [`Reply::Mirrored`](crate::Reply::Mirrored).
    EventMirror {
        /// The event.
        id: ObjectId,
    },
    /// Gives back tasks that were granted to this session and that it has not begun, so that others may run them.
    /// Answer: Done.
    TasksGiveBack {
        /// The batch.
        batch: ObjectId,
        /// The numbers of the tasks, in the order in which they were granted.
        tasks: Vec<u32>,
    },
    /// Makes a batch of these tasks and no others, and begins a wait for its results, in one atomic step. If it is
    /// refused, there is no batch, unless it had begun and its wait was cancelled. Answer: that of a wait for
    /// [`Target::Results`](crate::Target::Results).
    BatchRun {
        /// As in [`BatchOpen`](Self::BatchOpen).
        id: ObjectId,
        /// As in [`BatchOpen`](Self::BatchOpen).
        pool: ObjectId,
        /// As in [`BatchOpen`](Self::BatchOpen).
        function: &'a str,
        /// As in [`BatchOpen`](Self::BatchOpen).
        options: BatchOptions,
        /// As in [`BatchAdd`](Self::BatchAdd).
        #[serde(borrow)]
        tasks: Vec<TaskInput<'a>>,
        /// As in a wait.
        timeout_ns: Option<u64>,
        /// As in a wait.
        thread: ThreadId,
    },
}

/// What opening does with an object that is there, or is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum OpenMode {
    /// Opens it; makes it if it is not there.
    OpenOrCreate,
    /// Makes it; refused if it is there. A pool that is made so ends with this session.
    CreateNew,
    /// Opens it; refused if it is not there.
    Open,
}

/// How an object is named by who looks at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Selector<'a> {
    /// By its id.
    Id(ObjectId),
    /// By its name.
    Name(&'a str),
}
