//! Acknowledgements: how many answers this process has received for good, which every request tells the manager.
//!
//! If this process dies, what an unacknowledged answer granted goes to the next waiter. An answer that was read counts
//! as received, with one exception: an item of a queue may carry proxies, whose objects only the item keeps alive until
//! this process has attached itself to them. So an answer that brings such an item comes with an [`AckHold`], and while
//! that lives, neither this answer nor a later one is acknowledged.
//!
//! The manager ends the connection of a process that acknowledges nothing for too long. So before that, this process
//! begins no more waits until the hold is dropped.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use protocol::limits::UNCONFIRMED_MAX;
use protocol::{Grant, Reply};

use crate::sync::lock;
use crate::{Error, ErrorKind, Result};

/// With this many unacknowledged grants, this process asks for no more. Waits under way may bring as many again.
const GRANTS_MAX: u64 = UNCONFIRMED_MAX as u64 / 2;

/// The acknowledgements of one connection.
#[derive(Debug)]
pub(crate) struct Acks {
    /// How many answers, from the first on, the manager may forget. Only grows.
    acknowledged: AtomicU64,
    /// Whether holds keep too many grants from being acknowledged.
    is_full: AtomicBool,
    counts: Mutex<Counts>,
    /// The process that reads the answers.
    process: u32,
}

#[derive(Debug, Default)]
struct Counts {
    /// How many answers were read.
    read: u64,
    /// How many grants these brought.
    grants: u64,
    /// The numbers of the answers that are held back, and how many grants came before each.
    held: BTreeMap<u64, u64>,
}

/// Holds the acknowledgement of an answer back while it lives.
#[derive(Debug)]
pub(crate) struct AckHold {
    acks: Arc<Acks>,
    number: u64,
}

impl Acks {
    pub(crate) fn new() -> Acks {
        Acks {
            acknowledged: AtomicU64::new(0),
            is_full: AtomicBool::new(false),
            counts: Mutex::default(),
            process: std::process::id(),
        }
    }

    /// How many answers the next request acknowledges. While its thread panics that is none: what the thread drops on
    /// its way out must not acknowledge what it has not done. If the process goes on, a later request does.
    pub(crate) fn acknowledged(&self) -> u64 {
        if std::thread::panicking() { 0 } else { self.acknowledged.load(Ordering::Relaxed) }
    }

    /// Refuses a wait whose answer could make the manager end the connection.
    pub(crate) fn check(&self) -> Result<()> {
        if !self.is_full.load(Ordering::Relaxed) {
            return Ok(());
        }
        let text = format!(
            "an item with proxies was got and neither decoded nor dropped, and {GRANTS_MAX} grants came since"
        );
        Err(Error::new(ErrorKind::Limit, text))
    }

    /// Counts an answer that was read. It is acknowledged from now on, unless this returns a hold.
    pub(crate) fn note(self: &Arc<Self>, reply: &Reply) -> Option<AckHold> {
        let mut counts = lock(&self.counts);
        counts.read += 1;
        let number = counts.read;
        let ack_hold = carries_proxies(reply).then(|| AckHold { acks: Arc::clone(self), number });
        if ack_hold.is_some() {
            let grants = counts.grants;
            counts.held.insert(number, grants);
        }
        counts.grants += grants(reply);
        self.update(&counts);
        ack_hold
    }

    fn update(&self, counts: &Counts) {
        let (acknowledged, grants) = match counts.held.first_key_value() {
            Some((first, before)) => (first - 1, counts.grants - before),
            None => (counts.read, 0),
        };
        self.acknowledged.store(acknowledged, Ordering::Relaxed);
        self.is_full.store(grants >= GRANTS_MAX, Ordering::Relaxed);
    }
}

impl Drop for AckHold {
    fn drop(&mut self) {
        // A forked child has a copy of what its parent is to acknowledge, and perhaps of a mutex that stays locked.
        if self.acks.process == std::process::id() {
            let mut counts = lock(&self.acks.counts);
            counts.held.remove(&self.number);
            self.acks.update(&counts);
        }
    }
}

fn carries_proxies(reply: &Reply) -> bool {
    match reply {
        Reply::Taken(taken) => {
            taken.grants.iter().any(|grant| matches!(grant, Grant::Item(item) if item.carries))
        }
        _ => false,
    }
}

/// How many grants an answer brings: at least as many as the manager counts as unacknowledged.
fn grants(reply: &Reply) -> u64 {
    match reply {
        Reply::Taken(taken) => taken.grants.len() as u64,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use protocol::{ItemGrant, Payload, Taken};

    use super::*;

    fn item() -> Reply {
        item_that(true)
    }

    fn item_that(carries: bool) -> Reply {
        let item = ItemGrant { number: 1, carries, payload: Payload::from([].as_slice()) };
        let grants = [Grant::Item(item)].into_iter().collect();
        Reply::Taken(Taken { index: 0, grants, reacquired: None })
    }

    #[test]
    fn nothing_is_acknowledged_from_the_first_held_answer_on() {
        let acks = Arc::new(Acks::new());
        assert!(acks.note(&Reply::Done).is_none());
        let first = acks.note(&item()).unwrap();
        assert!(acks.note(&Reply::Done).is_none());
        let second = acks.note(&item()).unwrap();
        assert!(acks.note(&Reply::Done).is_none());
        assert_eq!(acks.acknowledged(), 1);
        drop(first);
        assert_eq!(acks.acknowledged(), 3);
        drop(second);
        assert_eq!(acks.acknowledged(), 5);
    }

    #[test]
    fn holds_are_dropped_in_any_order() {
        let acks = Arc::new(Acks::new());
        let [first, second] = [(); 2].map(|()| acks.note(&item()).unwrap());
        drop(second);
        assert_eq!(acks.acknowledged(), 0);
        drop(first);
        assert_eq!(acks.acknowledged(), 2);
    }

    #[test]
    fn an_item_that_carries_nothing_is_acknowledged_at_once() {
        let acks = Arc::new(Acks::new());
        assert!(acks.note(&item_that(false)).is_none());
        assert_eq!(acks.acknowledged(), 1);
    }

    #[test]
    fn a_hold_that_lives_too_long_refuses_waits_and_keeps_the_connection() {
        let acks = Arc::new(Acks::new());
        let first = acks.note(&item()).unwrap();
        let second = acks.note(&item()).unwrap();
        for _ in 2..GRANTS_MAX {
            assert_eq!(acks.check(), Ok(()));
            acks.note(&item_that(false));
        }
        assert!(acks.check().unwrap_err().is_limit());
        drop(first);
        assert_eq!(acks.check(), Ok(()), "the second holds one less");
        acks.note(&item_that(false));
        assert!(acks.check().unwrap_err().is_limit());
        drop(second);
        assert_eq!(acks.check(), Ok(()));
    }
}
