//! The calls that the manager granted to this worker together: which of them have begun, and what is to be reported.
//!
//! Reporting each end costs a write and a wake-up, which short calls cannot afford. So results gather here until they
//! are many, the grant has no more calls, or a call fails. The call record has them meanwhile, in case this worker
//! dies. A long call may follow short ones: so a thread reports what has ended some milliseconds after the grant, and
//! gives the calls that have not begun back to the manager. The run loop gives back those of a stopped batch. Both
//! decide under one lock, so that each call either begins here or is given back.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::Duration;

use client::Result;
use client::internal::operations::{CallsEnd, CallsGiveBack};
use client::internal::{Link, Operation};
use protocol::limits::{CALLS_PER_GRANT_MAX, CARRIES_MAX};
use protocol::shared_memory::call_record::RESULTS_BYTES_MAX;
use protocol::{CallsGrant, CallsOutcome, CallsOutcomes, ObjectId, Outcome};
use uuid::Uuid;

use crate::run_loop::call_record::CallRecordWriter;

/// How long granted calls may wait after the last grant, at least. The thread gives them back after at most twice that.
/// The manager grants several calls only if it expects all of them together to take half of it.
const WAIT_MIN: Duration = Duration::from_millis(2);

/// The stack of the thread, in bytes. It sends requests, and calls nothing of the program's.
const STACK_BYTES: usize = 128 << 10;

/// The calls that were granted to this worker.
#[derive(Debug)]
pub(crate) struct GrantedCalls {
    shared: Arc<SharedCalls>,
    /// The most calls that one request asks for.
    request_max: u32,
}

#[derive(Debug)]
struct SharedCalls {
    calls: Mutex<Calls>,
    /// Notified when there are several calls again and the thread sleeps.
    filled: Condvar,
}

#[derive(Debug)]
struct Calls {
    batch: ObjectId,
    /// The number of the next call to begin.
    next: u64,
    /// The number of the call behind the last.
    end: u64,
    /// Whether the end of each call is reported at once.
    report_each: bool,
    /// The number of the first call whose end was not reported.
    first: u64,
    /// How many calls have returned since.
    returned: u32,
    /// Their results, each preceded by its length.
    results: Vec<u8>,
    /// Where the manager finds them if this process dies.
    record: Option<CallRecordWriter>,
    /// How many grants there were.
    grants: u64,
    /// Whether the thread sleeps until there are several calls.
    is_asleep: bool,
}

impl GrantedCalls {
    /// No calls, and a thread that gives back those that wait. Without that thread, calls are requested one by one.
    pub(crate) fn new(link: &Arc<Link>) -> Result<GrantedCalls> {
        let record = link.call_record()?.and_then(CallRecordWriter::new);
        let calls = Mutex::new(Calls {
            batch: ObjectId(Uuid::nil()),
            next: 0,
            end: 0,
            report_each: false,
            first: 0,
            returned: 0,
            results: Vec::new(),
            record,
            grants: 0,
            is_asleep: false,
        });
        let shared = Arc::new(SharedCalls { calls, filled: Condvar::new() });
        // The thread must not keep the link alive: the last thing that a worker sends is the goodbye of its link.
        let (watched, link) = (Arc::clone(&shared), Arc::downgrade(link));
        let thread = thread::Builder::new().name("prefetch".to_owned()).stack_size(STACK_BYTES);
        let request_max = match thread.spawn(move || watched.give_back_late(&link)) {
            Ok(_) => CALLS_PER_GRANT_MAX as u32,
            Err(error) => {
                log::warn!("this worker takes calls one by one, since it cannot start a thread: {error}");
                1
            }
        };
        Ok(GrantedCalls { shared, request_max })
    }

    /// How many calls to request, if this worker is to begin at most `rest` more.
    pub(crate) fn request_count(&self, rest: u32) -> u32 {
        self.request_max.min(rest)
    }

    /// Takes granted calls in, after all calls of the grant before have ended.
    pub(crate) fn accept(&self, grant: &CallsGrant) {
        let mut calls = self.shared.lock();
        calls.batch = grant.batch;
        calls.next = grant.first;
        calls.end = grant.first + u64::from(grant.calls);
        calls.first = grant.first;
        if let Some(record) = &calls.record {
            record.start(grant.batch, grant.first);
        }
        calls.report_each = grant.report_each || calls.record.is_none();
        calls.grants += 1;
        if grant.calls > 1 && calls.is_asleep {
            calls.is_asleep = false;
            self.shared.filled.notify_one();
        }
    }

    /// Takes in the result of the call that ran, if one did and its end was not reported apart, and begins the next.
    /// Returns false if there is none; if the batch was stopped, those that are left are given back.
    pub(crate) fn begin_next(&self, link: &Link, result: Option<&[u8]>, is_stopped: bool) -> Result<bool> {
        let mut calls = self.shared.lock();
        if let Some(result) = result {
            calls.add_result(link, result)?;
        }
        if is_stopped {
            calls.give_back(link)?;
        }
        if calls.next == calls.end {
            // This leaves with the request for more.
            calls.report(link, None, Vec::new())?;
            return Ok(false);
        }
        calls.next += 1;
        if let Some(record) = &calls.record {
            record.note_begun(calls.next);
        }
        Ok(true)
    }

    /// Reports the end of the call that runs, together with what has gathered before: with the request for more if it
    /// is the last, otherwise before the next begins.
    pub(crate) fn report_apart(
        &self,
        link: &Link,
        outcome: Outcome<&[u8], &str>,
        carries: Vec<ObjectId>,
    ) -> Result<()> {
        self.shared.lock().report(link, Some(outcome), carries)
    }
}

impl SharedCalls {
    fn lock(&self) -> MutexGuard<'_, Calls> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reports what has ended and gives back what has not begun, some time after a grant. It wakes up only while
    /// several calls are granted at a time.
    fn give_back_late(&self, link: &Weak<Link>) {
        let mut calls = self.lock();
        loop {
            let grants = calls.grants;
            drop(calls);
            thread::sleep(WAIT_MIN);
            calls = self.lock();
            if calls.grants != grants {
                continue;
            }
            if calls.next < calls.end || calls.returned > 0 {
                // Without a link the manager is gone, and with it everybody who waits for the calls.
                let Some(link) = link.upgrade() else { return };
                if calls.report_and_give_back(&link).is_err() {
                    // The manager may have given them to another worker.
                    calls.end = calls.next;
                    return;
                }
            }
            calls.is_asleep = true;
            while calls.is_asleep {
                calls = self.filled.wait(calls).unwrap_or_else(PoisonError::into_inner);
            }
        }
    }
}

impl Calls {
    /// Adds the result of the call that ran to those that are to be reported, if it has room there.
    fn add_result(&mut self, link: &Link, result: &[u8]) -> Result<()> {
        if self.results.len() + result.len() > RESULTS_BYTES_MAX {
            return self.report(link, Some(Outcome::Returned(result)), Vec::new());
        }
        let position = self.results.len();
        self.results.extend_from_slice(result);
        self.returned += 1;
        if let Some(record) = &self.record {
            record.note_returned(self.first + u64::from(self.returned), &self.results, position);
        }
        if self.report_each { self.report(link, None, Vec::new()) } else { Ok(()) }
    }

    /// Reports the calls that have returned, and this outcome of the call behind them, if there is one. The report
    /// leaves at once if there are more calls, and otherwise with the next write.
    fn report(
        &mut self,
        link: &Link,
        outcome: Option<Outcome<&[u8], &str>>,
        carries: Vec<ObjectId>,
    ) -> Result<()> {
        let is_large =
            matches!(&outcome, Some(Outcome::Returned(result)) if result.len() > RESULTS_BYTES_MAX);
        if (is_large || carries.len() > CARRIES_MAX) && self.returned > 0 {
            // Together they might not fit into a frame; and a report that carries too much fails whole.
            self.report(link, None, Vec::new())?;
        }
        let returned = (self.returned > 0).then_some(CallsOutcome {
            calls: self.returned,
            outcome: Outcome::Returned(self.results.as_slice()),
        });
        let ends: CallsOutcomes<'_> =
            returned.into_iter().chain(outcome.map(|outcome| CallsOutcome { calls: 1, outcome })).collect();
        let count: u64 = ends.iter().map(|end| u64::from(end.calls)).sum();
        if count == 0 {
            return Ok(());
        }
        let report = CallsEnd { batch: self.batch, first: self.first, ends, carries }.into_request();
        let is_last = self.first + count == self.end;
        // The last report leaves with the request for more, and up to then the record has what it says.
        if is_last {
            link.queue(report)?;
        } else {
            link.send(report)?;
        }
        self.first += count;
        self.returned = 0;
        self.results.clear();
        if let Some(record) = self.record.as_ref().filter(|_| !is_last) {
            record.note_reported(self.first);
        }
        Ok(())
    }

    /// Gives back the calls that have not begun, if there are any.
    fn give_back(&mut self, link: &Link) -> Result<()> {
        if self.next == self.end {
            return Ok(());
        }
        // The calls that have ended are reported first, so that the manager knows those given back as the last.
        self.report(link, None, Vec::new())?;
        let give_back = CallsGiveBack { batch: self.batch, first: self.next };
        self.end = self.next;
        link.send(give_back.into_request())
    }

    /// Like [`give_back`](Self::give_back), while a call runs that may take long.
    fn report_and_give_back(&mut self, link: &Link) -> Result<()> {
        self.report(link, None, Vec::new())?;
        self.give_back(link)
    }
}
