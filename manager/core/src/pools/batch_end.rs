//! How the calls of a batch end that do not run to their own end: by a cancellation, a stop, the end of the owner, or
//! that of the pool.
//!
//! Those that have not begun are *dropped*: they never begin, and end in slices if they are many.

use alloc::boxed::Box;
use alloc::format;
use alloc::sync::Arc;
use core::mem::take;

use protocol::{CallsResult, Failure, FailureKind, Kind, ObjectId, Outcome, Refusal, Reply};

use crate::State;
use crate::pools::outcomes::{CANCELLED, failed};
use crate::pools::submission::carries_bytes;
use crate::sessions::session::Abandoner;
use crate::store::catalog::{Handle, Pin};
use crate::store::lifetime::Remains;
use crate::store::slab::Key;
use crate::work::LongWork;

/// How many steps it counts to end the calls of a chunk.
const STEPS_PER_CHUNK: u64 = 16;

impl State {
    pub(crate) fn batch_cancel(&mut self, id: ObjectId) -> Result<Reply, Refusal> {
        let key = self.catalog.find(id, Kind::Batch)?;
        let batch = self.batch_at(key);
        let count = batch.waiting.calls();
        batch.cancels = batch.cancels.wrapping_add(1);
        self.batch_end_waiting(key, &CANCELLED);
        self.batch_moved_on(key);
        Ok(Reply::Count(count))
    }

    /// The stop event of a batch was set: no more of its calls begin, now or later.
    pub(crate) fn batch_stop(&mut self, key: Key) {
        let batch = self.batch_at(key);
        if batch.is_stopped || batch.is_complete() {
            return;
        }
        batch.is_stopped = true;
        self.batch_end_waiting(key, &CANCELLED);
        self.batch_moved_on(key);
    }

    /// Ends the calls that have not begun: all of them, or as many as this input may.
    pub(crate) fn batch_end_waiting(&mut self, key: Key, failure: &Failure<&str>) {
        self.batch_withdraw(key);
        let batch = self.batch_at(key);
        if batch.waiting.is_empty() {
            return;
        }
        let is_under_way = !batch.dropped.is_empty();
        let failure = Failure { kind: failure.kind, text: failure.text.into() };
        batch.dropped.push(take(&mut batch.waiting), failure);
        match is_under_way {
            true => self.unfinished.has_grown |= self.has_unfinished,
            false => self.end_dropped(key),
        }
    }

    /// Ends calls that will never begin: all of them, or as many as this input may.
    fn end_dropped(&mut self, key: Key) {
        while let Some((chunk, outcome)) = self.batch_at(key).dropped.pop() {
            self.step(STEPS_PER_CHUNK);
            self.stored_bytes -= chunk.stored_bytes();
            self.end_chunk(key, &chunk, outcome);
            if self.is_over() && !self.batch(key).dropped.is_empty() {
                return self.go_on_later(LongWork::EndCalls(self.catalog.handle(key)));
            }
        }
    }

    /// Ends further calls that will never begin.
    pub(crate) fn go_on_ending_calls(&mut self, batch: Handle) {
        // If it is gone, all have ended.
        if let Some(key) = self.catalog.resolve(batch) {
            self.end_dropped(key);
            self.batch_moved_on(key);
        }
    }

    /// Counts and stores the outcome of consecutive calls that neither wait nor run any more.
    pub(crate) fn end(&mut self, key: Key, first: u64, calls: u32, outcome: Outcome) {
        let is_wanted = self.is_referred_to(key);
        let batch = self.batch_at(key);
        match outcome {
            Outcome::Returned(_) | Outcome::ReturnedBlob { .. } => batch.returned += u64::from(calls),
            Outcome::Failed(_) => batch.failed += u64::from(calls),
        }
        if is_wanted {
            let bytes = batch.ended.push(CallsResult { first, calls, outcome });
            self.stored_bytes += bytes;
        } else {
            self.stored_calls_and_items -= calls as usize;
            if let Outcome::ReturnedBlob { blob, .. } = outcome {
                self.blob_release(blob, 1);
            }
        }
        let batch = self.batch_at(key);
        if !batch.pinned.is_empty() {
            let mut pins_of = batch.unpinned(first, first + u64::from(calls));
            while let Some(pins) = pins_of.pop() {
                self.unpin_carried(&pins);
                if self.is_over() && !pins_of.is_empty() {
                    return self
                        .go_on_later(LongWork::LetGo(Box::new(Remains { pins_of, ..Remains::default() })));
                }
            }
        }
    }

    /// Lets go of the objects that a chunk carried.
    pub(crate) fn unpin_carried(&mut self, pins: &[Pin]) {
        self.step(1 + pins.len() as u64);
        self.memory.give_back(carries_bytes(pins.len()));
        self.unpin_all(pins);
    }

    /// Fails the calls that have not ended. The pool starts none of them any more. Returns false if this input is over
    /// before all that run have failed.
    pub(crate) fn batch_fail_rest(&mut self, key: Key, kind: FailureKind, text: &Arc<str>) -> bool {
        self.batch_at(key).is_sealed = true;
        while let Some(range) = self.batch(key).running.first_key() {
            self.step(STEPS_PER_CHUNK);
            let running = self.stop_running(key, range);
            self.drop_arguments(&running);
            self.end(key, running.first, running.calls, failed(kind, text.clone()));
            if self.is_over() {
                break;
            }
        }
        if !self.batch(key).running.is_empty() {
            return false;
        }
        self.batch_end_waiting(key, &Failure { kind, text });
        self.batch_moved_on(key);
        true
    }

    /// The owner is gone: calls that have not begun never will, and the stop event tells the others to stop.
    pub(crate) fn batch_abandoned(&mut self, id: ObjectId, abandoner: &Abandoner) {
        let key = self.catalog.key(id).expect("a batch that is not complete is pinned");
        let batch = self.batch_at(key);
        batch.is_sealed = true;
        let stop = batch.stop;
        self.batch_stop(key);
        let cause = self.set_by_abandoner(abandoner, &format!("its owner {}", abandoner.how()));
        self.stop_event_set(stop, cause);
        self.batch_moved_on(key);
    }
}
