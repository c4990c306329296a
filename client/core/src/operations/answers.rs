//! Answers that several operations have in common.

use protocol::Reply;

use crate::{Unexpected, WaitTarget};

/// The manager has done it, and the answer says nothing more.
pub(super) fn done(reply: Reply) -> Result<(), Unexpected> {
    match reply {
        Reply::Done => Ok(()),
        reply => Err(Unexpected::reply(reply)),
    }
}

/// A number.
pub(super) fn count(reply: Reply) -> Result<u64, Unexpected> {
    match reply {
        Reply::Count(count) => Ok(count),
        reply => Err(Unexpected::reply(reply)),
    }
}

/// What a wait for one target took. None if its timeout ended first.
pub(super) fn taken<'a, T: WaitTarget<'a>>(reply: Reply) -> Result<Option<T::Granted>, Unexpected> {
    match reply {
        Reply::TimedOut { .. } => Ok(None),
        Reply::Taken(mut taken) if taken.grants.len() == 1 => taken.grants.pop().map(T::granted).transpose(),
        reply => Err(Unexpected::reply(reply)),
    }
}
