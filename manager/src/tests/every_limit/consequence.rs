//! What happens beyond a limit.

use protocol::{Code, FailureKind};

/// What happens to whoever goes beyond a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Consequence {
    /// The request is refused with this code.
    Refused(Code),
    /// The connection ends, after a refusal with this code.
    Ended(Code),
    /// The call fails as this kind.
    CallFails(FailureKind),
    /// What is over is cut off.
    Cut,
    /// What is over comes with a later answer.
    ComesLater,
    /// Nothing: the limit is for clients.
    NotCounted,
}
