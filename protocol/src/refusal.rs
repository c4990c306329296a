//! Refusals: a code for programs, a text for people.

use alloc::string::String;
use core::fmt;

use serde::{Deserialize, Serialize};

/// A request that was not carried out, and why. A refused request has changed nothing, with three exceptions: a wait
/// that had blocked may have given up a lock or broken a barrier, a signal before a wait stands, and so does the batch
/// of a `BatchRun` whose wait was cancelled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// What programs decide by.
    pub code: Code,
    /// What people read: one sentence that says what is wrong and, where there is something, what to do.
    pub text: String,
}

impl Refusal {
    /// A refusal with this code and text.
    pub fn new(code: Code, text: impl Into<String>) -> Refusal {
        Refusal { code, text: text.into() }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

impl core::error::Error for Refusal {}

/// The kind of a refusal. Codes are only ever added, at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Code {
    /// The bytes are no message of this protocol, or a message that is not allowed there; the connection ends.
    Protocol,
    /// The two sides have no protocol version in common; the connection ends.
    VersionMismatch,
    /// A name is empty, too long, or holds control characters.
    BadName,
    /// No object has this name or id.
    NoSuchObject,
    /// An object with this name or id exists, and the request was to create it.
    AlreadyExists,
    /// The object is of another kind than the request needs.
    WrongKind,
    /// The object of this name was made with other parameters.
    WrongParameters,
    /// The handle comes from an earlier life of the manager.
    StaleEpoch,
    /// The object was removed while the request waited for it, or was freed because no proxy referred to it.
    Removed,
    /// A limit is reached; the text names it.
    LimitReached,
    /// A wait names no target, or a target that cannot be part of such a wait; or a queue is not joinable.
    BadTarget,
    /// An argument of the request is out of its range; the text names it.
    BadArgument,
    /// The pool, batch or queue is closed and does not take this request.
    Closed,
    /// The session cancelled its own wait; or the wait is for a call, and its process is marked for termination.
    Cancelled,
    /// The caller does not hold what it gives back or needs to hold.
    NotOwner,
    /// There would be more permits than a bounded semaphore has, or than any semaphore can count.
    OverRelease,
    /// The wait would never end: the holder of the lock waits for the caller in turn; the text names the cycle.
    Deadlock,
    /// The barrier is broken, or was reset while the request waited at it; the text says by what.
    Broken,
    /// The peer is a process of another user, which this manager does not serve. The connection ends.
    Forbidden,
}
