//! Every limit of the product, in one place.
//!
//! What is bounded by the format of a frame is a constant; what a manager may be run with differently is a field
//! of [`Limits`]. Reaching one of these is never silent: the request is refused with
//! [`Code::LimitReached`](crate::Code::LimitReached) and a text that names the limit, or the connection is closed
//! with such a text.

use core::time::Duration;

/// The largest body of a frame, in bytes. Larger ones are not read: the connection is closed.
pub const FRAME_BYTES_MAX: usize = 16 << 20;

/// The largest arguments or results of one task, encoded, in bytes: a frame, less ample room for what surrounds them.
pub const PAYLOAD_BYTES_MAX: usize = FRAME_BYTES_MAX - 4096;

/// The longest name of an object or a function, in bytes of UTF-8.
pub const NAME_BYTES_MAX: usize = 255;

/// The longest reason that can be given with a `set_because`, in bytes of UTF-8.
pub const REASON_BYTES_MAX: usize = 1024;

/// The longest name of a program, as a client tells it in its hello, in bytes of UTF-8.
pub const PROGRAM_BYTES_MAX: usize = 255;

/// The longest text of a failed task that is kept, in bytes of UTF-8. Longer ones are cut at a character.
pub const FAILURE_BYTES_MAX: usize = 64 << 10;

/// The most bytes of task results that one reply brings, so that it stays well inside a frame.
pub const RESULTS_BYTES_MAX: usize = 1 << 20;

/// How long a fresh connection may take to send its hello.
pub const HELLO_TIME_MAX: Duration = Duration::from_secs(10);

/// What one manager will hold at most.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Sessions at one time.
    pub sessions_max: usize,
    /// Objects at one time.
    pub objects_max: usize,
    /// Targets of one wait.
    pub wait_targets_max: usize,
    /// Requests of one session that are blocked at one time.
    pub session_waits_max: usize,
    /// Tasks that have not been fetched back by their owners, over all pools.
    pub tasks_max: usize,
    /// Bytes of task arguments and results that are stored, over all pools.
    pub stored_bytes_max: usize,
    /// Bytes that wait to be sent to one client that does not read.
    pub output_bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            sessions_max: 16_384,
            objects_max: 4 << 20,
            wait_targets_max: 1_024,
            session_waits_max: 65_536,
            tasks_max: 16 << 20,
            stored_bytes_max: 4 << 30,
            output_bytes_max: 64 << 20,
        }
    }
}
