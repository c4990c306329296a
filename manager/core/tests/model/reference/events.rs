//! Events: who set them, and what lets waits through ("Events", "The mirror").

use std::sync::Arc;

use protocol::{Cause, Code, Grant, ObjectId, Reply, SessionId, check_reason};

use super::effects::{Change, Expected};
use super::memory::reason_cost;
use super::sessions::Session;
use super::sessions::{Unconfirmed, Used};
use super::{Body, Model, ModelAnswer, Pin};

pub(crate) struct Event {
    pub(crate) auto_reset: bool,
    /// Who set it, if it is set.
    pub(crate) set_by: Option<SetBy>,
    /// What the reason takes for which it was set last, even if it was cleared since.
    pub(crate) reason_cost: usize,
    /// How often a request cleared it.
    clears: u64,
    is_mirrored: bool,
    /// The event that also sets this one.
    parent: Option<Pin>,
}

#[derive(Clone, Debug)]
pub(crate) struct SetBy {
    process: u32,
    program: Arc<str>,
    at: u64,
    pub(crate) reason: Option<Arc<str>>,
}

impl SetBy {
    pub(crate) fn new(setter: &Session, at: u64, reason: Option<&str>) -> SetBy {
        let (process, program) = (setter.process, setter.program.clone());
        SetBy { process, program, at, reason: reason.map(Arc::from) }
    }

    pub(crate) fn without_reason(&self) -> SetBy {
        SetBy { reason: None, ..self.clone() }
    }

    pub(crate) fn cause(&self, now: u64) -> Cause {
        let age_ns = now - self.at;
        Cause { process: self.process, program: self.program.clone(), age_ns, reason: self.reason.clone() }
    }
}

impl Event {
    pub(crate) fn new(auto_reset: bool) -> Event {
        Event { auto_reset, set_by: None, reason_cost: 0, clears: 0, is_mirrored: false, parent: None }
    }
}

impl Model {
    pub(crate) fn event_set(
        &mut self,
        session: SessionId,
        id: ObjectId,
        reason: Option<&str>,
    ) -> ModelAnswer {
        self.event(id)?;
        if reason.is_some_and(|reason| check_reason(reason).is_err()) {
            return Err(Code::BadArgument);
        }
        let cause = SetBy::new(&self.sessions[&session], self.now, reason);
        self.set_event(id, cause);
        Ok(Reply::Done)
    }

    /// Sets an event, and those below it, and stops their batches; nothing if it is set already.
    pub(crate) fn set_event(&mut self, id: ObjectId, cause: SetBy) {
        let pin = self.pin(id).unwrap();
        if self.event(id).unwrap().set_by.is_some() {
            return;
        }
        let kept = self.cause_with_room(&cause);
        let event = self.event(id).unwrap();
        event.reason_cost = reason_cost(&kept);
        event.set_by = Some(kept);
        self.publish(id, Change::Set);
        self.batches_where(|batch| batch.stop == pin).into_iter().for_each(|batch| self.stop_batch(batch));
        let is_below = |body: &Body| matches!(body, Body::Event(event) if event.parent == Some(pin));
        let below = self.objects.iter().filter(|(_, object)| is_below(&object.body));
        let below: Vec<ObjectId> = below.map(|(&id, _)| id).collect();
        below.into_iter().for_each(|child| self.set_event(child, cause.clone()));
    }

    /// Has one event set another from now on; at once, if it is set already.
    pub(crate) fn tie_event(&mut self, parent: ObjectId, child: ObjectId) {
        self.event(child).unwrap().parent = self.pin(parent);
        if let Some(cause) = self.event(parent).unwrap().set_by.clone() {
            self.set_event(child, cause);
        }
    }

    /// Sets an auto-reset event again whose set was lost, unless it was cleared since. The set that was lost counts as
    /// if nobody had taken it, so its cause comes before that of a later set.
    pub(crate) fn event_set_again(&mut self, id: ObjectId, cause: SetBy, clears: u64) {
        let event = self.event(id).unwrap();
        let is_first = event.set_by.as_ref().is_none_or(|other| cause.at <= other.at);
        if event.clears == clears && is_first {
            event.reason_cost = reason_cost(&cause);
            event.set_by = Some(cause);
        }
    }

    pub(crate) fn event_clear(&mut self, id: ObjectId) -> ModelAnswer {
        let event = self.event(id)?;
        event.clears += 1;
        if event.set_by.take().is_some() {
            self.publish(id, Change::Cleared);
        }
        Ok(Reply::Done)
    }

    pub(crate) fn event_cause(&mut self, id: ObjectId) -> ModelAnswer {
        let now = self.now;
        let event = self.event(id)?;
        Ok(Reply::SetBy(event.set_by.as_ref().map(|set_by| set_by.cause(now))))
    }

    pub(crate) fn take_event(&mut self, id: ObjectId, unconfirmed: &mut Vec<Unconfirmed>) -> Grant {
        let now = self.now;
        let event = self.event(id).unwrap();
        let cause = event.set_by.clone().expect("only a set event is taken");
        let grant = Grant::Event(cause.cause(now));
        if event.auto_reset {
            event.set_by = None;
            let clears = event.clears;
            unconfirmed.push(self.unconfirmed(id, Used::Set { cause, clears }));
        }
        grant
    }

    /// Has an event published. `compare` knows where.
    pub(crate) fn event_mirror(&mut self, id: ObjectId) -> ModelAnswer {
        let (count, most) = (self.mirrored, self.limits.mirrored_events_max);
        let event = self.event(id)?;
        if !event.is_mirrored {
            if event.auto_reset {
                return Err(Code::WrongParameters);
            }
            if count >= most {
                return Err(Code::LimitReached);
            }
            event.is_mirrored = true;
            let is_set = event.set_by.is_some();
            self.mirrored += 1;
            self.publish(id, Change::First { is_set });
        }
        Ok(Reply::Mirrored { number: 0, serial: 0 })
    }

    fn publish(&mut self, id: ObjectId, change: Change) {
        if self.event(id).unwrap().is_mirrored {
            self.effects.push(Expected::Publish { id, change });
        }
    }

    /// What is published of an event that ends, if it is in the mirror.
    pub(crate) fn publication_end(&mut self, id: ObjectId) -> Option<Expected> {
        match &self.objects[&id].body {
            Body::Event(event) if event.is_mirrored => {
                self.mirrored -= 1;
                Some(Expected::Publish { id, change: Change::Ended })
            }
            _ => None,
        }
    }
}
