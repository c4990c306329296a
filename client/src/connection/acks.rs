//! Which answers this process has read and will not lose any more. Every request tells the manager how many.
//!
//! [`client_core::Acks`] has the rules. Here the threads of a process share them: the reader counts answers, every
//! sender asks how many, and an [`AckHold`] holds the acknowledgement of an answer back until it is dropped.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use client_core::{Acks, HeldAnswer, UnacknowledgedGrants};
use protocol::{Answer, Request, RequestId};

use crate::Result;
use crate::sync::lock;

/// The acknowledgements of one connection.
#[derive(Debug)]
pub(crate) struct SharedAcks {
    acks: Mutex<Acks>,
    /// What [`Acks::acknowledged`] says, for those that send.
    acknowledged: AtomicU64,
    /// What [`Acks::latest`] says, for those that send.
    latest: AtomicU64,
    /// What [`Acks::is_full`] says, for those that begin a wait.
    is_full: AtomicBool,
    /// The process that reads the answers.
    process: u32,
}

/// Holds the acknowledgement of an answer back while it lives.
#[derive(Debug)]
pub(crate) struct AckHold {
    acks: Arc<SharedAcks>,
    answer: HeldAnswer,
}

impl SharedAcks {
    pub(crate) fn new() -> SharedAcks {
        SharedAcks {
            acks: Mutex::new(Acks::new()),
            acknowledged: AtomicU64::new(0),
            latest: AtomicU64::new(RequestId::ONE_WAY.0),
            is_full: AtomicBool::new(false),
            process: std::process::id(),
        }
    }

    /// How many answers the next request acknowledges. None while its thread panics: a request that a destructor sends
    /// then must not acknowledge items that the thread has not finished. If the process goes on, a later request
    /// acknowledges them.
    pub(crate) fn acknowledged(&self) -> u64 {
        if std::thread::panicking() { 0 } else { self.acknowledged.load(Ordering::Relaxed) }
    }

    /// The latest request that was answered.
    pub(crate) fn latest(&self) -> RequestId {
        RequestId(self.latest.load(Ordering::Acquire))
    }

    /// Refuses a wait whose answer could make the manager end the connection.
    pub(crate) fn check(&self, request: &Request<'_>) -> Result<()> {
        Ok(UnacknowledgedGrants::check(self.is_full.load(Ordering::Relaxed), request)?)
    }

    /// Counts an answer that was read. It is acknowledged from now on, unless this returns a hold.
    pub(crate) fn handle_answer(self: &Arc<Self>, answer: &Answer) -> Option<AckHold> {
        let mut acks = lock(&self.acks);
        let held = acks.handle_answer(answer);
        self.publish(&acks);
        held.map(|answer| AckHold { acks: Arc::clone(self), answer })
    }

    fn publish(&self, acks: &Acks) {
        self.acknowledged.store(acks.acknowledged(), Ordering::Relaxed);
        self.latest.store(acks.latest().0, Ordering::Release);
        self.is_full.store(acks.is_full(), Ordering::Relaxed);
    }
}

impl Drop for AckHold {
    fn drop(&mut self) {
        // A forked child has a copy of what only its parent may acknowledge, and perhaps of a mutex that stays locked.
        if self.acks.process == std::process::id() {
            let mut acks = lock(&self.acks.acks);
            acks.release(self.answer);
            self.acks.publish(&acks);
        }
    }
}

#[cfg(test)]
mod tests {
    use protocol::{Grant, ItemGrant, Payload, Reply, WaitResult};

    use super::*;

    #[test]
    fn an_answer_is_acknowledged_when_its_hold_is_dropped() {
        let acks = Arc::new(SharedAcks::new());
        let item = ItemGrant { number: 1, carries: true, payload: Payload::from([].as_slice()) };
        let grants = [Grant::Item(item)].into_iter().collect();
        let item = Reply::Taken(WaitResult { index: 0, grants, reacquired: None });
        let answers = [Reply::Done, item, Reply::Done].into_iter().zip(1..);
        let mut holds =
            answers.map(|(body, request)| acks.handle_answer(&Answer { request: RequestId(request), body }));
        let [None, Some(hold), None] = [(); 3].map(|()| holds.next().unwrap()) else {
            panic!("only the item is held");
        };
        assert_eq!((acks.acknowledged(), acks.latest()), (1, RequestId(3)));
        drop(hold);
        assert_eq!(acks.acknowledged(), 3);
    }
}
