//! Looking in: sessions, objects, and for one object everything that is known of it.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};

use protocol::{
    Code, HolderInfo, Name, ObjectId, ObjectInfo, ObjectState, ObjectSummary, PermitsInfo, Refusal, Reply,
    Selector, SessionId, SessionInfo, WaiterInfo, Wanted,
};

use crate::State;
use crate::objects::lock::Holder;
use crate::store::catalog::{Body, Object, no_such_object};
use crate::store::slab::Key;
use crate::waiting::wait::Want;
use crate::waiting::wait_queue::{self, Position};

/// How many sessions, objects or waiters one answer lists; with the longest names that is well inside a frame.
const LIST_MAX: usize = 1000;

impl State {
    pub(crate) fn list_sessions(&self, after: Option<SessionId>) -> Reply {
        let from = after.map_or(SessionId(0), |after| SessionId(after.0.saturating_add(1)));
        let mut rest = self.sessions.range(from..);
        let page = rest.by_ref().take(LIST_MAX);
        let sessions = page.map(|(&id, _)| self.session_info(id)).collect();
        Reply::Sessions { sessions, more: rest.next().is_some() }
    }

    pub(crate) fn list_objects(&self, after: Option<ObjectId>) -> Reply {
        let mut rest = self.catalog.after(after);
        let objects = rest.by_ref().take(LIST_MAX).map(summary).collect();
        Reply::Objects { objects, more: rest.next().is_some() }
    }

    pub(crate) fn inspect(&self, selector: Selector<'_>) -> Result<Reply, Refusal> {
        let key = match selector {
            Selector::Id(id) => self.catalog.key(id).ok_or_else(|| no_such_object(id))?,
            Selector::Name(name) => self.key_of_name(name)?,
        };
        let object = self.catalog.at(key);
        Ok(Reply::Object(Box::new(ObjectInfo {
            id: object.id,
            name: name_of(object),
            references: object.references,
            state: self.object_state(key),
            waiters: self
                .waiters_of(object)
                .take(LIST_MAX)
                .map(|position| self.waiter_info(position))
                .collect(),
            waiting: self.waiters_of(object).count() as u32,
        })))
    }

    fn key_of_name(&self, name: &str) -> Result<Key, Refusal> {
        // The name comes back in the refusal, so it is no longer than names are.
        Name::check(name).map_err(|error| Refusal::new(Code::BadName, format!("{error}")))?;
        let none = || Refusal::new(Code::NoSuchObject, format!("there is no object named {name:?}"));
        self.catalog.key_of_name(name).ok_or_else(none)
    }

    fn object_state(&self, key: Key) -> ObjectState {
        let object = self.catalog.at(key);
        match &object.body {
            Body::Event(event) => {
                ObjectState::Event { auto_reset: event.auto_reset(), set_by: self.event_set_by(event) }
            }
            Body::Pool(pool) => {
                ObjectState::Pool { batches: pool.open_batches(), is_closed: pool.is_closed() }
            }
            Body::Batch(batch) => {
                ObjectState::Batch { function: batch.function(), progress: batch.progress() }
            }
            Body::Lock(lock) => ObjectState::Lock {
                is_reentrant: lock.kind() == protocol::Kind::RLock,
                holder: lock.holder().map(|holder| self.holder_info(holder)),
                abandoned: lock.abandoned().cloned(),
            },
            Body::Condition(condition) => ObjectState::Condition { lock: self.lock_of(condition) },
            Body::Semaphore(semaphore) => ObjectState::Semaphore {
                available: semaphore.available(),
                permits_max: semaphore.permits_max(),
                holders: (semaphore.holders().take(LIST_MAX))
                    .map(|(id, permits, since)| PermitsInfo {
                        session: self.session_info(id),
                        permits,
                        held_ns: self.now.ns_since(since),
                    })
                    .collect(),
            },
            Body::Barrier(barrier) => ObjectState::Barrier {
                status: barrier.status(self.waiters_of(object).count() as u32),
                acting: barrier.acting().map(|id| self.session_info(id)),
            },
            Body::Latch(latch) => ObjectState::Latch { count: latch.count() },
            Body::Queue(queue) => ObjectState::Queue {
                length: queue.length(),
                capacity: queue.capacity(),
                unfinished: queue.unfinished(),
                is_closed: queue.is_closed(),
                holders: (queue.unfinished_by().take(LIST_MAX))
                    .map(|(id, items)| (self.session_info(id), items))
                    .collect(),
            },
        }
    }

    fn session_info(&self, id: SessionId) -> SessionInfo {
        let session = &self.sessions[&id];
        SessionInfo {
            session: id,
            process: session.process,
            program: session.program.clone(),
            age_ns: self.now.ns_since(session.since),
            objects: session.references.len() as u32,
            waits: session.waits() as u32,
            tasks: session.tasks_begun(),
        }
    }

    fn holder_info(&self, holder: Holder) -> HolderInfo {
        let session = &self.sessions[&holder.caller.session];
        HolderInfo {
            process: session.process,
            program: session.program.clone(),
            thread: holder.caller.thread,
            held_ns: self.now.ns_since(holder.since),
            depth: holder.depth,
            token: holder.token,
        }
    }

    /// Where somebody stands in the lines of an object, in order. One wait may name the object twice, but waits once.
    fn waiters_of<'a>(&'a self, object: &'a Object) -> impl Iterator<Item = Position> + 'a {
        let firsts = object.lanes().iter().map(|&lane| object.wait_queue_in(lane).first());
        firsts.flat_map(|first| {
            core::iter::successors(first, |&position| wait_queue::next_waiter(&self.waiters, position))
        })
    }

    fn waiter_info(&self, position: Position) -> WaiterInfo {
        let waiter = &self.waiters[position.waiter];
        let session = &self.sessions[&waiter.caller.session];
        WaiterInfo {
            process: session.process,
            program: session.program.clone(),
            thread: waiter.caller.thread,
            wants: wanted(&wait_queue::entry(&self.waiters, position).want),
            waited_ns: self.now.ns_since(waiter.since),
            remaining_ns: waiter.deadline.map(|deadline| deadline.ns_since(self.now)),
        }
    }
}

fn wanted(want: &Want) -> Wanted {
    match *want {
        Want::Event => Wanted::Event,
        Want::Task | Want::Tasks { .. } => Wanted::Task,
        Want::Results { .. } => Wanted::Results,
        Want::Lock => Wanted::Lock,
        Want::Relock => Wanted::Relock,
        Want::Notification => Wanted::Notification,
        Want::Permits(permits) => Wanted::Permits { permits },
        Want::Barrier { .. } | Want::Settled => Wanted::Barrier,
        Want::Latch => Wanted::Latch,
        Want::Item => Wanted::Item,
        Want::Room(_) => Wanted::Room,
        Want::Joined => Wanted::Joined,
    }
}

fn summary(object: &Object) -> ObjectSummary {
    ObjectSummary {
        id: object.id,
        name: name_of(object),
        kind: object.body.kind(),
        is_awaited: object.lanes().iter().any(|&lane| !object.wait_queue_in(lane).is_empty()),
    }
}

fn name_of(object: &Object) -> Option<String> {
    object.name.as_ref().map(|name| name.as_str().to_string())
}
