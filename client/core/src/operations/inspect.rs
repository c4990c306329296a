//! The operations that look into a manager.

use alloc::boxed::Box;
use alloc::vec::Vec;

use protocol::{ObjectId, ObjectInfo, ObjectSummary, Reply, Request, Selector, SessionId, SessionInfo};

use crate::{Operation, Unexpected};

/// One part of a list that the manager sends in parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    /// These, in order.
    pub items: Vec<T>,
    /// Whether there are more behind them.
    pub more: bool,
}

/// Lists some of the sessions, in the order of their numbers.
#[derive(Clone, Copy, Debug)]
pub struct ListSessions {
    /// Only those after this one.
    pub after: Option<SessionId>,
}

impl Operation<'static> for ListSessions {
    type Output = Page<SessionInfo>;

    fn into_request(self) -> Request<'static> {
        let ListSessions { after } = self;
        Request::ListSessions { after }
    }

    fn output(reply: Reply) -> Result<Page<SessionInfo>, Unexpected> {
        match reply {
            Reply::Sessions { sessions, more } => Ok(Page { items: sessions, more }),
            reply => Err(Unexpected::reply(reply)),
        }
    }
}

/// Lists some of the objects, in the order of their ids.
#[derive(Clone, Copy, Debug)]
pub struct ListObjects {
    /// Only those after this one.
    pub after: Option<ObjectId>,
}

impl Operation<'static> for ListObjects {
    type Output = Page<ObjectSummary>;

    fn into_request(self) -> Request<'static> {
        let ListObjects { after } = self;
        Request::ListObjects { after }
    }

    fn output(reply: Reply) -> Result<Page<ObjectSummary>, Unexpected> {
        match reply {
            Reply::Objects { objects, more } => Ok(Page { items: objects, more }),
            reply => Err(Unexpected::reply(reply)),
        }
    }
}

/// Asks for everything about one object.
#[derive(Clone, Copy, Debug)]
pub struct Inspect<'a> {
    /// Which.
    pub object: Selector<'a>,
}

impl<'a> Operation<'a> for Inspect<'a> {
    type Output = Box<ObjectInfo>;

    fn into_request(self) -> Request<'a> {
        let Inspect { object } = self;
        Request::Inspect { object }
    }

    fn output(reply: Reply) -> Result<Box<ObjectInfo>, Unexpected> {
        match reply {
            Reply::Object(info) => Ok(info),
            reply => Err(Unexpected::reply(reply)),
        }
    }
}
