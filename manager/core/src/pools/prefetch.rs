//! Prefetch: several calls in one grant, so that short calls do not cost a round trip each.
//!
//! A grant begins only its first call. Each of the others begins when the one before it has ended, and a worker
//! reports that, or leaves it in its [call record](crate::pools::call_record). So when a worker dies, the core knows
//! which calls it had not begun, and puts these back to the front of the batch. A worker that runs a long call gives
//! back what it has prefetched. A prefetched call counts as waiting; but only its worker can say that it will not
//! begin.
//!
//! Calls that came in one chunk may be granted together at any time. Those of several chunks are not while another
//! worker waits for one, or another batch has one to begin.

use alloc::format;

use protocol::limits::{CALLS_PER_GRANT_MAX, GRANT_BYTES_MAX};
use protocol::{Code, Grant, Kind, ObjectId, Refusal, Reply, SessionId};
use serde::{Deserialize, Serialize};

use crate::State;
use crate::store::slab::Key;
use crate::waiting::wait::Lane;

/// The longest that all calls of one grant should take together, in nanoseconds.
const GRANT_TIME_NS: u64 = 1_000_000;

/// One grant brings at most one part in this many of the waiting calls, so that workers get the last ones one by one.
const GRANTS_PER_BATCH: u64 = 4;

/// How many calls make the core forget how long those before them took.
const CALLS_REMEMBERED: u32 = 16;

/// How long calls take, as the core has seen so far.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct CallTime {
    /// Nanoseconds for a call; none before the first has ended.
    call_ns: Option<u64>,
}

impl CallTime {
    /// Notes how long these calls took together. Long ones count in full at once, short ones little by little.
    pub(crate) fn note(&mut self, took_ns: u64, calls: u32) {
        let each_ns = took_ns / u64::from(calls.max(1));
        let before_ns = self.call_ns.unwrap_or(each_ns);
        let nearer = |ns: u64, _| ns - ns / 4 + each_ns / 4;
        let after_ns = (0..calls.min(CALLS_REMEMBERED)).fold(before_ns, nearer);
        self.call_ns = Some(each_ns.max(after_ns));
    }

    /// How many calls one grant may bring.
    fn calls_per_grant(&self) -> u64 {
        self.call_ns.map_or(1, |call_ns| GRANT_TIME_NS / call_ns.max(1))
    }
}

impl State {
    /// Begins the next call of a ready pool in this session, and prefetches others if no other batch or worker loses by
    /// it.
    pub(crate) fn calls_take(&mut self, pool: Key, session: SessionId, most: u32) -> Grant {
        let key = self.pool_next(pool);
        let is_alone = self.pool_at(pool).has_nothing_to_start()
            && self.catalog.at(pool).wait_queue_in(Lane::Main).is_empty();
        let batch = self.batch(key);
        let fair = (batch.waiting.calls() / GRANTS_PER_BATCH).min(batch.call_time.calls_per_grant());
        let calls_max = fair.min(CALLS_PER_GRANT_MAX as u64).min(u64::from(most)).max(1) as u32;
        let grant = self.calls_grant(key, session, calls_max, GRANT_BYTES_MAX, is_alone);
        self.batch_offer(key);
        grant
    }

    pub(crate) fn calls_give_back(
        &mut self,
        session: SessionId,
        id: ObjectId,
        first: u64,
    ) -> Result<Reply, Refusal> {
        let key = self.catalog.find(id, Kind::Batch)?;
        let its = self.batch(key).range_with(session, first);
        let Some((range, _)) = its.filter(|(_, running)| first >= running.first) else {
            let text = format!("this session has no call {first} of batch {id} to give back");
            return Err(Refusal::new(Code::BadArgument, text));
        };
        self.calls_take_back(key, range, first);
        self.batch_offer(key);
        self.batch_moved_on(key);
        Ok(Reply::Done)
    }
}

#[cfg(test)]
mod tests {
    use super::{CALLS_REMEMBERED, CallTime};

    #[test]
    fn short_calls_count_little_by_little_and_long_ones_in_full() {
        let mut time = CallTime::default();
        time.note(10_000_000, 1);
        time.note(1_000_002, 1);
        assert_eq!(time.call_ns, Some(7_750_000), "a quarter of the way");
        time.note(CALLS_REMEMBERED.into(), CALLS_REMEMBERED);
        assert!(time.call_ns.is_some_and(|call_ns| call_ns < 100_000), "{time:?}");
        time.note(30_000_000, 3);
        assert_eq!(time.call_ns, Some(10_000_000));
    }
}
