//! What an operation is: a request, and what its answer means.

use alloc::boxed::Box;
use core::fmt;

use protocol::{Grant, Reply, Request, Target};

/// Something that a manager is asked to do, as a value.
///
/// A driver sends [`into_request`](Self::into_request) in whichever way it has, and gives the answer to
/// [`output`](Self::output). A refusal, [`Reply::Refused`], is the same for all operations and is the driver's to find
/// before. The lifetime is that of what the request borrows.
pub trait Operation<'a> {
    /// What it comes to when the manager carries it out.
    type Output;

    /// What the manager is asked.
    fn into_request(self) -> Request<'a>;

    /// What an answer to that means.
    ///
    /// # Errors
    /// If it is no answer to that: then the manager does not keep to the protocol.
    fn output(reply: Reply) -> Result<Self::Output, Unexpected>;
}

/// Something that can be waited for and taken, alone or together with others.
pub trait WaitTarget<'a> {
    /// What the manager grants when the wait takes this.
    type Granted;

    /// What the manager is asked for.
    fn into_target(self) -> Target<'a>;

    /// What a grant of that means.
    ///
    /// # Errors
    /// If it is a grant of something else.
    fn granted(grant: Grant) -> Result<Self::Granted, Unexpected>;
}

/// An answer that does not belong to its request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unexpected {
    /// A reply of the wrong kind.
    Reply(Box<Reply>),
    /// A grant of the wrong kind.
    Grant(Box<Grant>),
    /// Other objects than were waited for.
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
                write!(formatter, "the manager gave an answer of the wrong kind: {reply:?}")
            }
            Unexpected::Grant(grant) => {
                write!(formatter, "the manager gave what was not asked for: {grant:?}")
            }
            Unexpected::Objects => formatter.write_str("the manager took other objects than were waited for"),
        }
    }
}

impl core::error::Error for Unexpected {}
