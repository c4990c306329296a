//! Every limit of the product, in one place.
//!
//! A limit that both sides must agree on is a constant; one that each manager may set for itself is a field of
//! [`Limits`]. Going beyond a limit is never silent: each limit says what follows. If the manager refuses the request,
//! nothing has changed, and the text of the refusal names the limit. If it ends the session, it sends such a refusal
//! first.

use core::time::Duration;

use serde::{Deserialize, Serialize};

/// The largest body of a hello or a greeting, in bytes. A larger hello is not read: it ends the connection, with
/// [`Code::Protocol`](crate::Code::Protocol).
pub const HELLO_BYTES_MAX: usize = 4096;

/// The largest body of any other frame, in bytes. A larger one is not read: it ends the session, with
/// [`Code::Protocol`](crate::Code::Protocol). A request whose answer would be larger is refused with
/// [`Code::LimitReached`](crate::Code::LimitReached).
pub const FRAME_BYTES_MAX: usize = 16 << 20;

/// The largest arguments or results of calls that travel together, or item of a queue, encoded, in bytes: a frame, less
/// ample room for what surrounds them. Larger arguments or a larger item are refused with
/// [`Code::LimitReached`](crate::Code::LimitReached). Calls with larger results fail as
/// [`TooLarge`](crate::FailureKind::TooLarge).
pub const PAYLOAD_BYTES_MAX: usize = FRAME_BYTES_MAX - 4096;

/// The largest blob, in bytes. A larger one is refused with [`Code::LimitReached`](crate::Code::LimitReached).
pub const BLOB_BYTES_MAX: u64 = 64 << 30;

/// The smallest blob, in bytes, so that a blob costs the manager little beside its bytes. A smaller one is refused with
/// [`Code::BadArgument`](crate::Code::BadArgument): it is no blob, and travels in a frame.
pub const BLOB_BYTES_MIN: u64 = 64 << 10;

/// The most bytes of a blob in one piece. A larger piece is refused with
/// [`Code::LimitReached`](crate::Code::LimitReached); a request for more gets this many bytes.
pub const PIECE_BYTES_MAX: usize = 1 << 20;

/// The longest name of an object or a function, in bytes of UTF-8. A longer one is refused with
/// [`Code::BadName`](crate::Code::BadName).
pub const NAME_BYTES_MAX: usize = 255;

/// The longest reason for setting an event, terminating a pool or aborting a barrier, in bytes of UTF-8. A reason has
/// no control characters. Another one is refused with [`Code::BadArgument`](crate::Code::BadArgument).
pub const REASON_BYTES_MAX: usize = 1024;

/// The longest name of a program in a hello, in bytes of UTF-8. The manager cuts a longer one at a character.
pub const PROGRAM_BYTES_MAX: usize = 255;

/// The longest text of a failed call that is kept, in bytes of UTF-8. The manager cuts a longer one at a character.
pub const FAILURE_BYTES_MAX: usize = 64 << 10;

/// The most bytes of results that one reply brings, so that it stays well inside a frame and no reply keeps the manager
/// from others for long. Each entry, for one or more calls, counts 16 bytes more than it has, and a blob counts 256.
/// The rest comes with a later reply; a single entry that is larger comes alone.
pub const RESULTS_BYTES_MAX: usize = 1 << 20;

/// The most chunks that one request adds to a batch, so that no request keeps the manager from others for long. More
/// are refused with [`Code::LimitReached`](crate::Code::LimitReached).
pub const CHUNKS_PER_REQUEST_MAX: usize = 4_096;

/// The most calls in one chunk. More are refused with [`Code::LimitReached`](crate::Code::LimitReached).
pub const CALLS_PER_CHUNK_MAX: usize = 65_536;

/// The most calls that one request adds to a batch, in all of its chunks, so that no request keeps the manager from
/// others for long. More are refused with [`Code::LimitReached`](crate::Code::LimitReached).
pub const CALLS_PER_REQUEST_MAX: usize = 1 << 18;

/// The most calls that one grant brings; the others come with later grants.
pub const CALLS_PER_GRANT_MAX: usize = 4_096;

/// The most bytes of arguments that one grant of several calls brings, so that no large call is kept from another
/// worker. The rest comes with a later grant; a single call that is larger comes alone.
pub const GRANT_BYTES_MAX: usize = 64 << 10;

/// The most objects whose proxies one chunk, one report of results, or one item carries. Arguments or an item that
/// carry more are refused with [`Code::LimitReached`](crate::Code::LimitReached). Calls whose results carry more fail
/// as [`TooLarge`](crate::FailureKind::TooLarge).
pub const CARRIES_MAX: usize = 1_024;

/// The most objects that one request carries, in all of its chunks or items, so that no request keeps the manager from
/// others for long. More are refused with [`Code::LimitReached`](crate::Code::LimitReached); several requests carry
/// them.
pub const CARRIES_PER_REQUEST_MAX: usize = 2_048;

/// The most targets of one wait that any manager takes; most take fewer, as [`Limits::wait_targets_max`] says. A wait
/// for more is refused with [`Code::LimitReached`](crate::Code::LimitReached).
pub const WAIT_TARGETS_MAX: usize = 65_536;

/// The most conditions over one lock, which end with it. One more is refused with
/// [`Code::LimitReached`](crate::Code::LimitReached).
pub const CONDITIONS_PER_LOCK_MAX: usize = 1_024;

/// The most grants that a session was sent and has not confirmed by its count of answers. If there are more, the next
/// request that does not confirm enough of them ends the session, with
/// [`Code::LimitReached`](crate::Code::LimitReached).
pub const UNCONFIRMED_MAX: usize = 65_536;

/// The most worker processes that one owner or server of a pool starts. It is far more than is useful, and keeps a
/// typing mistake from filling the machine. The owner's own library refuses more; the manager does not count them.
pub const PROCESSES_MAX: usize = 1_024;

/// The most process sessions that are bound to one session at one time. `BindProcesses` of one more is refused with
/// [`Code::LimitReached`](crate::Code::LimitReached).
pub const BOUND_PROCESSES_MAX: usize = 1_024;

/// How long a fresh connection may take to send its hello. A slower one ends, with
/// [`Code::Protocol`](crate::Code::Protocol).
pub const HELLO_TIME_MAX: Duration = Duration::from_secs(10);

/// The most that one manager holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Sessions at one time, including connections that have not said hello. One more connection ends at once, with
    /// [`Code::LimitReached`](crate::Code::LimitReached) in its greeting.
    pub sessions_max: usize,
    /// Objects at one time. A request that would make more is refused with
    /// [`Code::LimitReached`](crate::Code::LimitReached).
    pub objects_max: usize,
    /// Events that are published in the mirror at one time; at most 2^30. `EventMirror` of one more is refused with
    /// [`Code::LimitReached`](crate::Code::LimitReached).
    pub mirrored_events_max: usize,
    /// Targets of one wait; at most [`WAIT_TARGETS_MAX`]. A wait for more is refused with
    /// [`Code::LimitReached`](crate::Code::LimitReached).
    pub wait_targets_max: usize,
    /// Requests of one session that are blocked at one time. One more that would block is refused with
    /// [`Code::LimitReached`](crate::Code::LimitReached).
    pub session_waits_max: usize,
    /// Calls whose results were not fetched, and items that were not acknowledged, taken together. A request that
    /// brings more is refused with [`Code::LimitReached`](crate::Code::LimitReached).
    pub calls_and_items_max: usize,
    /// Bytes of the arguments, results and items that are stored. A request that brings more is refused with
    /// [`Code::LimitReached`](crate::Code::LimitReached). Calls whose results have no room fail as
    /// [`TooLarge`](crate::FailureKind::TooLarge).
    pub stored_bytes_max: usize,
    /// Bytes that wait to be sent to one client that does not read. With more, its session ends, with
    /// [`Code::LimitReached`](crate::Code::LimitReached).
    pub output_bytes_max: usize,
    /// Bytes of memory for all clients together, as the manager counts them. Three quarters are for what is stored and
    /// what waits: a request that brings more is refused with [`Code::LimitReached`](crate::Code::LimitReached), and
    /// a call whose result has no room fails as [`TooLarge`](crate::FailureKind::TooLarge). A quarter is for what is on
    /// its way: frames that have arrived in part, and answers that were not read. If there is more, the connection that
    /// has kept the most of it for the longest time ends, with [`Code::LimitReached`](crate::Code::LimitReached).
    pub memory_bytes_max: usize,
}

impl Limits {
    /// The part of [`memory_bytes_max`](Self::memory_bytes_max) for what is on its way to the manager or from it.
    pub fn buffer_bytes_max(&self) -> usize {
        self.memory_bytes_max / 4
    }
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            sessions_max: 16_384,
            objects_max: 4 << 20,
            mirrored_events_max: 1 << 20,
            wait_targets_max: 1_024,
            session_waits_max: 65_536,
            calls_and_items_max: 16 << 20,
            // On a small machine, as much as it can address.
            stored_bytes_max: usize::try_from(4_u64 << 30).unwrap_or(usize::MAX),
            output_bytes_max: 64 << 20,
            memory_bytes_max: usize::try_from(8_u64 << 30).unwrap_or(usize::MAX),
        }
    }
}
