//! What travels between a Rallypoint manager and its clients: ids, names, requests, replies, limits, framing.
//!
//! This crate does no input or output and knows no operating system. It defines the messages and their bytes; what they
//! do is in `manager_core`. `PROTOCOL.md` beside this crate specifies every byte.
//!
//! # The life of a connection
//!
//! 1. The client sends one [`Hello`] frame; the manager answers with one [`Greeting`] frame.
//! 2. The client sends [`Envelope`] frames, each with a request; the manager sends [`Answer`] frames, each with
//!    the id of the request that it answers. Requests may be in flight together, and answers come in the order in
//!    which they are decided, which need not be the order of the requests.
//! 3. The client sends [`Request::Goodbye`] and closes. A connection that closes without it is a death.
//!
//! # Borrowed requests, owned replies
//!
//! Requests borrow from the frame in which they arrived, so the manager decodes them without copying. Replies own what
//! they carry, since a client passes them from the thread that reads to the thread that asked.

#![no_std]

extern crate alloc;

mod batch;
pub mod calls;
pub mod endpoint;
mod escaped;
mod frame;
mod grant;
mod handshake;
mod id;
mod inspect;
mod kind;
pub mod limits;
mod name;
mod payload;
mod reason;
mod refusal;
mod reply;
mod request;
mod sequence;
pub mod shared_memory;
mod shared_text;
mod shortened;
mod signal_name;
mod wait;

pub use batch::{
    BatchOptions, CallsOutcome, CallsOutcomes, Chunk, Failure, FailureKind, Outcome, StopSignal,
};
pub use escaped::{Escaped, escaped, escaped_lines};
pub use frame::{FrameBuffer, FrameError, append_frame, decode};
pub use grant::{
    Abandonment, BarrierStatus, BlobCallGrant, BlobItemGrant, CallCounts, CallsGrant, CallsResult, Cause,
    Grant, ItemGrant, LockGrant, Results, WaitResult,
};
pub use handshake::{Greeting, Hello, Introduction, MAGIC, VERSION_NEWEST, VERSION_OLDEST};
pub use id::{BlobId, Epoch, ObjectId, RequestId, SessionId, ThreadId};
pub use inspect::{
    HolderInfo, ObjectInfo, ObjectState, ObjectSummary, PermitsInfo, RunningCallInfo, SessionInfo,
    WaiterInfo, Wanted,
};
pub use kind::{Kind, LockChoice, Spec};
pub use limits::{HELLO_BYTES_MAX, Limits};
pub use name::{Name, NameError};
pub use payload::Payload;
pub use reason::{ReasonError, check_reason};
pub use refusal::{Code, Refusal};
pub use reply::{Answer, AnswerRef, Reply};
pub use request::{Envelope, OpenMode, Request, Selector};
pub use shared_memory::SharedMemory;
pub use shortened::shortened;
pub use signal_name::NamedSignal;
pub use wait::{Signal, Target, Targets, WaitMode};
