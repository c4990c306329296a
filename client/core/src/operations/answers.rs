//! Answers that several operations have in common.

use protocol::{Grant, Reply};

use crate::Unexpected;

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

/// What a wait took for which one target is enough, as `accept` understands the grant. None if its timeout ended first.
pub(super) fn taken<T>(
    reply: Reply,
    accept: impl FnOnce(Grant) -> Result<T, Grant>,
) -> Result<Option<T>, Unexpected> {
    match reply {
        Reply::TimedOut { .. } => Ok(None),
        Reply::Taken(mut taken) if taken.grants.len() == 1 => {
            taken.grants.pop().map(accept).transpose().map_err(Unexpected::grant)
        }
        reply => Err(Unexpected::reply(reply)),
    }
}
