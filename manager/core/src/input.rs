//! What goes into the core and what comes out: inputs and effects, both plain data that can be serialized.
//!
//! A driver that keeps the inputs of a state, each with its time, can repeat everything that the state did.

use alloc::string::String;
use alloc::vec::Vec;

use protocol::{BlobId, Envelope, Payload, Refusal, Reply, RequestId, SessionId, SharedMemory, StopSignal};
use serde::{Deserialize, Serialize};

use crate::{CallRecord, Holding, Publication};

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Input<'a> {
    /// A client process connected, and its hello was accepted.
    SessionBegan {
        /// Its number: never used before in this state's life.
        session: SessionId,
        /// The client.
        peer: Peer,
    },
    /// A request of a session arrived.
    Request {
        /// The session, which has begun and not ended.
        session: SessionId,
        /// The request.
        #[serde(borrow)]
        envelope: Envelope<'a>,
    },
    /// A [`BlobSend`](protocol::Request::BlobSend) of a session arrived. The driver has looked at the descriptor that
    /// came with it, if one did. Any other request arrives as it is.
    BlobArrived {
        /// The session, which has begun and not ended.
        session: SessionId,
        /// What arrived.
        arrival: BlobArrival,
    },
    /// The driver found a release that a session has deferred. If the session no longer holds the lock in this holding,
    /// nothing happens.
    DeferredRelease(Holding),
    /// A session's process ended, or its connection did, and processes that are bound to it are still there. Nothing
    /// more comes of it but its end. Its waits end now, and what it holds stays held until then.
    SessionEnding {
        /// The session, which has begun and not ended.
        session: SessionId,
        /// How.
        ending: SessionEnd,
        /// The leaders of the process sessions that are bound to it.
        bound: Vec<u32>,
    },
    /// The driver has read the [call record](protocol::SharedMemory::CallRecord) of a session, because the session is
    /// about to end or because of [`Effect::ReadCallRecord`].
    CallsFound {
        /// The session, which has begun and not ended.
        session: SessionId,
        /// Whether the session is about to end, so that the record also says which calls have begun.
        is_last: bool,
        /// What the record says, true or not.
        #[serde(borrow)]
        record: CallRecord<'a>,
    },
    /// A session's process ended, or its connection did, and so did all processes that were bound to it.
    SessionEnded {
        /// The session, which has begun and not ended.
        session: SessionId,
        /// How.
        ending: SessionEnd,
    },
    /// Nothing but time passed: [`State::next_deadline`](crate::State::next_deadline) is reached. It also goes on with
    /// what earlier inputs have left.
    TimePassed,
}

/// A request to give a blob its bytes, and what came with it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlobArrival {
    /// As in the envelope.
    pub request: RequestId,
    /// As in the envelope.
    pub received: u64,
    /// The blob.
    pub blob: BlobId,
    /// How many bytes it is to have.
    pub bytes: u64,
    /// Why its memory is not taken. `None` if memory came of exactly this size, which nobody can change.
    pub refusal: Option<Refusal>,
}

/// The process at the other end of a session, as the kernel and the client describe it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peer {
    /// The process id.
    pub process: u32,
    /// The name of the program, at most [`PROGRAM_BYTES_MAX`](protocol::limits::PROGRAM_BYTES_MAX) bytes, without
    /// control characters.
    pub program: String,
}

/// How a session ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SessionEnd {
    /// It said goodbye: it has received everything that it was sent.
    Goodbye,
    /// It ended otherwise.
    Died(DeathCause),
}

impl SessionEnd {
    /// Whether the manager knows which calls of the session have begun: it has read everything that the session sent,
    /// and the session does nothing more. A process that lives on without its connection may begin further calls.
    pub(crate) fn tells_what_has_begun(&self) -> bool {
        !matches!(self, SessionEnd::Died(DeathCause::Disconnected | DeathCause::Dropped(_)))
    }
}

/// How a process or its connection ended, as far as the driver knows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DeathCause {
    /// The process was ended by this signal.
    Signal(i32),
    /// The process exited with this status, without a goodbye.
    Exit(i32),
    /// The process ended in a way that the driver could not learn.
    Ended,
    /// The connection closed, and as far as the driver knows the process lives.
    Disconnected,
    /// The manager cut the connection, for this reason.
    Dropped(String),
}

/// One thing to do, for the driver of the core. It does effects in order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Effect {
    /// Send this answer. The session has begun; if the input that causes this is the session's end, nobody is there to
    /// read it, and the driver may skip it.
    Reply {
        /// To whom.
        session: SessionId,
        /// The request that it answers; never [`RequestId::ONE_WAY`].
        request: RequestId,
        /// The answer.
        reply: Reply,
    },
    /// Answer this request with [`Reply::Shared`] and a descriptor of this memory, or with a refusal if there can be
    /// none. As with a reply, there may be nobody to read it.
    Share {
        /// To whom.
        session: SessionId,
        /// The request that it answers; never [`RequestId::ONE_WAY`].
        request: RequestId,
        /// Which memory.
        memory: SharedMemory,
    },
    /// Bind the process session that this process leads to a session, and answer the request with
    /// [`Reply::Done`], or with a refusal. As with a reply, there may be nobody to read it.
    Bind {
        /// To whom.
        session: SessionId,
        /// The request that it answers; never [`RequestId::ONE_WAY`].
        request: RequestId,
        /// The leader of the process session.
        leader: u32,
    },
    /// End such a binding, if there is one.
    Unbind {
        /// Of whom.
        session: SessionId,
        /// The leader of the process session.
        leader: u32,
    },
    /// Write this into the mirror, and wake the threads that sleep at its place if they may go on: if the event is
    /// set, or no longer exists.
    Publish(Publication),
    /// Write into the memory for deferred releases of a session how many of its locks are wanted; then look there for
    /// a holding, if one is named. For each time that it is there, apply [`Input::DeferredRelease`] next. A session may
    /// have no such memory, if there was none to give.
    LocksWanted {
        /// Whose memory.
        session: SessionId,
        /// How many of the locks that it holds others wait for.
        wanted: u64,
        /// A holding that may have been released there.
        holding: Option<Holding>,
    },
    /// Read the call record of a session, if it has one, and apply [`Input::CallsFound`] before any other input. Its
    /// process goes on, and may write meanwhile.
    ReadCallRecord {
        /// Whose record.
        session: SessionId,
    },
    /// Do this with the memory of a blob.
    Blob(BlobEffect),
    /// Send this signal to the process of a session, which has begun. If it has ended, there is nobody to signal.
    Signal {
        /// To whom.
        session: SessionId,
        /// Which.
        signal: StopSignal,
    },
    /// Send this refusal under [`RequestId::ONE_WAY`], then close the connection. The session's end follows as an input
    /// of its own.
    Drop {
        /// Whom.
        session: SessionId,
        /// Why.
        refusal: Refusal,
    },
}

/// One thing to do with the memory of a blob.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum BlobEffect {
    /// There is a new blob. Answer this request with [`Reply::BlobOpened`], and say there whether a descriptor can be
    /// taken. As with a reply, there may be nobody to read it.
    Opened {
        /// To whom.
        session: SessionId,
        /// The request that it answers; never [`RequestId::ONE_WAY`].
        request: RequestId,
        /// The blob.
        blob: BlobId,
    },
    /// Keep the memory that came with this input as that of the blob.
    Sent {
        /// The blob.
        blob: BlobId,
    },
    /// Append these bytes to the memory of a blob.
    Written {
        /// The blob.
        blob: BlobId,
        /// The bytes.
        bytes: Payload,
    },
    /// Answer this request with [`Reply::Shared`] and a descriptor of the memory, or with a refusal if it came in
    /// pieces. As with a reply, there may be nobody to read it.
    Fetched {
        /// To whom.
        session: SessionId,
        /// The request that it answers; never [`RequestId::ONE_WAY`].
        request: RequestId,
        /// The blob.
        blob: BlobId,
        /// How many bytes it has.
        bytes: u64,
    },
    /// Answer this request with [`Reply::Piece`]. As with a reply, there may be nobody to read it.
    Read {
        /// To whom.
        session: SessionId,
        /// The request that it answers; never [`RequestId::ONE_WAY`].
        request: RequestId,
        /// The blob.
        blob: BlobId,
        /// Where the piece begins.
        offset: u64,
        /// How many bytes it has.
        bytes: u32,
    },
    /// Drop the memory of a blob, of which there is no more.
    Freed {
        /// The blob.
        blob: BlobId,
    },
}
