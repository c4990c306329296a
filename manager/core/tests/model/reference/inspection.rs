//! Inspection ("Inspection").

use protocol::{
    Code, HolderInfo, Name, ObjectId, ObjectInfo, ObjectState, ObjectSummary, PermitsInfo, Reply,
    RunningCallInfo, Selector, SessionId, SessionInfo, ThreadId, WaiterInfo, Wanted,
};

use super::waits::{Wait, Want};
use super::{Body, Model, ModelAnswer};

impl Model {
    pub(crate) fn list_sessions(&self, after: Option<SessionId>) -> Reply {
        let listed = self.sessions.keys().filter(|&&id| after.is_none_or(|after| id > after));
        Reply::Sessions { sessions: listed.map(|&id| self.session_info(id)).collect(), more: false }
    }

    fn session_info(&self, id: SessionId) -> SessionInfo {
        let session = &self.sessions[&id];
        SessionInfo {
            session: id,
            process: session.process,
            program: session.program.clone(),
            age_ns: self.now - session.since,
            objects: session.references.len() as u32,
            waits: self.waits.values().filter(|wait| wait.caller.session == id).count() as u32,
            calls: self.grants_of(id),
            ending: session.ending.clone(),
        }
    }

    pub(crate) fn list_objects(&self, after: Option<ObjectId>) -> Reply {
        let listed = self.objects.iter().filter(|(id, _)| after.is_none_or(|after| **id > after));
        let summary = |(&id, object): (&ObjectId, &super::Object)| ObjectSummary {
            id,
            name: object.name.clone(),
            kind: self.kind_of(id).unwrap(),
            is_awaited: self.waits.values().any(|wait| wanted(wait, id).next().is_some()),
        };
        Reply::Objects { objects: listed.map(summary).collect(), more: false }
    }

    pub(crate) fn inspect(&self, selector: Selector<'_>) -> ModelAnswer {
        let id = match selector {
            Selector::Id(id) => id,
            Selector::Name(name) if Name::check(name).is_err() => return Err(Code::BadName),
            Selector::Name(name) => {
                let mut objects = self.objects.iter();
                let found = objects.find(|(_, object)| object.name.as_deref() == Some(name));
                found.map(|(&id, _)| id).ok_or(Code::NoSuchObject)?
            }
        };
        let object = self.objects.get(&id).ok_or(Code::NoSuchObject)?;
        let waiters = self.waiters_of(id);
        Ok(Reply::Object(Box::new(ObjectInfo {
            id,
            name: object.name.clone(),
            references: self.references(id),
            state: self.state_of(id),
            waiting: waiters.len() as u32,
            waiters,
        })))
    }

    /// The calls of a pool that run.
    fn running_calls(&self, pool: ObjectId) -> Vec<RunningCallInfo> {
        let mut running = Vec::new();
        for (&id, object) in &self.objects {
            let Body::Batch(batch) = &object.body else { continue };
            for granted in batch.granted.iter().filter(|_| batch.pool.0 == pool) {
                running.extend(granted.begun_at.map(|begun_at| RunningCallInfo {
                    session: self.session_info(granted.session),
                    function: batch.function.clone(),
                    batch: id,
                    number: granted.first,
                    retry: granted.retry,
                    running_ns: self.now - begun_at,
                }));
            }
        }
        running
    }

    /// The waiters of an object in the order in which they are served: consumers, then producers, then joins.
    fn waiters_of(&self, id: ObjectId) -> Vec<WaiterInfo> {
        let lanes: [fn(&Wanted) -> bool; 3] = [
            |wanted| !matches!(wanted, Wanted::Room | Wanted::Joined),
            |wanted| *wanted == Wanted::Room,
            |wanted| *wanted == Wanted::Joined,
        ];
        let mut waiters = Vec::new();
        for lane in lanes {
            for wait in self.waits.values() {
                if let Some(wants) = wanted(wait, id).find(lane) {
                    let session = &self.sessions[&wait.caller.session];
                    waiters.push(WaiterInfo {
                        process: session.process,
                        program: session.program.clone(),
                        thread: ThreadId(wait.caller.thread),
                        wants,
                        waited_ns: self.now - wait.since,
                        remaining_ns: wait.deadline.map(|deadline| deadline.saturating_sub(self.now)),
                    });
                }
            }
        }
        waiters
    }

    fn state_of(&self, id: ObjectId) -> ObjectState {
        match &self.objects[&id].body {
            Body::Event(event) => ObjectState::Event {
                auto_reset: event.auto_reset,
                set_by: event.set_by.as_ref().map(|set_by| set_by.cause(self.now)),
            },
            Body::Lock(lock) => ObjectState::Lock {
                is_reentrant: lock.is_reentrant,
                holder: lock.holder.as_ref().map(|holder| {
                    let session = &self.sessions[&holder.caller.session];
                    HolderInfo {
                        process: session.process,
                        program: session.program.clone(),
                        thread: ThreadId(holder.caller.thread),
                        held_ns: self.now - holder.since,
                        depth: holder.depth,
                        token: holder.token,
                        ending: session.ending.clone(),
                    }
                }),
                abandoned: lock.abandoned.clone(),
            },
            Body::Condition(condition) => ObjectState::Condition { lock: condition.lock },
            Body::Semaphore(semaphore) => ObjectState::Semaphore {
                available: semaphore.available(),
                permits_max: semaphore.is_bounded.then_some(semaphore.permits_at_first),
                holders: semaphore
                    .charges
                    .iter()
                    .map(|(&session, &(permits, since))| PermitsInfo {
                        session: self.session_info(session),
                        permits,
                        held_ns: self.now - since,
                    })
                    .collect(),
            },
            Body::Barrier(barrier) => ObjectState::Barrier {
                status: self.status_of(id),
                acting: barrier.acting.map(|(session, _)| self.session_info(session)),
            },
            Body::Pool(pool) => ObjectState::Pool {
                batches: self.open_batches(id).len() as u32,
                is_closed: pool.is_closed,
                running: self.running_calls(id),
            },
            Body::Batch(batch) => {
                ObjectState::Batch { function: batch.function.clone(), progress: batch.progress() }
            }
            Body::Latch(latch) => ObjectState::Latch { count: latch.count },
            Body::Queue(queue) => ObjectState::Queue {
                length: queue.items.len() as u64,
                capacity: queue.capacity,
                unfinished: queue.unfinished.as_ref().map(|_| queue.unfinished_count),
                is_closed: queue.is_closed,
                holders: queue
                    .unfinished
                    .iter()
                    .flatten()
                    .map(|(&session, items)| (self.session_info(session), items.len() as u64))
                    .collect(),
            },
        }
    }
}

/// What a wait wants of an object, in the order of its targets.
fn wanted(wait: &Wait, id: ObjectId) -> impl Iterator<Item = Wanted> {
    wait.targets.iter().filter(move |want| want.object() == Some(id)).map(|want| match *want {
        Want::Event(_) => Wanted::Event,
        Want::Lock(_) => Wanted::Lock,
        Want::Relock(_) => Wanted::Relock,
        Want::Notification(_) => Wanted::Notification,
        Want::Permits(_, permits) => Wanted::Permits { permits },
        Want::Barrier { .. } | Want::Nothing => Wanted::Barrier,
        Want::Latch(_) => Wanted::Latch,
        Want::Get(_) => Wanted::Item,
        Want::Put { .. } => Wanted::Room,
        Want::Join(_) => Wanted::Joined,
        Want::Calls { .. } => Wanted::Calls,
        Want::Results { .. } => Wanted::Results,
    })
}
