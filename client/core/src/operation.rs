//! Operations: a request, and what its answer means.

use alloc::boxed::Box;
use core::fmt;

use protocol::{Grant, Reply, Request, Signal, Target};

/// Something that a client asks a manager to do, as a value.
///
/// A driver sends [`into_request`](Self::into_request) in whichever way it has, and gives the answer to
/// [`output`](Self::output). A refusal, [`Reply::Refused`], is the same for all operations, and the driver handles it
/// before. The lifetime is that of what the request borrows.
pub trait Operation<'a> {
    /// The outcome when the manager carries it out.
    type Output;

    /// The request to the manager.
    fn into_request(self) -> Request<'a>;

    /// What the answer to the request means.
    ///
    /// # Errors
    ///
    /// If this is not an answer to that request: then the manager breaks the protocol.
    fn output(reply: Reply) -> Result<Self::Output, Unexpected>;
}

/// An operation that a client can also have done in the same step as it begins a wait.
pub trait SignalOperation<'a>: Operation<'a> {
    /// The signal that does what the request does.
    fn into_signal(self) -> Signal<'a>;
}

/// Something that a client can wait for and take, alone or together with others.
pub trait WaitTarget<'a> {
    /// What the manager grants when the wait takes this.
    type Granted;

    /// The target of the wait.
    fn into_target(self) -> Target<'a>;

    /// What the grant of this target means. A grant of something else comes back.
    ///
    /// # Errors
    ///
    /// The grant itself, if it is of something else.
    fn accept(grant: Grant) -> Result<Self::Granted, Grant>;

    /// Like [`accept`](Self::accept), where nothing else can have been granted.
    ///
    /// # Errors
    ///
    /// If it is a grant of something else: then the manager breaks the protocol.
    fn granted(grant: Grant) -> Result<Self::Granted, Unexpected> {
        Self::accept(grant).map_err(Unexpected::grant)
    }
}

/// An answer that does not belong to its request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unexpected {
    /// A reply of the wrong kind.
    Reply(Box<Reply>),
    /// A grant of the wrong kind.
    Grant(Box<Grant>),
    /// Other objects than the wait was for.
    Objects,
}

impl Unexpected {
    /// The reply is of the wrong kind.
    #[cold]
    pub fn reply(reply: Reply) -> Unexpected {
        Unexpected::Reply(Box::new(reply))
    }

    /// The grant is of the wrong kind.
    #[cold]
    pub fn grant(grant: Grant) -> Unexpected {
        Unexpected::Grant(Box::new(grant))
    }
}

impl fmt::Display for Unexpected {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unexpected::Reply(reply) => {
                write!(formatter, "the manager sent an answer of the wrong kind: {reply:?}")
            }
            Unexpected::Grant(grant) => {
                write!(formatter, "the manager sent a grant of the wrong kind: {grant:?}")
            }
            Unexpected::Objects => {
                formatter.write_str("the manager took other objects than the wait was for")
            }
        }
    }
}

impl core::error::Error for Unexpected {}
