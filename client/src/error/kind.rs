//! The kinds of errors, which the predicates distinguish.

use protocol::Code;
use serde::{Deserialize, Serialize};

/// What the predicates of [`Error`](super::Error) distinguish, in groups by what an error is about.
///
/// It is no part of the public interface. The error that a task returned travels with the number of its kind: once
/// there are releases, a new kind goes to the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ErrorKind {
    // The manager.
    /// The connection to the manager is over.
    ManagerGone,
    /// Nobody serves the address.
    NotRunning,
    /// The manager speaks no version that this crate speaks.
    VersionMismatch,
    /// The manager belongs to another user.
    Forbidden,
    // Arguments and limits.
    /// A name is empty, too long, or holds control characters.
    BadName,
    /// An argument is out of its range.
    BadArgument,
    /// A wait cannot be for these objects, or not together.
    BadTarget,
    /// A limit is reached.
    Limit,
    // Objects.
    /// No object has this name or id.
    NoSuchObject,
    /// An object that was to be created exists.
    AlreadyExists,
    /// The object is of another kind.
    WrongKind,
    /// The object was made with other parameters.
    WrongParameters,
    /// The handle comes from an earlier life of the manager.
    Stale,
    /// The object was removed during a wait.
    Removed,
    /// The pool, batch or queue is closed.
    Closed,
    // Waits, and what they give.
    /// The timeout ended first.
    Timeout,
    /// The caller does not hold what it releases or needs.
    NotOwner,
    /// A bounded semaphore would get more permits than it has.
    OverRelease,
    /// A wait would wait for its own thread.
    Deadlock,
    /// A barrier is broken.
    Broken,
    // Tasks.
    /// The function of a task panicked.
    Panicked,
    /// No worker knows the function of a task.
    UnknownFunction,
    /// A task was dropped before it started.
    Cancelled,
    /// A task was stopped by a signal.
    Stopped,
    /// A task ran longer than its batch allows.
    TimeLimit,
    /// The pool was terminated before a task ended.
    Terminated,
    /// The worker that ran a task ended.
    WorkerDied,
    /// The iterator that calls are drawn from panicked.
    InputPanicked,
    // Values.
    /// The arguments or the result of a task, or an item of a queue, did not encode or decode.
    BadEncoding,
    /// An item or the arguments of a task carry a proxy from an earlier life of the manager.
    StaleInside,
    /// An item or the arguments of a task carry a proxy of an object that does not exist.
    NoSuchObjectInside,
    /// An item or the arguments of a task carry a proxy of an object that is of another kind.
    WrongKindInside,
    // The rest.
    /// Anything else. A program can do little but report it.
    Other,
}

impl ErrorKind {
    /// The kind of error for a value that did not decode because a proxy in it could not be attached, for this reason.
    pub(crate) fn inside(self) -> ErrorKind {
        match self {
            ErrorKind::Stale => ErrorKind::StaleInside,
            ErrorKind::NoSuchObject => ErrorKind::NoSuchObjectInside,
            ErrorKind::WrongKind => ErrorKind::WrongKindInside,
            _ => ErrorKind::BadEncoding,
        }
    }
}

impl From<Code> for ErrorKind {
    fn from(code: Code) -> ErrorKind {
        match code {
            Code::VersionMismatch => ErrorKind::VersionMismatch,
            Code::BadName => ErrorKind::BadName,
            Code::NoSuchObject => ErrorKind::NoSuchObject,
            Code::AlreadyExists => ErrorKind::AlreadyExists,
            Code::WrongKind => ErrorKind::WrongKind,
            Code::WrongParameters => ErrorKind::WrongParameters,
            Code::StaleEpoch => ErrorKind::Stale,
            Code::Removed => ErrorKind::Removed,
            Code::LimitReached => ErrorKind::Limit,
            Code::Closed => ErrorKind::Closed,
            Code::BadTarget => ErrorKind::BadTarget,
            Code::BadArgument => ErrorKind::BadArgument,
            Code::NotOwner => ErrorKind::NotOwner,
            Code::OverRelease => ErrorKind::OverRelease,
            Code::Deadlock => ErrorKind::Deadlock,
            Code::Broken => ErrorKind::Broken,
            Code::Forbidden => ErrorKind::Forbidden,
            Code::Cancelled => ErrorKind::Cancelled,
            Code::Protocol => ErrorKind::Other,
        }
    }
}
