//! What goes into the core and what comes out: inputs and effects, both plain data that can be serialized.
//!
//! Whoever keeps the inputs of a state, each with its time, can repeat whatever it did.

use alloc::string::String;

use protocol::{Envelope, Refusal, Reply, RequestId, SessionId, SharedMemory, StopSignal};
use serde::{Deserialize, Serialize};

use crate::{Holding, Publication};

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Input<'a> {
    /// A client process connected, and its hello was accepted.
    SessionBegan {
        /// Its number: never used before in this state's life.
        session: SessionId,
        /// Who it is.
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
    /// A release that a session has deferred was found. If the session no longer holds the lock in this holding,
    /// nothing happens.
    DeferredRelease(Holding),
    /// A session's process ended, or its connection did.
    SessionEnded {
        /// The session, which has begun and not ended.
        session: SessionId,
        /// How.
        ending: Ending,
    },
    /// Nothing but time passed: [`State::next_deadline`](crate::State::next_deadline) is reached.
    TimePassed,
}

/// Who is at the other end of a session, as the kernel and the client tell.
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
pub enum Ending {
    /// It said goodbye: everything it was sent has been received.
    Goodbye,
    /// It ended otherwise.
    Died(DeathCause),
}

/// How a process or its connection ended, as far as could be told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DeathCause {
    /// The process was ended by this signal.
    Signal(i32),
    /// The process exited with this status, without a goodbye.
    Exit(i32),
    /// The connection closed while the process lived, or nothing could be learned of the process.
    Disconnected,
    /// The manager cut the connection, for this reason.
    Dropped(String),
}

/// One thing to do, for whoever drives the core. Effects are to be done in order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Effect {
    /// Send this answer. The session has begun; if the input that this follows from is its end, nobody is there to
    /// read it, and it may be skipped.
    Reply {
        /// To whom.
        session: SessionId,
        /// The request that it answers; never [`RequestId::ONE_WAY`].
        request: RequestId,
        /// The answer.
        reply: Reply,
    },
    /// Answer this request with [`Reply::Shared`] and a descriptor of this memory, or with a refusal where there can be
    /// none. As for a reply, nobody may be there to read it.
    Share {
        /// To whom.
        session: SessionId,
        /// The request that it answers; never [`RequestId::ONE_WAY`].
        request: RequestId,
        /// Which memory.
        memory: SharedMemory,
    },
    /// Write this into the mirror, and wake the threads that sleep at its place if they may go on: if the event is
    /// set, or no longer exists.
    Publish(Publication),
    /// Write into the memory for deferred releases of a session how many of its locks are wanted; then look there for
    /// a holding, if one is named. For each time that it is there, apply [`Input::DeferredRelease`] next. A session
    /// that could not be given this memory has none.
    LocksWanted {
        /// Whose memory.
        session: SessionId,
        /// How many of the locks that it holds others wait for.
        wanted: u64,
        /// A holding that may have been released there.
        holding: Option<Holding>,
    },
    /// Send this signal to the process of a session, which has begun and not ended.
    Signal {
        /// To whom.
        session: SessionId,
        /// Which.
        signal: StopSignal,
    },
    /// Send this refusal under [`RequestId::ONE_WAY`], then close the connection. The session's end is to be told
    /// as an input of its own.
    Drop {
        /// Whom.
        session: SessionId,
        /// Why.
        refusal: Refusal,
    },
}
