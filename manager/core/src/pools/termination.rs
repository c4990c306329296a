//! Terminations: a pool ends all of its batches at once.
//!
//! Every call that has not ended fails, and then the stop events of the batches are set. The calls and batches may be
//! many, so this goes on in slices. Meanwhile the pool starts nothing, and takes nothing more.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::string::String;

use protocol::{Failure, FailureKind};
use serde::{Deserialize, Serialize};

use crate::State;
use crate::objects::event::SetBy;
use crate::store::catalog::Handle;
use crate::store::slab::Key;
use crate::work::LongWork;

/// How many steps it counts to end a batch and to set its stop event.
const STEPS_PER_BATCH: u64 = 32;

/// A pool that is being terminated.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Termination {
    pool: Handle,
    /// Where the next batch is whose calls are to fail.
    next: Key,
    /// The stop events to set, once the calls of all batches have failed: a set event would cancel calls that have not,
    /// such as those of batches that these calls opened.
    stops: VecDeque<Handle>,
    /// Why, for the failures.
    text: String,
    setter: SetBy,
    /// Whether the pool is removed, too.
    is_removal: bool,
}

impl State {
    /// Closes a pool and fails every call in it that has not ended. Stop events tell those that run to stop.
    pub(crate) fn terminate(&mut self, key: Key, text: String, setter: SetBy, is_removal: bool) {
        self.pool_at(key).terminate();
        let pool = self.catalog.handle(key);
        let termination =
            Termination { pool, next: Key::MIN, stops: VecDeque::new(), text, setter, is_removal };
        self.go_on_terminating(Box::new(termination));
    }

    /// Goes on, to the end or until this input is over.
    pub(crate) fn go_on_terminating(&mut self, mut termination: Box<Termination>) {
        let Termination { pool, next, stops, text, setter, .. } = &mut *termination;
        let pool = self.catalog.resolve(*pool);
        let failure = Failure { kind: FailureKind::Terminated, text: text.as_str() };
        while let Some(batch) = pool.and_then(|pool| self.pool_at(pool).open_batch_from(*next)) {
            self.step(STEPS_PER_BATCH);
            let stop = self.batch(batch).stop;
            if self.batch_fail_rest(batch, &failure) {
                *next = batch.saturating_add(1);
                stops.push_back(stop);
            }
            if self.is_over() {
                return self.go_on_later(LongWork::Terminate(termination));
            }
        }
        while let Some(stop) = stops.pop_front() {
            self.step(STEPS_PER_BATCH);
            self.stop_event_set(stop, setter.clone());
            if self.is_over() && !stops.is_empty() {
                return self.go_on_later(LongWork::Terminate(termination));
            }
        }
        if let Some(pool) = pool {
            self.touch(pool);
            if self.pool_at(pool).open_batch_from(Key::MIN).is_some() {
                // Calls that an earlier input has dropped have not all ended.
                self.left.is_news |= self.has_left;
            }
            if termination.is_removal {
                self.pool_at(pool).remove_when_done(termination.text);
                self.pool_end(pool);
            }
        }
    }
}
