//! How the pictures of a moment are asked for.

use std::time::Duration;

use client_core::operations::{Inspect, ListObjects, ListSessions, Page};
use protocol::Selector;

use super::{
    HolderInfo, ObjectId, ObjectInfo, ObjectState, ObjectSummary, PermitsInfo, SessionInfo, WaiterInfo,
};
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
    /// [`is_no_such_object`](crate::Error::is_no_such_object) if there is none.
    pub fn inspect(&self, name: &str) -> Result<ObjectInfo> {
        self.inspect_selected(Selector::Name(name))
    }

    /// Everything about the object of this id, which [`objects`](Self::objects) lists. Objects without a name have only
    /// that.
    ///
    /// # Errors
    /// As with [`inspect`](Self::inspect).
    pub fn inspect_id(&self, id: ObjectId) -> Result<ObjectInfo> {
        self.inspect_selected(Selector::Id(id))
    }

    fn inspect_selected(&self, object: Selector<'_>) -> Result<ObjectInfo> {
        self.link().run(Inspect { object }).map(|info| (*info).into())
    }
}

impl From<protocol::SessionInfo> for SessionInfo {
    fn from(info: protocol::SessionInfo) -> SessionInfo {
        let protocol::SessionInfo { session, process, program, age_ns, objects, waits, tasks } = info;
        let connected = Duration::from_nanos(age_ns);
        SessionInfo { session, process, program, connected, objects, waits, tasks }
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

impl From<protocol::ObjectState> for ObjectState {
    fn from(state: protocol::ObjectState) -> ObjectState {
        use protocol::ObjectState as Told;
        match state {
            Told::Event { auto_reset, set_by } => {
                ObjectState::Event { auto_reset, set: set_by.map(Into::into) }
            }
            Told::Pool { batches, is_closed } => ObjectState::Pool { batches, is_closed },
            Told::Batch { function, progress } => ObjectState::Batch { function, progress },
            Told::Lock { is_reentrant, holder, abandoned } => ObjectState::Lock {
                is_reentrant,
                holder: holder.map(Into::into),
                abandoned: abandoned.map(Into::into),
            },
            Told::Condition { lock } => ObjectState::Condition { lock },
            Told::Semaphore { available, permits_max, holders } => {
                let holders = holders.into_iter().map(PermitsInfo::from).collect();
                ObjectState::Semaphore { available, permits_max, holders }
            }
            Told::Barrier { status, acting } => ObjectState::Barrier {
                parties: status.parties,
                waiting: status.waiting,
                broken: status.broken.map(|cause| cause.to_string()),
                acting: acting.map(Into::into),
            },
            Told::Latch { count } => ObjectState::Latch { count },
            Told::Queue { length, capacity, unfinished, is_closed, holders } => {
                let holders = holders.into_iter().map(|(session, items)| (session.into(), items)).collect();
                ObjectState::Queue { length, capacity, unfinished, is_closed, holders }
            }
        }
    }
}

impl From<protocol::PermitsInfo> for PermitsInfo {
    fn from(info: protocol::PermitsInfo) -> PermitsInfo {
        let protocol::PermitsInfo { session, permits, held_ns } = info;
        PermitsInfo { session: session.into(), permits, held: Duration::from_nanos(held_ns) }
    }
}

impl From<protocol::HolderInfo> for HolderInfo {
    fn from(info: protocol::HolderInfo) -> HolderInfo {
        let protocol::HolderInfo { process, program, thread, held_ns, depth, token } = info;
        HolderInfo { process, program, thread, held: Duration::from_nanos(held_ns), depth, token }
    }
}

impl From<protocol::WaiterInfo> for WaiterInfo {
    fn from(info: protocol::WaiterInfo) -> WaiterInfo {
        let protocol::WaiterInfo { process, program, thread, wants, waited_ns, remaining_ns } = info;
        let waited = Duration::from_nanos(waited_ns);
        let remaining = remaining_ns.map(Duration::from_nanos);
        WaiterInfo { process, program, thread, wants, waited, remaining }
    }
}
