//! The one error type: a text for people, and predicates for programs.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

pub use kind::ErrorKind;

mod conversion;
mod kind;

/// The result type of this crate's functions.
pub type Result<T> = std::result::Result<T, Error>;

/// The error of every function of this crate.
///
/// Its text says what is wrong and, if something helps, what to do. Programs decide by the predicates, of which none,
/// one or several hold. A clone is cheap.
///
/// ```no_run
/// # use client as rallypoint;
/// # fn main() -> rallypoint::Result<()> {
/// let manager = match rallypoint::Manager::connect() {
///     Err(error) if error.is_not_running() => rallypoint::Manager::start()?,
///     other => other?,
/// };
/// # drop(manager);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Error {
    /// Behind one pointer, so that a `Result` stays small.
    inner: Arc<Inner>,
}

#[derive(PartialEq, Eq)]
struct Inner {
    kind: ErrorKind,
    text: String,
}

impl Error {
    /// An error of this kind. The text is a sentence without a full stop.
    #[doc(hidden)]
    pub fn new(kind: ErrorKind, text: impl Into<String>) -> Error {
        Error { inner: Arc::new(Inner { kind, text: text.into() }) }
    }

    /// What the predicates distinguish.
    #[doc(hidden)]
    pub fn kind(&self) -> ErrorKind {
        self.inner.kind
    }

    /// The manager ended, or the connection to it did. Objects of that manager are lost; connect to, or
    /// start, another.
    pub fn is_manager_gone(&self) -> bool {
        self.kind() == ErrorKind::ManagerGone
    }

    /// No manager serves the address. The text names it, and the command that starts a manager there.
    pub fn is_not_running(&self) -> bool {
        self.kind() == ErrorKind::NotRunning
    }

    /// The manager and this program have no protocol version in common.
    pub fn is_version_mismatch(&self) -> bool {
        self.kind() == ErrorKind::VersionMismatch
    }

    /// The manager serves another user.
    pub fn is_forbidden(&self) -> bool {
        self.kind() == ErrorKind::Forbidden
    }

    /// A name is empty, too long, or holds control characters.
    pub fn is_bad_name(&self) -> bool {
        self.kind() == ErrorKind::BadName
    }

    /// An argument is out of its range, such as zero parties; the text names it.
    pub fn is_bad_argument(&self) -> bool {
        self.kind() == ErrorKind::BadArgument
    }

    /// A wait cannot be for these objects, or not together; the text says why.
    pub fn is_bad_target(&self) -> bool {
        self.kind() == ErrorKind::BadTarget
    }

    /// A limit is reached; the text names it.
    pub fn is_limit(&self) -> bool {
        self.kind() == ErrorKind::Limit
    }

    /// No object has this name or id: it was never made, it was removed, or it was anonymous and its last proxy is
    /// gone.
    pub fn is_no_such_object(&self) -> bool {
        matches!(self.kind(), ErrorKind::NoSuchObject | ErrorKind::NoSuchObjectInside)
    }

    /// `create_new` found an object of this name.
    pub fn is_already_exists(&self) -> bool {
        self.kind() == ErrorKind::AlreadyExists
    }

    /// The object of this name or id is of another kind; the text says which.
    pub fn is_wrong_kind(&self) -> bool {
        matches!(self.kind(), ErrorKind::WrongKind | ErrorKind::WrongKindInside)
    }

    /// The object of this name was made with other parameters; the text says which.
    pub fn is_wrong_parameters(&self) -> bool {
        self.kind() == ErrorKind::WrongParameters
    }

    /// The proxy comes from an earlier life of the manager: its object ended with that.
    pub fn is_stale(&self) -> bool {
        matches!(self.kind(), ErrorKind::Stale | ErrorKind::StaleInside)
    }

    /// The object was removed while this call waited for it.
    pub fn is_removed(&self) -> bool {
        self.kind() == ErrorKind::Removed
    }

    /// The pool takes no more tasks; the queue takes no more items, or is closed and has none left.
    pub fn is_closed(&self) -> bool {
        self.kind() == ErrorKind::Closed
    }

    /// The timeout ended first.
    pub fn is_timeout(&self) -> bool {
        self.kind() == ErrorKind::Timeout
    }

    /// The caller does not hold what it releases, or what it has to hold; the text says who does.
    pub fn is_not_owner(&self) -> bool {
        self.kind() == ErrorKind::NotOwner
    }

    /// A bounded semaphore would get more permits than it was made with.
    pub fn is_over_release(&self) -> bool {
        self.kind() == ErrorKind::OverRelease
    }

    /// The wait would never have ended, since its thread would wait for itself through locks and their holders; the
    /// text names the whole cycle.
    pub fn is_deadlock(&self) -> bool {
        self.kind() == ErrorKind::Deadlock
    }

    /// The barrier is broken: a party gave up or died, or somebody aborted or reset it; the text says who.
    pub fn is_broken(&self) -> bool {
        self.kind() == ErrorKind::Broken
    }

    /// The function of a task panicked; the text has the panic's message and where it came from.
    pub fn is_panicked(&self) -> bool {
        self.kind() == ErrorKind::Panicked
    }

    /// The workers know no function of this name; the text lists those that they know.
    pub fn is_unknown_function(&self) -> bool {
        self.kind() == ErrorKind::UnknownFunction
    }

    /// The task was cancelled, or its batch stopped, before it started.
    pub fn is_cancelled(&self) -> bool {
        self.kind() == ErrorKind::Cancelled
    }

    /// The task did not stop when it was asked to, and a signal ended its worker.
    pub fn is_stopped(&self) -> bool {
        self.kind() == ErrorKind::Stopped
    }

    /// The task ran longer than its batch allows, and its worker was killed.
    pub fn is_time_limit(&self) -> bool {
        self.kind() == ErrorKind::TimeLimit
    }

    /// The pool was terminated before the task ended; the text says why.
    pub fn is_terminated(&self) -> bool {
        self.kind() == ErrorKind::Terminated
    }

    /// The worker process that ran a task ended before the task did.
    pub fn is_worker_died(&self) -> bool {
        self.kind() == ErrorKind::WorkerDied
    }

    /// The iterator that an `imap` draws its calls from panicked; the text has the panic's message. The results of the
    /// calls before it come first.
    pub fn is_input_panicked(&self) -> bool {
        self.kind() == ErrorKind::InputPanicked
    }

    /// The arguments or the result of a task, or an item of a queue, did not encode, or did not decode as what the
    /// other side takes. If the reason is a proxy in it that could not be attached to its object, a second predicate
    /// holds too: [`is_stale`](Self::is_stale), [`is_no_such_object`](Self::is_no_such_object) or
    /// [`is_wrong_kind`](Self::is_wrong_kind).
    pub fn is_bad_encoding(&self) -> bool {
        let inside = [ErrorKind::StaleInside, ErrorKind::NoSuchObjectInside, ErrorKind::WrongKindInside];
        self.kind() == ErrorKind::BadEncoding || inside.contains(&self.kind())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.inner.text)
    }
}

/// The kind and the text, as the runtime prints an error that `main` returns.
impl fmt::Debug for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:?}: {}", self.inner.kind, self.inner.text)
    }
}

impl std::error::Error for Error {}

/// A task can return the error of a call that it made: it travels as kind and text.
impl Serialize for Error {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        (self.inner.kind, &self.inner.text).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Error {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Error, D::Error> {
        let (kind, text) = <(ErrorKind, String)>::deserialize(deserializer)?;
        Ok(Error::new(kind, text))
    }
}

#[cfg(test)]
mod tests {
    use protocol::{Code, Refusal};

    use super::*;

    #[test]
    fn a_refusal_keeps_its_text_and_is_told_by_its_predicate() {
        let error = Error::from(Refusal::new(Code::WrongKind, "\"a\" is a pool, not an event"));
        assert!(error.is_wrong_kind() && !error.is_wrong_parameters());
        assert_eq!(error.to_string(), "\"a\" is a pool, not an event");
        assert_eq!(format!("{error:?}"), "WrongKind: \"a\" is a pool, not an event");
    }

    #[test]
    fn a_value_that_did_not_decode_for_a_proxy_in_it_tells_both() {
        type Predicate = fn(&Error) -> bool;
        let kinds: [(ErrorKind, Predicate); 3] = [
            (ErrorKind::Stale, Error::is_stale),
            (ErrorKind::NoSuchObject, Error::is_no_such_object),
            (ErrorKind::WrongKind, Error::is_wrong_kind),
        ];
        for (kind, holds) in kinds {
            let (alone, inside) = (Error::new(kind, ""), Error::new(kind.inside(), ""));
            assert!(holds(&alone) && !alone.is_bad_encoding(), "{kind:?}");
            assert!(holds(&inside) && inside.is_bad_encoding(), "{kind:?}");
        }
        assert_eq!(ErrorKind::Limit.inside(), ErrorKind::BadEncoding);
    }

    #[test]
    fn a_result_with_an_error_is_no_larger_than_a_pointer() {
        assert_eq!(size_of::<Result<()>>(), size_of::<usize>());
    }
}
