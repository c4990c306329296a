//! Events: a flag that processes wait for.
//!
//! A manual-reset event stays set until it is cleared, and lets everyone through who waits meanwhile or asks
//! later. An auto-reset event lets one waiter through and is clear again. Either is NT's event of that name; the
//! manual one is also Python's `Event`. Everyone who waits when an event is set is served before the request that
//! set it is answered, so a set followed at once by a clear wakes them all the same.

use alloc::boxed::Box;
use alloc::sync::Arc;

use protocol::{Grant, Kind, ObjectId, Refusal, Reply, SessionId};
use smallvec::SmallVec;

use crate::object::Body;
use crate::reason::check_reason;
use crate::session::Unconfirmed;
use crate::slab::Key;
use crate::wait::Readiness;
use crate::{State, Time};

/// An event.
#[derive(Debug)]
pub(crate) struct Event {
    auto_reset: bool,
    is_set: bool,
    /// How often it was cleared by a request: what was granted before that is not given back.
    clears: u32,
    /// Who set it last. The box is made at the first set and used again, so that setting allocates nothing.
    set_by: Option<Box<SetBy>>,
}

/// Who set an event, when, and why.
#[derive(Debug)]
struct SetBy {
    process: u32,
    program: Arc<str>,
    at: Time,
    reason: Option<Arc<str>>,
}

impl Event {
    pub(crate) fn new(auto_reset: bool) -> Event {
        Event { auto_reset, is_set: false, clears: 0, set_by: None }
    }

    pub(crate) fn auto_reset(&self) -> bool {
        self.auto_reset
    }

    pub(crate) fn readiness(&self) -> Readiness {
        Readiness::when(self.is_set)
    }

    /// Sets it. The first cause counts: setting a set event changes nothing.
    fn set(&mut self, cause: SetBy) {
        if self.is_set {
            return;
        }
        self.is_set = true;
        match &mut self.set_by {
            Some(before) => **before = cause,
            none => *none = Some(Box::new(cause)),
        }
    }

    fn cause(&self, now: Time) -> protocol::Cause {
        let set_by = self.set_by.as_ref().expect("an event that was set knows by whom");
        protocol::Cause {
            process: set_by.process,
            program: set_by.program.clone(),
            age_ns: now.ns_since(set_by.at),
            reason: set_by.reason.clone(),
        }
    }
}

impl State {
    pub(crate) fn event_set(
        &mut self,
        session: SessionId,
        id: ObjectId,
        reason: Option<&str>,
    ) -> Result<Reply, Refusal> {
        let key = self.catalog.find(id, Kind::Event)?;
        reason.map_or(Ok(()), check_reason)?;
        let setter = &self.sessions[&session];
        let cause = SetBy {
            process: setter.process,
            program: setter.program.clone(),
            at: self.now,
            reason: reason.map(Arc::from),
        };
        self.event_at(key).set(cause);
        self.touch(key);
        Ok(Reply::Done)
    }

    pub(crate) fn event_clear(&mut self, id: ObjectId) -> Result<Reply, Refusal> {
        let key = self.catalog.find(id, Kind::Event)?;
        let event = self.event_at(key);
        event.is_set = false;
        event.clears = event.clears.wrapping_add(1);
        Ok(Reply::Done)
    }

    pub(crate) fn event_is_set(&mut self, id: ObjectId) -> Result<Reply, Refusal> {
        let key = self.catalog.find(id, Kind::Event)?;
        Ok(Reply::Flag(self.event_at(key).is_set))
    }

    pub(crate) fn event_cause(&self, id: ObjectId) -> Result<Reply, Refusal> {
        let key = self.catalog.find(id, Kind::Event)?;
        match &self.catalog.at(key).body {
            Body::Event(event) => Ok(Reply::SetBy(self.event_set_by(event))),
            _ => unreachable!("the kind was checked when the key was found"),
        }
    }

    /// Takes a set event for a waiter.
    pub(crate) fn event_take(&mut self, key: Key, unconfirmed: &mut SmallVec<[Unconfirmed; 1]>) -> Grant {
        let (now, handle) = (self.now, self.catalog.handle(key));
        let event = self.event_at(key);
        let grant = Grant::Event(event.cause(now));
        if event.auto_reset {
            event.is_set = false;
            unconfirmed.push(Unconfirmed::Event { handle, clears: event.clears });
        }
        grant
    }

    /// Who set an event, if it is set.
    pub(crate) fn event_set_by(&self, event: &Event) -> Option<protocol::Cause> {
        event.is_set.then(|| event.cause(self.now))
    }

    /// Sets an auto-reset event again whose grant was on its way to a process that died, unless it was cleared since.
    pub(crate) fn event_given_back(&mut self, key: Key, clears: u32) {
        let event = self.event_at(key);
        if event.clears == clears {
            event.is_set = true;
            self.touch(key);
        }
    }

    fn event_at(&mut self, key: Key) -> &mut Event {
        match &mut self.catalog.at_mut(key).body {
            Body::Event(event) => event,
            _ => unreachable!("the kind was checked when the key was found"),
        }
    }
}
