//! Requests that many scenarios send.

use protocol::{ObjectId, Request, Spec, Target, ThreadId, WaitMode};

/// A wait of a thread for any of these targets.
pub(crate) fn any(thread: u64, targets: impl IntoIterator<Item = Target<'static>>) -> Request<'static> {
    wait(WaitMode::Any, thread, targets, None)
}

/// A wait of a thread for all of these targets.
pub(crate) fn all(thread: u64, targets: impl IntoIterator<Item = Target<'static>>) -> Request<'static> {
    wait(WaitMode::All, thread, targets, None)
}

/// A wait for a target that ends in time.
pub(crate) fn within(timeout_ns: u64, target: Target<'static>) -> Request<'static> {
    wait(WaitMode::Any, 1, [target], Some(timeout_ns))
}

fn wait(
    mode: WaitMode,
    thread: u64,
    targets: impl IntoIterator<Item = Target<'static>>,
    timeout_ns: Option<u64>,
) -> Request<'static> {
    Request::Wait { mode, targets: targets.into_iter().collect(), timeout_ns, thread: ThreadId(thread) }
}

/// The release of a lock by a thread.
pub(crate) fn release(id: ObjectId, thread: u64) -> Request<'static> {
    Request::Release { id, holding: None, thread: ThreadId(thread) }
}

/// A semaphore with this many permits.
pub(crate) fn semaphore(permits: u64) -> Spec {
    Spec::Semaphore { permits, is_bounded: false }
}

/// A queue without a capacity.
pub(crate) fn queue(is_joinable: bool) -> Spec {
    Spec::Queue { capacity: None, is_joinable }
}
