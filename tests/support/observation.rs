//! What a test sees of a manager's objects.

use client::Manager;
use protocol::{HolderInfo, ObjectId, ObjectInfo, ObjectState, Reply, Request, Selector};

use crate::support::eventually;

/// Inspects the object of this name.
pub(crate) fn inspect(manager: &Manager, name: &str) -> ObjectInfo {
    match manager.link().call(Request::Inspect { object: Selector::Name(name) }) {
        Ok(Reply::Object(information)) => *information,
        reply => panic!("{reply:?}"),
    }
}

/// The holder of the lock of this name.
pub(crate) fn holder(manager: &Manager, name: &str) -> Option<HolderInfo> {
    match inspect(manager, name).state {
        ObjectState::Lock { holder, .. } => holder,
        other => panic!("{other:?} is no lock"),
    }
}

/// Waits until this number of requests wait for the object of this name.
pub(crate) fn until_waiting(manager: &Manager, name: &str, count: u32) {
    eventually("they wait", || inspect(manager, name).waiting == count);
}

/// Waits until this number of requests wait for an object, which may have no name.
pub(crate) fn until_waiting_by_id(manager: &Manager, object: ObjectId, count: u32) {
    eventually("they wait", || manager.inspect_id(object).unwrap().waiting == count);
}
