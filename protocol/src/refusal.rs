//! Refusals: a code for programs, a text for people.

use alloc::string::String;
use core::fmt;

use serde::{Deserialize, Serialize};

/// A request that was not carried out, and why. Nothing has changed where one of these is the answer, but for two
/// cases: a wait that had blocked may have given up a lock or broken a barrier, and a signal before a wait stands.
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

/// What kind of refusal it is. Codes are only ever added, at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Code {
    /// The bytes are not this protocol's, or a message came where it must not; the connection ends.
    Protocol,
    /// The two sides have no protocol version in common; the connection ends.
    VersionMismatch,
    /// A name is empty, too long, or holds control characters.
    BadName,
    /// No object has this name or id.
    NoSuchObject,
    /// An object was to be created anew, and one with this name or id is there.
    AlreadyExists,
    /// The object is of another kind than the request needs.
    WrongKind,
    /// The object of this name was made with other parameters.
    WrongParameters,
    /// The handle comes from an earlier life of the manager.
    StaleEpoch,
    /// The object was removed, or freed since no proxy referred to it, while the request waited for it.
    Removed,
    /// A limit is reached; the text names it.
    LimitReached,
    /// A wait names no target, or a target that can not be part of such a wait; or a queue is not joinable.
    BadTarget,
    /// An argument of the request is out of its range; the text names it.
    BadArgument,
    /// The pool, batch or queue is closed to what was asked.
    Closed,
    /// The wait was cancelled by its own session; or it is for a task, and its process was told to end.
    Cancelled,
    /// The caller does not hold what it gives back or needs to hold.
    NotOwner,
    /// There would be more permits than a bounded semaphore has, or than any semaphore can count.
    OverRelease,
    /// The wait would never end: whoever holds the lock waits for the asker in turn; the text tells the cycle.
    Deadlock,
    /// The barrier is broken, or was reset while the request waited at it; the text tells by what.
    Broken,
    /// The peer is not allowed here: it is another user's process. The connection ends.
    Forbidden,
}
