//! Which answers this client has received and will not lose any more. Every request tells the manager how many.
//!
//! If this client dies, a grant whose answer is not acknowledged goes to the next waiter. A client acknowledges an
//! answer once it has read it, with one exception: an item of a queue may carry proxies, and only the item keeps their
//! objects alive until this client has attached itself to them; or it may be a blob, whose bytes this client does not
//! have yet. So the client holds an answer that brings such an item: it acknowledges neither this answer nor a later
//! one until the driver releases it.
//!
//! The manager ends the connection of a client that acknowledges nothing for too long. So before that, a client must
//! not begin more waits, until what it holds is released.

use alloc::collections::BTreeMap;
use core::fmt;

use protocol::limits::UNCONFIRMED_MAX;
use protocol::{Answer, Grant, Reply, Request, RequestId};

/// With this many unacknowledged grants, no further wait may begin. The waits under way may bring as many again.
const GRANTS_MAX: u64 = UNCONFIRMED_MAX as u64 / 2;

/// Which answers were received.
#[derive(Debug)]
pub struct Acks {
    /// How many answers were read.
    read: u64,
    /// How many grants these brought.
    grants: u64,
    /// The answers that are held, and how many grants came before each.
    held: BTreeMap<HeldAnswer, u64>,
    /// The latest request that was answered.
    latest: RequestId,
}

/// The number of an answer that is not acknowledged until it is released.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct HeldAnswer(u64);

/// Why a wait cannot begin: too much that was granted is not acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnacknowledgedGrants;

impl Acks {
    /// No answer was received yet.
    pub const fn new() -> Acks {
        Acks { read: 0, grants: 0, held: BTreeMap::new(), latest: RequestId::ONE_WAY }
    }

    /// Counts an answer that was read. From now on it is acknowledged, unless this returns the number by which it is
    /// held.
    pub fn handle_answer(&mut self, answer: &Answer) -> Option<HeldAnswer> {
        self.read += 1;
        self.latest = self.latest.max(answer.request);
        let held = is_held(&answer.body).then_some(HeldAnswer(self.read));
        if let Some(number) = held {
            self.held.insert(number, self.grants);
        }
        self.grants += grants(&answer.body);
        held
    }

    /// Releases an answer that was held, so that it can be acknowledged.
    pub fn release(&mut self, answer: HeldAnswer) {
        self.held.remove(&answer);
    }

    /// How many answers, from the first on, the next request acknowledges. Never shrinks.
    pub fn acknowledged(&self) -> u64 {
        self.held.first_key_value().map_or(self.read, |(first, _)| first.0 - 1)
    }

    /// The latest request that was answered; [`RequestId::ONE_WAY`] before the first.
    pub fn latest(&self) -> RequestId {
        self.latest
    }

    /// Whether the held answers keep so much from being acknowledged that no wait may begin.
    pub fn is_full(&self) -> bool {
        self.held.first_key_value().is_some_and(|(_, before)| self.grants - before >= GRANTS_MAX)
    }
}

impl Default for Acks {
    fn default() -> Acks {
        Acks::new()
    }
}

impl UnacknowledgedGrants {
    /// Refuses a wait while [`Acks::is_full`]: its answer could make the manager end the connection.
    pub fn check(is_full: bool, request: &Request<'_>) -> Result<(), UnacknowledgedGrants> {
        let is_wait = matches!(request, Request::Wait { .. } | Request::SignalAndWait { .. });
        if is_full && is_wait { Err(UnacknowledgedGrants) } else { Ok(()) }
    }
}

impl fmt::Display for UnacknowledgedGrants {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "this process has neither decoded nor dropped an item with proxies, and {GRANTS_MAX} grants came since"
        )
    }
}

impl core::error::Error for UnacknowledgedGrants {}

/// Whether an answer brings an item that is not wholly here when the answer is: it carries proxies, or is a blob.
fn is_held(reply: &Reply) -> bool {
    match reply {
        Reply::Taken(taken) => {
            taken.grants.iter().any(|grant| match grant {
                Grant::Item(item) => item.carries,
                // The request for its bytes must not acknowledge it.
                Grant::BlobItem(_) => true,
                _ => false,
            })
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
    use protocol::{ItemGrant, Payload, ThreadId, WaitMode, WaitResult};

    use super::*;

    fn answer(body: Reply) -> Answer {
        Answer { request: RequestId(1), body }
    }

    fn item(carries: bool) -> Answer {
        let item = ItemGrant { number: 1, carries, payload: Payload::from([].as_slice()) };
        let grants = [Grant::Item(item)].into_iter().collect();
        answer(Reply::Taken(WaitResult { index: 0, grants, reacquired: None }))
    }

    #[test]
    fn nothing_is_acknowledged_from_the_first_held_answer_on() {
        let mut acks = Acks::new();
        assert_eq!(acks.handle_answer(&answer(Reply::Done)), None);
        let first = acks.handle_answer(&item(true)).unwrap();
        assert_eq!(acks.handle_answer(&answer(Reply::Done)), None);
        let second = acks.handle_answer(&item(true)).unwrap();
        assert_eq!(acks.handle_answer(&answer(Reply::Done)), None);
        assert_eq!(acks.acknowledged(), 1);
        acks.release(first);
        assert_eq!(acks.acknowledged(), 3);
        acks.release(second);
        assert_eq!(acks.acknowledged(), 5);
    }

    #[test]
    fn held_answers_are_released_in_any_order() {
        let mut acks = Acks::new();
        let [first, second] = [(); 2].map(|()| acks.handle_answer(&item(true)).unwrap());
        acks.release(second);
        assert_eq!(acks.acknowledged(), 0);
        acks.release(first);
        assert_eq!(acks.acknowledged(), 2);
    }

    #[test]
    fn an_item_that_carries_nothing_is_acknowledged_at_once() {
        let mut acks = Acks::new();
        assert_eq!(acks.handle_answer(&item(false)), None);
        assert_eq!(acks.acknowledged(), 1);
    }

    #[test]
    fn an_answer_that_is_held_for_too_long_ends_the_waits_and_not_the_connection() {
        let mut acks = Acks::new();
        let first = acks.handle_answer(&item(true)).unwrap();
        let second = acks.handle_answer(&item(true)).unwrap();
        for _ in 2..GRANTS_MAX {
            assert!(!acks.is_full());
            acks.handle_answer(&item(false));
        }
        assert!(acks.is_full());
        acks.release(first);
        assert!(!acks.is_full(), "the second has held one less");
        acks.handle_answer(&item(false));
        assert!(acks.is_full());
        acks.release(second);
        assert!(!acks.is_full());
    }

    #[test]
    fn only_waits_are_refused_while_too_much_is_held() {
        let (targets, thread) = ([].into_iter().collect(), ThreadId(1));
        let wait = Request::Wait { mode: WaitMode::Any, targets, timeout_ns: None, thread };
        assert_eq!(UnacknowledgedGrants::check(true, &wait), Err(UnacknowledgedGrants));
        assert_eq!(UnacknowledgedGrants::check(false, &wait), Ok(()));
        assert_eq!(UnacknowledgedGrants::check(true, &Request::Goodbye), Ok(()));
    }

    #[test]
    fn the_latest_request_stays_the_latest_when_answers_come_out_of_order() {
        let mut acks = Acks::new();
        assert_eq!(acks.latest(), RequestId::ONE_WAY);
        for (request, latest) in [(2, 2), (1, 2), (7, 7), (3, 7)] {
            acks.handle_answer(&Answer { request: RequestId(request), body: Reply::Done });
            assert_eq!(acks.latest(), RequestId(latest));
        }
    }
}
