//! Requests, targets and specs, each made by a short function, and what their answers bring.

use std::time::Duration;

use protocol::{
    Code, Grant, LockChoice, LockGrant, ObjectId, ObjectInfo, Reply, Request, RequestId, Selector, SessionId,
    Spec, Target, ThreadId, WaitMode, WaitResult,
};

use crate::world::World;

pub(crate) const SECOND: Duration = Duration::from_secs(1);

/// The timeout of a wait that only asks.
pub(crate) const NO_TIME: Duration = Duration::ZERO;

/// A wait for one target, without a timeout.
pub(crate) fn wait_for(target: Target<'_>) -> Request<'_> {
    wait(WaitMode::Any, &[target], None)
}

/// A wait for one target with a timeout.
pub(crate) fn wait_at_most(timeout: Duration, target: Target<'_>) -> Request<'_> {
    wait(WaitMode::Any, &[target], Some(timeout))
}

pub(crate) fn any<'a>(targets: &[Target<'a>]) -> Request<'a> {
    wait(WaitMode::Any, targets, None)
}

pub(crate) fn all<'a>(targets: &[Target<'a>]) -> Request<'a> {
    wait(WaitMode::All, targets, None)
}

pub(crate) fn wait<'a>(mode: WaitMode, targets: &[Target<'a>], timeout: Option<Duration>) -> Request<'a> {
    let timeout_ns = timeout.map(|timeout| timeout.as_nanos() as u64);
    Request::Wait { mode, targets: targets.iter().cloned().collect(), timeout_ns, thread: ThreadId(1) }
}

/// The same request from another thread than the first.
pub(crate) fn on_thread(number: u64, mut request: Request<'_>) -> Request<'_> {
    match &mut request {
        Request::Wait { thread, .. }
        | Request::SignalAndWait { thread, .. }
        | Request::BatchRun { thread, .. }
        | Request::Release { thread, .. }
        | Request::Notify { thread, .. } => *thread = ThreadId(number),
        other => panic!("no thread matters to {other:?}"),
    }
    request
}

pub(crate) fn event(id: ObjectId) -> Target<'static> {
    Target::Event { id }
}

pub(crate) fn lock(id: ObjectId) -> Target<'static> {
    Target::Lock { id }
}

pub(crate) fn rlock(id: ObjectId) -> Target<'static> {
    Target::RLock { id }
}

pub(crate) fn condition(id: ObjectId) -> Target<'static> {
    Target::Condition { id, holding: None }
}

pub(crate) fn permits(id: ObjectId, permits: u64) -> Target<'static> {
    Target::Semaphore { id, permits }
}

pub(crate) fn barrier(id: ObjectId) -> Target<'static> {
    Target::Barrier { id, has_action: false }
}

/// A party that brings an action.
pub(crate) fn barrier_with_action(id: ObjectId) -> Target<'static> {
    Target::Barrier { id, has_action: true }
}

pub(crate) fn latch(id: ObjectId) -> Target<'static> {
    Target::Latch { id }
}

pub(crate) fn get(queue: ObjectId) -> Target<'static> {
    Target::Get { queue }
}

pub(crate) fn put(queue: ObjectId, item: &[u8]) -> Target<'_> {
    Target::Put { queue, item, carries: Vec::new() }
}

pub(crate) fn join(queue: ObjectId) -> Target<'static> {
    Target::Join { queue }
}

/// Gives back what the first thread holds.
pub(crate) fn release(id: ObjectId) -> Request<'static> {
    Request::Release { id, holding: None, thread: ThreadId(1) }
}

/// Gives back a holding by its number, from a thread that never holds anything.
pub(crate) fn release_holding(id: ObjectId, holding: u64) -> Request<'static> {
    Request::Release { id, holding: Some(holding), thread: ThreadId(99) }
}

pub(crate) fn notify(id: ObjectId, count: u32) -> Request<'static> {
    Request::Notify { id, count: Some(count), holding: None, thread: ThreadId(1) }
}

pub(crate) fn notify_all(id: ObjectId) -> Request<'static> {
    Request::Notify { id, count: None, holding: None, thread: ThreadId(1) }
}

/// A condition over this lock.
pub(crate) fn over(id: ObjectId) -> Spec {
    Spec::Condition { over: LockChoice::Given { id } }
}

pub(crate) fn semaphore(permits: u64) -> Spec {
    Spec::Semaphore { permits, is_bounded: false }
}

pub(crate) fn bounded(permits: u64) -> Spec {
    Spec::Semaphore { permits, is_bounded: true }
}

/// A plain queue.
pub(crate) fn queue(capacity: Option<u64>) -> Spec {
    Spec::Queue { capacity, is_joinable: false }
}

/// A joinable queue without a bound.
pub(crate) const JOINABLE: Spec = Spec::Queue { capacity: None, is_joinable: true };

impl World {
    /// What a wait that was served took.
    pub(crate) fn taken(&mut self, session: SessionId, request: RequestId) -> WaitResult {
        match self.answer(session, request) {
            Some(Reply::Taken(taken)) => taken,
            other => panic!("{request:?} must be served, not {other:?}"),
        }
    }

    /// What a wait for one target, or for any, took.
    pub(crate) fn grant(&mut self, session: SessionId, request: RequestId) -> Grant {
        let mut taken = self.taken(session, request);
        assert_eq!(taken.grants.len(), 1);
        taken.grants.remove(0)
    }

    /// Takes what is available now.
    pub(crate) fn take(&mut self, session: SessionId, target: Target<'_>) -> Grant {
        let request = self.send(session, wait_for(target));
        self.grant(session, request)
    }

    /// Takes a free lock of either kind.
    pub(crate) fn acquire(&mut self, session: SessionId, target: Target<'_>) -> LockGrant {
        let request = self.send(session, wait_for(target));
        self.locked(session, request)
    }

    /// The lock that a wait took.
    pub(crate) fn locked(&mut self, session: SessionId, request: RequestId) -> LockGrant {
        match self.grant(session, request) {
            Grant::Lock(grant) => grant,
            other => panic!("not a lock: {other:?}"),
        }
    }

    /// The lock that a notified waiter holds again.
    pub(crate) fn notified(&mut self, session: SessionId, request: RequestId) -> LockGrant {
        let taken = self.taken(session, request);
        assert_eq!(taken.grants[..], [Grant::Notified]);
        taken.reacquired.expect("a notified waiter holds the lock again")
    }

    /// Gives back what the first thread holds.
    pub(crate) fn release(&mut self, session: SessionId, id: ObjectId) {
        self.done(session, release(id));
    }

    pub(crate) fn done(&mut self, session: SessionId, body: Request<'_>) {
        assert_eq!(self.ask(session, body), Reply::Done);
    }

    pub(crate) fn count(&mut self, session: SessionId, body: Request<'_>) -> u64 {
        match self.ask(session, body) {
            Reply::Count(count) => count,
            other => panic!("not a count: {other:?}"),
        }
    }

    pub(crate) fn available(&mut self, session: SessionId, id: ObjectId) -> u64 {
        self.count(session, Request::SemaphoreAvailable { id })
    }

    /// The code and text of the refusal of a request that had blocked.
    pub(crate) fn refusal(&mut self, session: SessionId, request: RequestId) -> (Code, String) {
        match self.answer(session, request) {
            Some(Reply::Refused(refusal)) => (refusal.code, refusal.text),
            other => panic!("{request:?} must be refused, not {other:?}"),
        }
    }

    pub(crate) fn put(&mut self, session: SessionId, queue: ObjectId, item: &[u8]) {
        assert_eq!(self.take(session, put(queue, item)), Grant::Put);
    }

    /// Gets an item that is available now.
    pub(crate) fn get(&mut self, session: SessionId, queue: ObjectId) -> Vec<u8> {
        let request = self.send(session, wait_for(get(queue)));
        self.item(session, request)
    }

    /// The item that a wait got.
    pub(crate) fn item(&mut self, session: SessionId, request: RequestId) -> Vec<u8> {
        match self.grant(session, request) {
            Grant::Item(item) => item.payload.as_bytes().to_vec(),
            other => panic!("not an item: {other:?}"),
        }
    }

    pub(crate) fn inspect(&mut self, session: SessionId, id: ObjectId) -> ObjectInfo {
        match self.ask(session, Request::Inspect { object: Selector::Id(id) }) {
            Reply::Object(info) => *info,
            other => panic!("not an object: {other:?}"),
        }
    }

    pub(crate) fn length(&mut self, session: SessionId, id: ObjectId) -> u64 {
        self.count(session, Request::QueueLength { id })
    }
}
