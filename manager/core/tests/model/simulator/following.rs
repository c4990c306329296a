//! What a client that makes no mistake does next: it ends the calls that it was granted, gives back what it holds, adds
//! to its batches, and takes what has come for it. Without this, few runs would get far.

use protocol::{Kind, ObjectId, Request, SessionId, Target, Targets, ThreadId, WaitMode};

use super::choosing::Choices;
use super::running::SimulatedRun;
use super::step::CURRENT;
use crate::reference::{Body, Model};

/// Something that a session could do next.
#[derive(Clone, Copy)]
enum FollowUp {
    /// Report or return calls.
    Calls(ObjectId),
    /// Wait for the one thing that an object has for it.
    Take(ObjectId),
    /// Add calls, as the owner of a batch.
    Add(ObjectId),
    /// Give back a lock that this thread holds.
    Release(ObjectId, u64),
    /// Wait for a condition, or notify it, as this thread holds its lock.
    Condition(ObjectId, u64),
    /// Give back permits.
    Permits(ObjectId),
    /// Let the others pass a barrier.
    Pass(ObjectId),
    /// Finish an item.
    Finish(ObjectId),
}

impl Choices {
    /// The next request of a session that goes on with what it has begun, if there is something.
    pub(super) fn follow_up(&mut self, run: &SimulatedRun, session: SessionId) -> Option<Request<'static>> {
        let mut all: Vec<FollowUp> = Vec::new();
        run.model.objects.keys().for_each(|&id| all.extend(next_with(&run.model, session, id)));
        all.extend(run.model.granted_to(session).into_iter().map(|(batch, ..)| FollowUp::Calls(batch)));
        if all.is_empty() {
            return None;
        }
        let thread = self.thread();
        Some(match self.random.pick(&all) {
            FollowUp::Calls(batch) => self.of_worker(run, session, batch),
            FollowUp::Take(id) => {
                let target = match run.model.kind_of(id)? {
                    Kind::Pool => self.calls_target(id),
                    Kind::Batch => self.results_target(id),
                    _ => Target::Get { queue: id },
                };
                self.wait_for(target, thread)
            }
            FollowUp::Add(id) => self.addition(run, session, id),
            FollowUp::Release(id, thread) => {
                Request::Release { id, holding: self.holding(), thread: ThreadId(thread) }
            }
            FollowUp::Condition(id, thread) if self.random.chance(2) => {
                let holding = self.holding();
                self.wait_for(Target::Condition { id, holding }, ThreadId(thread))
            }
            FollowUp::Condition(id, thread) => self.notify(id, ThreadId(thread)),
            FollowUp::Permits(id) => Request::SemaphoreRelease { id, permits: 1 },
            FollowUp::Pass(id) => Request::BarrierPass { id, turn: CURRENT },
            FollowUp::Finish(id) => Request::QueueItemDone { id, item: None, thread },
        })
    }

    /// The thread that holds a lock, or that of a condition, if the session has it; by mistake any thread.
    pub(super) fn as_holder(
        &mut self,
        run: &SimulatedRun,
        session: SessionId,
        id: ObjectId,
    ) -> Option<ThreadId> {
        match self.mistake() {
            true => Some(self.thread()),
            false => thread_holding(&run.model, session, id).map(ThreadId),
        }
    }

    /// Acquires a lock, or that of a condition.
    pub(super) fn acquire(&mut self, run: &SimulatedRun, id: ObjectId) -> Request<'static> {
        let thread = self.thread();
        let id = match run.model.objects.get(&id).map(|object| &object.body) {
            Some(Body::Condition(condition)) => condition.lock,
            _ => id,
        };
        let target = match run.model.kind_of(id) {
            Some(Kind::RLock) => Target::RLock { id },
            _ => Target::Lock { id },
        };
        self.wait_for(target, thread)
    }

    pub(super) fn wait_for(&mut self, target: Target<'static>, thread: ThreadId) -> Request<'static> {
        let mode = self.random.pick(&[WaitMode::Any, WaitMode::All]);
        Request::Wait { mode, targets: Targets::from_iter([target]), timeout_ns: self.timeout(), thread }
    }
}

/// The thread of a session that holds a lock, or the lock of a condition.
fn thread_holding(model: &Model, session: SessionId, id: ObjectId) -> Option<u64> {
    match &model.objects.get(&id)?.body {
        Body::Lock(lock) => {
            let holder = lock.holder.as_ref().filter(|holder| holder.caller.session == session)?;
            Some(holder.caller.thread)
        }
        Body::Condition(condition) => thread_holding(model, session, condition.lock),
        _ => None,
    }
}

/// What a session could do with an object.
fn next_with(model: &Model, session: SessionId, id: ObjectId) -> Vec<FollowUp> {
    let next = match &model.objects[&id].body {
        Body::Batch(batch) if batch.owner == session && !batch.is_sealed => Some(FollowUp::Add(id)),
        Body::Batch(batch) if !batch.ended.is_empty() => Some(FollowUp::Take(id)),
        Body::Pool(pool) if !pool.has_nothing_to_begin() => Some(FollowUp::Take(id)),
        Body::Lock(_) => thread_holding(model, session, id).map(|thread| FollowUp::Release(id, thread)),
        Body::Condition(condition) => {
            let thread = thread_holding(model, session, condition.lock);
            thread.map(|thread| FollowUp::Condition(id, thread))
        }
        Body::Semaphore(semaphore) if semaphore.charges.contains_key(&session) => Some(FollowUp::Permits(id)),
        Body::Barrier(barrier) if barrier.acting.is_some_and(|(acting, _)| acting == session) => {
            Some(FollowUp::Pass(id))
        }
        Body::Queue(queue) => match &queue.unfinished {
            Some(unfinished) if unfinished.contains_key(&session) => Some(FollowUp::Finish(id)),
            _ if !queue.items.is_empty() => Some(FollowUp::Take(id)),
            _ => None,
        },
        _ => None,
    };
    next.into_iter().collect()
}
