//! Inspection: sessions, objects, and everything that the manager knows about one object.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};

use protocol::{
    Code, HolderInfo, Name, ObjectId, ObjectInfo, ObjectSummary, Refusal, Reply, Selector, SessionId,
    SessionInfo, WaiterInfo,
};

use crate::State;
use crate::objects::lock::Holder;
use crate::objects::object_body::ObjectBody;
use crate::store::catalog::{Object, no_such_object};
use crate::store::open::no_object_named;
use crate::store::slab::Key;
use crate::waiting::wait_queue::{self, Position};

/// How many sessions, objects or waiters one answer lists; with the longest names that is well inside a frame.
pub(crate) const LIST_MAX: usize = 1000;

/// How many targets the waiters have together that one answer lists: each may name the object in all of its targets.
const LIST_TARGETS_MAX: usize = 65_536;

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
        let waiting = object.waiting();
        let mut targets = 0;
        Ok(Reply::Object(Box::new(ObjectInfo {
            id: object.id,
            name: name_of(object),
            references: object.references,
            state: object.body.inspect(self, object),
            waiters: self
                .waiters_of(object)
                .take(LIST_MAX)
                .take_while(|&position| {
                    targets += self.waiters[position.waiter].targets.len();
                    targets <= LIST_TARGETS_MAX
                })
                .map(|position| self.waiter_info(position))
                .collect(),
            waiting,
        })))
    }

    fn key_of_name(&self, name: &str) -> Result<Key, Refusal> {
        Name::check(name).map_err(|error| Refusal::new(Code::BadName, format!("{error}")))?;
        self.catalog.key_of_name(name).ok_or_else(|| no_object_named(name))
    }

    pub(crate) fn session_info(&self, id: SessionId) -> SessionInfo {
        let session = &self.sessions[&id];
        SessionInfo {
            session: id,
            process: session.process,
            program: session.program.clone(),
            age_ns: self.now.ns_since(session.since),
            objects: session.references.len() as u32,
            waits: session.waits() as u32,
            calls: session.calls_begun(),
            ending: session.ending.clone(),
        }
    }

    pub(crate) fn holder_info(&self, holder: Holder) -> HolderInfo {
        let session = &self.sessions[&holder.caller.session];
        HolderInfo {
            process: session.process,
            program: session.program.clone(),
            thread: holder.caller.thread,
            held_ns: self.now.ns_since(holder.since),
            depth: holder.depth,
            token: holder.token,
            ending: session.ending.clone(),
        }
    }

    /// The positions of the waiters of an object, in order. One wait may name the object twice, but counts once.
    pub(crate) fn waiters_of<'a>(&'a self, object: &'a Object) -> impl Iterator<Item = Position> + 'a {
        let firsts = object.lanes().iter().map(|&lane| object.wait_queue_in(lane).first());
        firsts.flat_map(|first| {
            core::iter::successors(first, |&position| {
                self.step(self.waiters[position.waiter].targets.len() as u64);
                wait_queue::next_waiter(&self.waiters, position)
            })
        })
    }

    fn waiter_info(&self, position: Position) -> WaiterInfo {
        let waiter = &self.waiters[position.waiter];
        let session = &self.sessions[&waiter.caller.session];
        WaiterInfo {
            process: session.process,
            program: session.program.clone(),
            thread: waiter.caller.thread,
            wants: wait_queue::entry(&self.waiters, position).want.inspect(),
            waited_ns: self.now.ns_since(waiter.since),
            remaining_ns: waiter.deadline().map(|deadline| deadline.ns_since(self.now)),
        }
    }
}

fn summary(object: &Object) -> ObjectSummary {
    ObjectSummary {
        id: object.id,
        name: name_of(object),
        kind: object.body.kind(),
        is_awaited: object.is_awaited(),
    }
}

fn name_of(object: &Object) -> Option<String> {
    object.name.as_ref().map(|name| name.as_str().to_string())
}
