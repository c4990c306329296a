//! Terminations: a pool ends all of its batches at once.
//!
//! First the driver reads the call records of the sessions that run calls, since what has returned there is kept. Then
//! every call that has not ended fails, and then the stop events of the batches are set. The calls and batches may be
//! many, so this goes on in slices. Meanwhile the pool starts nothing, and takes nothing more.

use alloc::boxed::Box;
use alloc::sync::Arc;

use protocol::{FailureKind, SessionId};
use serde::{Deserialize, Serialize};

use crate::objects::event::SetBy;
use crate::store::catalog::Handle;
use crate::store::long_queue::LongQueue;
use crate::store::slab::Key;
use crate::work::LongWork;
use crate::{Effect, State};

/// How many steps it counts to end a batch and to set its stop event.
const STEPS_PER_BATCH: u64 = 32;

/// How many steps it counts to have a call record read, which the driver does.
const STEPS_PER_RECORD: u64 = 512;

/// No session has a smaller number.
const FIRST_SESSION: SessionId = SessionId(0);

/// A pool that is being terminated.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Termination {
    pool: Handle,
    /// The batch whose workers' call records are to be read next, from this session on; none if all were read.
    unread: Option<(Key, SessionId)>,
    /// Where the next batch is whose calls are to fail.
    next: Key,
    /// The stop events to set, once the calls of all batches have failed: a set event would cancel calls that have not,
    /// such as those of batches that these calls opened.
    stops: LongQueue<Handle>,
    /// Why, for the failures; one text for all slices, so that failures alike join.
    text: Arc<str>,
    setter: SetBy,
    /// Whether the pool is removed, too.
    is_removal: bool,
}

impl State {
    /// Closes a pool and fails every call in it that has not ended. Stop events tell those that run to stop.
    pub(crate) fn terminate(&mut self, key: Key, text: Arc<str>, setter: SetBy, is_removal: bool) {
        self.pool_at(key).terminate();
        let pool = self.catalog.handle(key);
        let termination = Termination {
            pool,
            unread: Some((Key::MIN, FIRST_SESSION)),
            next: Key::MIN,
            stops: LongQueue::default(),
            text,
            setter,
            is_removal,
        };
        self.go_on_terminating(Box::new(termination));
    }

    /// Goes on, to the end or until this input is over.
    pub(crate) fn go_on_terminating(&mut self, mut termination: Box<Termination>) {
        let Termination { pool, unread, next, stops, text, setter, .. } = &mut *termination;
        let pool = self.catalog.resolve(*pool);
        if let (Some(pool), Some(from)) = (pool, *unread) {
            *unread = self.read_call_records(pool, from);
        }
        // The answers come before the next slice, so no call fails before that.
        if *next == Key::MIN && self.is_over() {
            return self.go_on_later(LongWork::Terminate(termination));
        }
        while let Some(batch) = pool.and_then(|pool| self.pool_at(pool).open_batch_from(*next)) {
            self.step(STEPS_PER_BATCH);
            let stop = self.batch(batch).stop;
            if self.batch_fail_rest(batch, FailureKind::Terminated, text) {
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
                self.unfinished.has_grown |= self.has_unfinished;
            }
            if termination.is_removal {
                self.pool_at(pool).remove_when_done((*termination.text).into());
                self.pool_end(pool);
            }
        }
    }

    /// Has the driver read the call records of those who run calls of the pool, from a session of a batch on. Returns
    /// where to go on, if there are more than one input can take.
    fn read_call_records(
        &mut self,
        pool: Key,
        (mut batch, mut session): (Key, SessionId),
    ) -> Option<(Key, SessionId)> {
        let mut has_asked = false;
        while let Some(open) = self.pool_at(pool).open_batch_from(batch) {
            if open != batch {
                (batch, session) = (open, FIRST_SESSION);
            }
            self.step(1);
            match self.batch(batch).workers.at_or_above(session) {
                Some((worker, _)) => {
                    has_asked |= self.read_call_record(worker);
                    session = SessionId(worker.0 + 1);
                }
                None => (batch, session) = (batch.saturating_add(1), FIRST_SESSION),
            }
            if self.is_over() {
                return Some((batch, session));
            }
        }
        if has_asked {
            self.meter.end_input();
        }
        None
    }

    /// Has the driver read the call record of a session, if that may have one. Returns whether it may.
    fn read_call_record(&mut self, session: SessionId) -> bool {
        let worker = &self.sessions[&session];
        let may_have_one = worker.has_call_record && !worker.has_ended;
        if may_have_one {
            self.effects.push(Effect::ReadCallRecord { session });
            self.step(STEPS_PER_RECORD);
        }
        may_have_one
    }
}
