//! Everything that a client can do with the objects of a manager, each operation as a typed value.
//!
//! There is one file for each kind of object. A client can wait for a [`WaitTarget`](crate::WaitTarget), of which
//! [`WaitFor`] makes an operation.

mod answers;
mod barrier;
mod blob;
mod condition;
mod event;
mod inspect;
mod latch;
mod lock;
mod open;
mod pool;
mod queue;
mod semaphore;
mod session;
mod wait;

pub use barrier::{BarrierAbort, BarrierPass, BarrierReset, BarrierTarget, BarrierTurn, GetBarrierStatus};
pub use blob::{BlobClose, BlobFetch, BlobOpen, BlobRead, BlobSend, BlobWrite, OpenedBlob, blobs_of};
pub use condition::{ConditionLock, ConditionNotify, ConditionTarget, LockOfCondition};
pub use event::{EventClear, EventIsSet, EventPlace, EventSet, EventTarget, GetEventCause, PublishEvent};
pub use inspect::{Inspect, ListObjects, ListSessions, Page};
pub use latch::{LatchCount, LatchCountDown, LatchTarget};
pub use lock::{LockForceRelease, LockRelease, LockTarget};
pub use open::{Attach, Detach, Open, Remove};
pub use pool::{
    BatchAdd, BatchAddBlob, BatchCancel, BatchOpen, BatchRun, BatchSignal, CallsEnd, CallsGiveBack,
    CallsTarget, GetBatchProgress, LargeArguments, PoolClose, PoolTerminate, ResultsTarget, TakenCalls,
};
pub use queue::{
    GetTarget, JoinTarget, PutContent, PutTarget, QueueClose, QueueItemDone, QueueLength, TakenContent,
    TakenItem, brings_item,
};
pub use semaphore::{PermitsTarget, SemaphoreAvailable, SemaphoreForget, SemaphoreRelease};
pub use session::{BindProcesses, Cancel, Goodbye, Share, UnbindProcesses};
pub use wait::{Either, Wait, WaitEnd, WaitFor, WaitForEither, may_be_late};

#[cfg(test)]
mod tests;
