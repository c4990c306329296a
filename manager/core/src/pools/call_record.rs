//! Call records: what a worker had done and not reported when its session ended.
//!
//! A worker that shares [this memory](protocol::SharedMemory::CallRecord) reports several calls at a time. The content
//! of that memory is not part of the core's state. Before the driver applies the end of a session, it reads the record
//! and applies [`Input::CallsFound`](crate::Input::CallsFound): the results that stand there count as if they had been
//! reported, and the record says whether the call behind them had begun. Without a record, a call has begun if it is
//! the first of its grant that has not ended. The driver also reads the records of those whose calls a termination is
//! about to fail.

use protocol::{Kind, ObjectId, Outcome, SessionId, calls};
use serde::{Deserialize, Serialize};

use crate::State;
use crate::pools::calls::Running;

/// What the record of a session says of the calls of one grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FoundRecord {
    /// The batch; of no object if the record names none.
    batch: ObjectId,
    /// The first call whose result stands in the record.
    first: u64,
    /// The first call that has not begun.
    begun: u64,
}

/// The content of a call record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallRecord<'a> {
    /// The batch; an id of no object if the record names none.
    pub batch: ObjectId,
    /// The number of the first call whose result stands in the record.
    pub first: u64,
    /// The number of the first call that has not ended.
    pub ended: u64,
    /// The number of the first call that has not begun.
    pub begun: u64,
    /// The results of the calls in between, and maybe a part of what follows.
    #[serde(borrow)]
    pub results: &'a [u8],
}

impl FoundRecord {
    /// Whether the first call of a grant that has not ended had begun.
    pub(crate) fn has_begun(&self, batch: ObjectId, running: &Running) -> bool {
        self.batch == batch && (self.first..self.begun).contains(&running.first)
    }
}

impl State {
    /// Ends the calls that have ended in a session, as its record says. What the record says of calls that the session
    /// was not granted, or that have ended, counts for nothing.
    pub(crate) fn calls_found(&mut self, session: SessionId, is_last: bool, record: &CallRecord<'_>) {
        let CallRecord { batch: id, first, ended, begun, results } = *record;
        let Some(grants) = &mut self.session_at(session).grants else { return };
        if is_last {
            grants.found = Some(FoundRecord { batch: id, first, begun });
        }
        let Ok(key) = self.catalog.find(id, Kind::Batch) else { return };
        let Some((range, running)) = self.batch(key).range_with(session, first) else { return };
        let (next, end) = (running.first, running.end());
        if first > next || ended <= next || ended > end {
            return;
        }
        // Calls that were reported before the session ended may still stand there.
        let unreported = calls::split(results, next - first).map(|(_, rest)| rest);
        let Some((results, _)) = unreported.and_then(|rest| calls::split(rest, ended - next)) else { return };
        let count = (ended - next) as u32;
        self.note_time(key, range, count);
        self.end_reported(key, next, count, &Outcome::Returned(results), &[]);
        self.advance(key, range, count);
        self.batch_moved_on(key);
    }
}
