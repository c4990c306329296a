//! Requests for a snapshot of a manager.

use client_core::operations::{Inspect, ListObjects, ListSessions, Page};
use protocol::Selector;

use super::processes::{SessionInfo, WaiterInfo};
use super::{ObjectId, ObjectInfo, ObjectSummary};
use crate::{Manager, Result};

impl Manager {
    /// All client processes of the manager, in the order in which they connected; this one is among them. More than a
    /// thousand take several round trips, between which others may come and go.
    pub fn sessions(&self) -> Result<Vec<SessionInfo>> {
        let mut all: Vec<SessionInfo> = Vec::new();
        loop {
            let after = all.last().map(|session| session.session);
            let Page { items, more } = self.link().run(ListSessions { after })?;
            let is_last = !more || items.is_empty();
            all.extend(items.into_iter().map(SessionInfo::from));
            if is_last {
                return Ok(all);
            }
        }
    }

    /// All objects of the manager, named or not, in the order of their ids. More than a thousand take several round
    /// trips, between which others may come and go.
    pub fn objects(&self) -> Result<Vec<ObjectSummary>> {
        let mut all: Vec<ObjectSummary> = Vec::new();
        loop {
            let after = all.last().map(|object| object.id);
            let Page { items, more } = self.link().run(ListObjects { after })?;
            let is_last = !more || items.is_empty();
            all.extend(items.into_iter().map(ObjectSummary::from));
            if is_last {
                return Ok(all);
            }
        }
    }

    /// Everything about the object of this name, of whatever kind.
    ///
    /// # Errors
    ///
    /// [`is_no_such_object`](crate::Error::is_no_such_object) if there is none.
    pub fn inspect(&self, name: &str) -> Result<ObjectInfo> {
        self.inspect_selected(Selector::Name(name))
    }

    /// Everything about the object of this id, which [`objects`](Self::objects) lists. Objects without a name have only
    /// that.
    ///
    /// # Errors
    ///
    /// As with [`inspect`](Self::inspect).
    pub fn inspect_id(&self, id: ObjectId) -> Result<ObjectInfo> {
        self.inspect_selected(Selector::Id(id))
    }

    fn inspect_selected(&self, object: Selector<'_>) -> Result<ObjectInfo> {
        self.link().run(Inspect { object }).map(|info| (*info).into())
    }
}

impl From<protocol::ObjectSummary> for ObjectSummary {
    fn from(summary: protocol::ObjectSummary) -> ObjectSummary {
        let protocol::ObjectSummary { id, name, kind, is_awaited } = summary;
        ObjectSummary { id, name, kind, is_awaited }
    }
}

impl From<protocol::ObjectInfo> for ObjectInfo {
    fn from(info: protocol::ObjectInfo) -> ObjectInfo {
        let protocol::ObjectInfo { id, name, references, state, waiters, waiting } = info;
        let waiters = waiters.into_iter().map(WaiterInfo::from).collect();
        ObjectInfo { id, name, references, state: state.into(), waiters, waiting }
    }
}
