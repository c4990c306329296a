//! A client's requests.

use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::{
    BatchOptions, BlobId, CallsOutcomes, Chunk, Epoch, Kind, ObjectId, RequestId, SessionId, SharedMemory,
    Signal, Spec, StopSignal, Targets, ThreadId, WaitMode,
};

/// A request, with what the manager needs to answer it and to lose nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Envelope<'a> {
    /// The id that the answer will carry, or [`RequestId::ONE_WAY`].
    pub request: RequestId,
    /// How many answers, from the first on, this client has read and can no longer lose. If the client dies, an item, a
    /// notification or an auto-reset event whose answer is not covered by this count goes to the next waiter. The
    /// count may lag: a client attaches the proxies in an item before it counts its answer.
    pub received: u64,
    /// The request.
    #[serde(borrow)]
    pub body: Request<'a>,
}

/// A request of a client. Variants are only ever added, at the end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Request<'a> {
    /// Opens an object, or makes one. The session then holds one reference to it.
    /// Answer: [`Reply::Opened`](crate::Reply::Opened).
    Open {
        /// The id that the object gets if this request makes it.
        id: ObjectId,
        /// The name, or none for an anonymous object.
        name: Option<&'a str>,
        /// Kind and parameters. An existing object must have the same.
        spec: Spec,
        /// What to do if the object exists, and if it does not.
        mode: OpenMode,
    },
    /// Adds one reference of this session to an object whose id it knows, as from a received proxy.
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
    /// Removes an object for everyone, with the conditions over it if it is a lock. Waits for it are refused with
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
        #[serde(borrow, deserialize_with = "crate::sequence::targets")]
        targets: Targets<'a>,
        /// Nanoseconds from its arrival until the wait times out; 0 only asks; none waits forever.
        timeout_ns: Option<u64>,
        /// The thread of the client process that waits.
        thread: ThreadId,
    },
    /// Ends a blocked request of this session, which is refused with
    /// [`Code::Cancelled`](crate::Code::Cancelled). A request whose answer is on its way stays as it is. A wait that
    /// was notified and now waits only for its lock is still blocked: its notification is passed on. But a wait that
    /// took what cannot be passed on, such as permits, is answered once it has its lock. Answer: Done.
    Cancel {
        /// The blocked request.
        request: RequestId,
    },
    /// Sets an event. Answer: Done, queued after the answers of all waits that this ends.
    EventSet {
        /// The event.
        id: ObjectId,
        /// The reason, for people and for the waiters that this wakes.
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
    /// Asks which process set an event, and why. Answer: [`Reply::SetBy`](crate::Reply::SetBy).
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
        /// The name of the function that the batch calls.
        function: &'a str,
        /// How it runs.
        options: BatchOptions,
    },
    /// Adds calls to a batch. Their numbers follow those of the calls before. Answer: Done.
    BatchAdd {
        /// The batch.
        id: ObjectId,
        /// The calls, in chunks.
        #[serde(borrow, deserialize_with = "crate::sequence::chunks")]
        chunks: Vec<Chunk<'a>>,
        /// Whether these are the last. The batch is complete once all of its calls have ended.
        last: bool,
    },
    /// Ends the calls of a batch that have not begun, as
    /// [`FailureKind::Cancelled`](crate::FailureKind::Cancelled). Those that run go on. Answer: Count, how many calls
    /// this ended.
    BatchCancel {
        /// The batch.
        id: ObjectId,
    },
    /// Has a signal sent to every process that runs a call of this batch. Such a process gets no further call.
    /// Answer: Count, how many processes.
    BatchSignal {
        /// The batch.
        id: ObjectId,
        /// The signal.
        signal: StopSignal,
    },
    /// Asks for the progress of a batch. Answer: [`Reply::Progress`](crate::Reply::Progress).
    BatchProgress {
        /// The batch.
        id: ObjectId,
    },
    /// Reports how calls ended that were granted to this session together: consecutive ones, from the first that had
    /// not ended. Calls that the manager knows to have ended already are skipped. Answer: Done.
    CallsEnd {
        /// The batch.
        batch: ObjectId,
        /// The number of the first of these calls.
        first: u64,
        /// How they ended, in order; at least one.
        #[serde(borrow, deserialize_with = "crate::sequence::ends")]
        ends: CallsOutcomes<'a>,
        /// The objects whose proxies the results carry.
        #[serde(deserialize_with = "crate::sequence::carries")]
        carries: Vec<ObjectId>,
    },
    /// Closes a pool: it takes no more batches, and workers end once its batches are complete. Answer: Done.
    PoolClose {
        /// The pool.
        id: ObjectId,
    },
    /// Closes a pool and fails all of its calls, begun or not, as
    /// [`FailureKind::Terminated`](crate::FailureKind::Terminated). Answer: Done.
    PoolTerminate {
        /// The pool.
        id: ObjectId,
        /// The reason, for the owners of the calls.
        reason: &'a str,
    },
    /// Ends the session in order: the client has read everything it was sent, and closes the connection next.
    Goodbye,
    /// Signals one object and begins a wait, in one atomic step. Waiters that the signal serves are served before the
    /// wait begins. If the signal is refused, so is the request, and nothing has changed; if the wait is refused after
    /// it could begin, the signal stands. Answer: that of the wait.
    SignalAndWait {
        /// What to do first, as the thread that waits.
        #[serde(borrow)]
        signal: Signal<'a>,
        /// As in a wait.
        mode: WaitMode,
        /// As in a wait.
        #[serde(borrow, deserialize_with = "crate::sequence::targets")]
        targets: Targets<'a>,
        /// As in a wait.
        timeout_ns: Option<u64>,
        /// As in a wait.
        thread: ThreadId,
    },
    /// Releases a lock once; a reentrant lock is free once it was released as often as it was acquired. Without a
    /// holding, a request of any session also clears the mark of an abandoned lock that nobody holds. Answer: Done.
    Release {
        /// The lock or reentrant lock.
        id: ObjectId,
        /// The holding that is given back, which any thread of the session that has it may do; or none for what the
        /// calling thread holds.
        holding: Option<u64>,
        /// The thread of the client process that asks.
        thread: ThreadId,
    },
    /// Takes a lock from any holder, however often it was acquired. The lock is abandoned then,
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
    /// Wakes those waiters of a condition that have waited longest. The calling thread holds its lock; a waiter that is
    /// woken goes on once it holds the lock again. Answer: [`Reply::Count`](crate::Reply::Count), how many were woken.
    Notify {
        /// The condition.
        id: ObjectId,
        /// How many to wake at most; none for all.
        count: Option<u32>,
        /// The holding of the lock; none for the one that the calling thread has.
        holding: Option<u64>,
        /// The thread of the client process that asks.
        thread: ThreadId,
    },
    /// Releases permits, or adds some to an unbounded semaphore. Permits beyond those that this session holds first
    /// clear the marks of abandoned ones. Answer: Done.
    SemaphoreRelease {
        /// The semaphore.
        id: ObjectId,
        /// How many; at least one.
        permits: u64,
    },
    /// Forgets permits that this session holds, without releasing them: nobody is charged with them any more, and no
    /// death makes them available. Answer: Done.
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
    /// Reports that the action of a barrier has succeeded, and lets the other parties go. The session whose party leads
    /// with an action sends it. Answer: Done.
    BarrierPass {
        /// The barrier.
        id: ObjectId,
        /// The turn that the party leads, as its grant says.
        turn: u64,
    },
    /// Breaks a barrier: waits at it are refused until it is reset. A party that leads sends it if its action failed.
    /// Answer: Done.
    BarrierAbort {
        /// The barrier.
        id: ObjectId,
        /// The turn whose action failed; refused if this session no longer runs that action. None breaks any turn.
        turn: Option<u64>,
        /// The reason, for the parties that are refused.
        reason: &'a str,
    },
    /// Makes a barrier like new. Waits at it are refused with [`Code::Broken`](crate::Code::Broken). Answer: Done.
    BarrierReset {
        /// The barrier.
        id: ObjectId,
    },
    /// Asks how many parties wait at a barrier, and whether it is broken.
    /// Answer: [`Reply::Barrier`](crate::Reply::Barrier).
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
    /// Asks how many items are in a queue, without those that were delivered. Answer: Count.
    QueueLength {
        /// The queue.
        id: ObjectId,
    },
    /// Finishes, and thereby acknowledges, an item that this session got from a joinable queue.
    /// Answer: Done.
    QueueItemDone {
        /// The queue.
        id: ObjectId,
        /// The number of the item; none for the oldest that this thread got, or else the oldest of the session.
        item: Option<u64>,
        /// The thread of the client process that asks.
        thread: ThreadId,
    },
    /// Closes a queue. A put is refused at once, and a get once the queue is empty. Answer: Done.
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
        /// The object.
        object: Selector<'a>,
    },
    /// Asks the manager to share memory. Answer: [`Reply::Shared`](crate::Reply::Shared), with a descriptor of it.
    Share {
        /// The memory.
        memory: SharedMemory,
    },
    /// Has a manual-reset event published in the mirror from now on.
    /// Answer: [`Reply::Mirrored`](crate::Reply::Mirrored).
    EventMirror {
        /// The event.
        id: ObjectId,
    },
    /// Returns calls that were granted to this session and that it has not begun, so that others may run them: this one
    /// and all behind it that were granted together with it. Answer: Done.
    CallsGiveBack {
        /// The batch.
        batch: ObjectId,
        /// The number of the first call to return.
        first: u64,
    },
    /// Makes a batch of these calls and no others, and begins a wait for its results, in one atomic step. If this is
    /// refused, there is no batch, unless its wait was cancelled after it had begun. Answer: that of a wait for
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
        #[serde(borrow, deserialize_with = "crate::sequence::chunks")]
        chunks: Vec<Chunk<'a>>,
        /// As in a wait.
        timeout_ns: Option<u64>,
        /// As in a wait.
        thread: ThreadId,
    },
    /// Binds a process session (setsid(2)) to this session, which then ends only when no process of either is left: the
    /// manager kills what is left of the process session as soon as this session's process or connection has ended, and
    /// until that is done, everything that this session holds stays held. Answer: Done.
    BindProcesses {
        /// The process that leads the process session. The client has started it, or has started a process that did,
        /// and so on; and nobody has reaped it.
        leader: u32,
    },
    /// Ends one such binding, if there is one. The client sends it once nothing of the process session runs any more.
    /// Answer: Done.
    UnbindProcesses {
        /// The process that led the process session.
        leader: u32,
    },
    /// Makes an empty blob for a payload of about this size, and reserves room for it.
    /// Answer: [`Reply::BlobOpened`](crate::Reply::BlobOpened).
    BlobOpen {
        /// How many bytes; at least [`BLOB_BYTES_MIN`](crate::limits::BLOB_BYTES_MIN).
        bytes: u64,
    },
    /// Gives a blob its bytes, all at once: a descriptor of sealed memory comes with the first byte of this frame. A
    /// session sends the next of these when this is answered. Answer: Done.
    BlobSend {
        /// The blob, which has no bytes yet.
        blob: BlobId,
        /// Exactly how many bytes the memory has.
        bytes: u64,
    },
    /// Gives a blob its bytes in pieces, of which this is the next. Answer: Done.
    BlobWrite {
        /// The blob, which is not whole yet.
        blob: BlobId,
        /// How many bytes came before.
        offset: u64,
        /// The piece.
        bytes: &'a [u8],
        /// Whether it is the last.
        last: bool,
    },
    /// Asks for the memory of a blob. Answer: [`Reply::Shared`](crate::Reply::Shared), with a descriptor of it.
    BlobFetch {
        /// The blob, which this session made or was granted.
        blob: BlobId,
    },
    /// Asks for a piece of a blob. Answer: [`Reply::Piece`](crate::Reply::Piece).
    BlobRead {
        /// The blob, which this session made or was granted.
        blob: BlobId,
        /// Where the piece begins.
        offset: u64,
        /// The most bytes to send.
        most: u32,
    },
    /// Adds one call to a batch, whose arguments are a blob. Answer: Done.
    BatchAddBlob {
        /// The batch.
        id: ObjectId,
        /// The encoded arguments, without their length: a whole blob to which this session has a reference, which it
        /// keeps.
        blob: BlobId,
        /// The objects whose proxies the arguments carry. They exist at least until the call has ended.
        #[serde(deserialize_with = "crate::sequence::carries")]
        carries: Vec<ObjectId>,
    },
    /// Gives back the reference to a blob that this session got by making it or by a grant. Answer: Done.
    BlobClose {
        /// The blob.
        blob: BlobId,
    },
}

/// What opening does if the object exists, and if it does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum OpenMode {
    /// Opens it; makes it if it does not exist.
    OpenOrCreate,
    /// Makes it; refused if it exists. A pool that is made so ends with this session.
    CreateNew,
    /// Opens it; refused if it does not exist.
    Open,
}

/// How an inspection names an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Selector<'a> {
    /// By its id.
    Id(ObjectId),
    /// By its name.
    Name(&'a str),
}
