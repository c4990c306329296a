//! Every limit of the product, in one place.
//!
//! A limit that both sides must agree on is a constant; one that each manager may set for itself is a field of
//! [`Limits`]. Going beyond a limit is never silent: the manager refuses the request with
//! [`Code::LimitReached`](crate::Code::LimitReached) and a text that names the limit, or closes the connection with
//! such a refusal. Where something else happens, it stands with the limit.

use core::time::Duration;

use serde::{Deserialize, Serialize};

/// The largest body of a frame, in bytes. Larger ones are not read: the connection is closed, with
/// [`Code::Protocol`](crate::Code::Protocol). An answer that would be larger is one of `LimitReached`.
pub const FRAME_BYTES_MAX: usize = 16 << 20;

/// The largest arguments or results of one task, or item of a queue, encoded, in bytes: a frame, less ample room for
/// what surrounds them. A task with larger results fails as [`TooLarge`](crate::FailureKind::TooLarge).
pub const PAYLOAD_BYTES_MAX: usize = FRAME_BYTES_MAX - 4096;

/// The longest name of an object or a function, in bytes of UTF-8. A longer one is a
/// [`Code::BadName`](crate::Code::BadName).
pub const NAME_BYTES_MAX: usize = 255;

/// The longest reason for setting an event, terminating a pool or aborting a barrier, in bytes of UTF-8. A reason has
/// no control characters. Another one is a [`Code::BadArgument`](crate::Code::BadArgument).
pub const REASON_BYTES_MAX: usize = 1024;

/// The longest name of a program in a hello, in bytes of UTF-8. The manager cuts a longer one at a character.
pub const PROGRAM_BYTES_MAX: usize = 255;

/// The longest text of a failed task that is kept, in bytes of UTF-8. Longer ones are cut at a character.
pub const FAILURE_BYTES_MAX: usize = 64 << 10;

/// The most bytes of task results that one reply brings, so that it stays well inside a frame.
pub const RESULTS_BYTES_MAX: usize = 1 << 20;

/// The most tasks that one request adds to a batch, so that no request keeps the manager from others for long.
pub const TASKS_PER_REQUEST_MAX: usize = 16_384;

/// The most tasks that one grant brings. To give back more at once is a
/// [`Code::BadArgument`](crate::Code::BadArgument).
pub const TASKS_PER_GRANT_MAX: usize = 64;

/// The most bytes of arguments that one grant of several tasks brings, so that no large task
/// is kept from another worker.
pub const TASKS_BYTES_MAX: usize = 64 << 10;

/// The most objects whose proxies one task, result or item carries. A task whose result carries more fails as
/// [`TooLarge`](crate::FailureKind::TooLarge).
pub const CARRIES_MAX: usize = 1_024;

/// The most grants that a session may be sent before it confirms them by its count of answers.
pub const UNCONFIRMED_MAX: usize = 65_536;

/// The most worker processes that one owner or server of a pool starts. It is far more than is useful, and keeps a
/// typing mistake from filling the machine.
pub const PROCESSES_MAX: usize = 1_024;

/// How long a fresh connection may take to send its hello. A slower one is closed, with
/// [`Code::Protocol`](crate::Code::Protocol).
pub const HELLO_TIME_MAX: Duration = Duration::from_secs(10);

/// The most that one manager holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Sessions at one time.
    pub sessions_max: usize,
    /// Objects at one time.
    pub objects_max: usize,
    /// Events that are published in the mirror at one time; at most 2^30.
    pub mirrored_events_max: usize,
    /// Targets of one wait.
    pub wait_targets_max: usize,
    /// Requests of one session that are blocked at one time.
    pub session_waits_max: usize,
    /// Tasks whose results were not fetched, and items that were not acknowledged, taken together.
    pub tasks_max: usize,
    /// Bytes of the arguments, results and items that are stored.
    pub stored_bytes_max: usize,
    /// Bytes that wait to be sent to one client that does not read.
    pub output_bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            sessions_max: 16_384,
            objects_max: 4 << 20,
            mirrored_events_max: 1 << 20,
            wait_targets_max: 1_024,
            session_waits_max: 65_536,
            tasks_max: 4 << 20,
            // On a small machine, as much as it can address.
            stored_bytes_max: usize::try_from(4_u64 << 30).unwrap_or(usize::MAX),
            output_bytes_max: 64 << 20,
        }
    }
}
