//! Events: a flag that processes wait for.
//!
//! A manual-reset event stays set until it is cleared, and lets through every waiter that waits meanwhile or comes
//! later. An auto-reset event lets one waiter through and is clear again. Either is NT's event of that name; the manual
//! one is also Python's `Event`. A set serves every waiter before its own answer, so a set followed at once by a clear
//! wakes them all the same.

use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::mem::take;

use protocol::{Grant, Kind, ObjectId, ObjectState, Refusal, Reply, SessionId, Spec};
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use crate::objects::mirror::Publication;
use crate::objects::object_body::ObjectBody;
use crate::objects::reason::check_reason;
use crate::objects::{Body, Unconfirmed, Want};
use crate::sessions::session::Abandoner;
use crate::store::catalog::{Handle, Object, Pin};
use crate::store::lifetime::{ObjectEnd, Remains};
use crate::store::memory::{TEXT_BYTES, UNCONFIRMED_BYTES};
use crate::store::slab::Key;
use crate::waiting::wait::{Caller, Readiness};
use crate::work::LongWork;
use crate::{State, Time};

/// How many steps it counts to set an event that is tied to another.
const STEPS_PER_CHILD: u64 = 16;

/// How many steps it counts to free what is tied to an event.
const STEPS_PER_TIED: u64 = 32;

/// An event.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Event {
    auto_reset: bool,
    is_set: bool,
    /// What is set, stopped or published with it. Most events have nothing of the kind.
    tied: Option<Box<Tied>>,
    /// How often a request cleared it: a grant from before a clear is not given back.
    clears: u32,
    /// The process that set it last. The first set makes the box and later ones use it again, so that setting allocates
    /// nothing.
    set_by: Option<Box<SetBy>>,
}

/// What is set, stopped or published together with an event.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Tied {
    /// The batch whose stop event this is.
    batch: Option<Key>,
    /// Events that are set when this one is.
    children: BTreeSet<Key>,
    /// The event that sets this one, which may have ended.
    parent: Option<Handle>,
    /// What was last published of it, if it is mirrored.
    published: Option<Publication>,
}

/// The setting of the events that are tied to one that was set.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct EventSetting {
    cause: SetBy,
    /// The events whose children are being set, the innermost last, each with the next child.
    parents: Vec<(Pin, Key)>,
}

impl EventSetting {
    /// Whether the children of this event are being set.
    pub(crate) fn is_of(&self, event: Key) -> bool {
        self.parents.iter().any(|(parent, _)| parent.0.key == event)
    }
}

/// The process that set an event, when, and why.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct SetBy {
    process: u32,
    program: Arc<str>,
    at: Time,
    reason: Option<Arc<str>>,
}

impl Event {
    pub(crate) fn new(auto_reset: bool) -> Event {
        Event { auto_reset, is_set: false, clears: 0, tied: None, set_by: None }
    }

    /// Sets it, if it is not set. Returns what to publish.
    fn set(&mut self, cause: SetBy) -> Option<Publication> {
        match &mut self.set_by {
            Some(before) => **before = cause,
            none => *none = Some(Box::new(cause)),
        }
        self.flag(true)
    }

    /// How much memory the reason takes for which it was set last.
    pub(crate) fn reason_bytes(&self) -> usize {
        self.set_by.as_ref().map_or(0, |set_by| set_by.bytes())
    }

    /// Changes the flag. Returns what to publish, if it is mirrored and the flag changed.
    fn flag(&mut self, is_set: bool) -> Option<Publication> {
        if self.is_set == is_set {
            return None;
        }
        self.is_set = is_set;
        let published = self.tied.as_mut()?.published.as_mut()?;
        published.state = if is_set { published.state.after_set() } else { published.state.after_clear() };
        Some(*published)
    }

    fn cause(&self, now: Time) -> protocol::Cause {
        let set_by = self.set_by.as_ref().expect("an event that was set knows its setter");
        protocol::Cause {
            process: set_by.process,
            program: set_by.program.clone(),
            age_ns: now.ns_since(set_by.at),
            reason: set_by.reason.clone(),
        }
    }
}

impl SetBy {
    /// How much memory its reason takes.
    #[inline]
    pub(crate) fn bytes(&self) -> usize {
        self.reason.as_ref().map_or(0, |reason| TEXT_BYTES + reason.len())
    }
}

impl ObjectBody for Event {
    fn kind(&self) -> Kind {
        Kind::Event
    }

    fn spec(&self, _: &State) -> Option<Spec> {
        Some(Spec::Event { auto_reset: self.auto_reset })
    }

    fn inspect(&self, state: &State, _: &Object) -> ObjectState {
        ObjectState::Event { auto_reset: self.auto_reset, set_by: state.event_set_by(self) }
    }

    fn readiness(&self, _: &Want, _: Caller) -> Readiness {
        Readiness::when(self.is_set)
    }

    fn is_used_up(&self, _: &Want) -> bool {
        self.auto_reset
    }

    fn may_be_used_up(&self) -> bool {
        self.auto_reset
    }

    fn given_back(state: &mut State, key: Key, grant: Unconfirmed) {
        if let Unconfirmed::Event { clears, set_by, .. } = grant {
            state.event_given_back(key, clears, set_by);
        }
    }

    fn destroyed(&mut self, state: &mut State, key: Key, _: &ObjectEnd) {
        state.memory.give_back(self.reason_bytes());
        state.event_destroyed(key, self);
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
        // If it is set already, those tied to it may not be.
        if self.has_unfinished {
            self.unfinished.has_grown |= self.unfinished.agenda.concerns(key);
        }
        self.event_set_by_session(session, key, reason);
        Ok(Reply::Done)
    }

    fn event_set_by_session(&mut self, session: SessionId, key: Key, reason: Option<&str>) {
        let cause = self.set_by(session, reason);
        self.event_set_with(key, cause);
    }

    /// The cause if a session sets an event now.
    pub(crate) fn set_by(&self, session: SessionId, reason: Option<&str>) -> SetBy {
        let setter = &self.sessions[&session];
        let reason = reason.map(Arc::from);
        SetBy { process: setter.process, program: setter.program.clone(), at: self.now, reason }
    }

    /// The cause if an event is set now in the name of a session that is gone.
    pub(crate) fn set_by_abandoner(&self, abandoner: &Abandoner, reason: &str) -> SetBy {
        let (process, program) = abandoner.whose();
        SetBy { process, program, at: self.now, reason: Some(reason.into()) }
    }

    /// Sets an event, the events tied to it, and those tied to these, with the same cause.
    fn event_set_with(&mut self, key: Key, cause: SetBy) {
        if self.event_set_alone(key, &cause) {
            let parents = vec![(self.pin_at(key), Key::MIN)];
            self.go_on_setting(Box::new(EventSetting { cause, parents }));
        }
    }

    /// Sets one event, and stops its batch. Returns whether others are to be set with it: setting a set event changes
    /// nothing, so the first cause counts, and each event of a tree is set once however many above it are.
    fn event_set_alone(&mut self, key: Key, cause: &SetBy) -> bool {
        let has_room = cause.reason.is_none() || self.has_memory_for(cause.bytes());
        let event = self.event_at(key);
        if event.is_set {
            return false;
        }
        // Nothing keeps an event from being set, and so the reason goes if there is no room for it.
        let reason = if has_room { cause.reason.clone() } else { None };
        let cause = SetBy { process: cause.process, program: cause.program.clone(), at: cause.at, reason };
        let before = event.reason_bytes();
        let news = event.set(cause);
        let after = event.reason_bytes();
        let batch = event.tied.as_ref().and_then(|tied| tied.batch);
        let is_parent = event.tied.as_ref().is_some_and(|tied| !tied.children.is_empty());
        if before != after {
            self.memory.charge(after);
            self.memory.give_back(before);
        }
        news.into_iter().for_each(|news| self.publish(news));
        self.touch(key);
        if let Some(batch) = batch {
            self.batch_stop(batch);
        }
        is_parent
    }

    /// Sets further events that are tied to one that was set: all of them, or as many as this input may.
    pub(crate) fn go_on_setting(&mut self, mut setting: Box<EventSetting>) {
        while let Some((parent, next)) = setting.parents.last_mut() {
            let tied = self.catalog.resolve(parent.0).and_then(|key| self.event_at(key).tied.as_ref());
            match tied.and_then(|tied| tied.children.range(*next..).next().copied()) {
                Some(child) => {
                    *next = child.saturating_add(1);
                    self.step(STEPS_PER_CHILD);
                    if self.event_set_alone(child, &setting.cause) {
                        let parent = self.pin_at(child);
                        setting.parents.push((parent, Key::MIN));
                    }
                }
                None => {
                    let parent = *parent;
                    setting.parents.pop();
                    self.unpin(parent);
                }
            }
            if self.is_over() && !setting.parents.is_empty() {
                return self.go_on_later(LongWork::Set(setting));
            }
        }
    }

    /// Sets the stop event of a batch, unless it was removed.
    pub(crate) fn stop_event_set(&mut self, stop: Handle, cause: SetBy) {
        if let Some(key) = self.catalog.resolve(stop) {
            self.event_set_with(key, cause);
        }
    }

    /// Makes an event the stop event of a batch.
    pub(crate) fn event_stops(&mut self, key: Key, batch: Key) {
        self.event_at(key).tied.get_or_insert_default().batch = Some(batch);
    }

    /// Has one event set another from now on; at once, if it is set already.
    pub(crate) fn event_add_child(&mut self, parent: Key, child: Key) {
        self.event_at(parent).tied.get_or_insert_default().children.insert(child);
        let handle = self.catalog.handle(parent);
        self.event_at(child).tied.get_or_insert_default().parent = Some(handle);
        let parent = self.event_at(parent);
        if parent.is_set
            && let Some(cause) = parent.set_by.as_deref().cloned()
        {
            self.event_set_with(child, cause);
        }
    }

    /// Undoes the ties of an event that no longer exists.
    fn event_destroyed(&mut self, key: Key, event: &mut Event) {
        let Some(tied) = &mut event.tied else {
            return;
        };
        self.step(STEPS_PER_TIED);
        if let Some(last) = tied.published {
            self.withdraw(last);
        }
        if let Some(parent) = tied.parent.and_then(|parent| self.catalog.resolve(parent))
            && let Some(parent) = &mut self.event_at(parent).tied
        {
            parent.children.remove(&key);
        }
        if !tied.children.is_empty() {
            let children = take(&mut tied.children);
            self.let_go_of(Box::new(Remains { children, ..Remains::default() }));
        }
    }

    /// Unties the stop event of a batch that no longer exists.
    pub(crate) fn event_stops_nothing(&mut self, stop: Handle, batch: Key) {
        if let Some(key) = self.catalog.resolve(stop)
            && let Some(tied) = &mut self.event_at(key).tied
            && tied.batch == Some(batch)
        {
            tied.batch = None;
        }
    }

    pub(crate) fn event_clear(&mut self, id: ObjectId) -> Result<Reply, Refusal> {
        let key = self.catalog.find(id, Kind::Event)?;
        let event = self.event_at(key);
        event.clears = event.clears.wrapping_add(1);
        let news = event.flag(false);
        news.into_iter().for_each(|news| self.publish(news));
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
            // Nothing to publish: an auto-reset event is not mirrored.
            event.is_set = false;
            let set_by = event.set_by.as_deref().cloned().expect("an event that was set knows its setter");
            let clears = event.clears;
            self.memory.charge(UNCONFIRMED_BYTES + set_by.bytes());
            unconfirmed.push(Unconfirmed::Event { handle, clears, set_by });
        }
        grant
    }

    /// Refuses a wait for an auto-reset event if there is no room for its grant.
    #[inline]
    pub(crate) fn check_event_memory(&self, key: Key) -> Result<(), Refusal> {
        match &self.catalog.at(key).body {
            Body::Event(event) if event.auto_reset => {
                self.check_memory(UNCONFIRMED_BYTES + event.reason_bytes())
            }
            _ => Ok(()),
        }
    }

    /// How much memory the reason takes for which an event is set.
    pub(crate) fn event_reason_bytes(&self, key: Key) -> usize {
        match &self.catalog.at(key).body {
            Body::Event(event) if event.is_set => event.reason_bytes(),
            _ => 0,
        }
    }

    /// Who set an event, if it is set.
    fn event_set_by(&self, event: &Event) -> Option<protocol::Cause> {
        event.is_set.then(|| event.cause(self.now))
    }

    /// Sets an auto-reset event again if its grant was on its way to a process that died, unless it was cleared since.
    /// It is as if nobody had taken that set: its cause counts, also before that of a later set.
    fn event_given_back(&mut self, key: Key, clears: u32, set_by: SetBy) {
        self.memory.give_back(UNCONFIRMED_BYTES + set_by.bytes());
        let event = self.event_at(key);
        if event.clears != clears {
            return;
        }
        let before = event.reason_bytes();
        if let Some(last) = &mut event.set_by
            && (!event.is_set || set_by.at <= last.at)
        {
            **last = set_by;
        }
        event.is_set = true;
        let after = event.reason_bytes();
        self.memory.charge(after);
        self.memory.give_back(before);
        self.touch(key);
    }

    /// What was last published of an event, if it is mirrored.
    pub(crate) fn event_publication(&self, key: Key) -> Option<Publication> {
        match &self.catalog.at(key).body {
            Body::Event(event) => event.tied.as_ref()?.published,
            _ => unreachable!("the kind was checked when the key was found"),
        }
    }

    /// Whether an event clears itself when it lets a waiter through.
    pub(crate) fn event_is_auto_reset(&mut self, key: Key) -> bool {
        self.event_at(key).auto_reset
    }

    /// Publishes an event at a free place, from now on.
    pub(crate) fn event_publish_at(&mut self, key: Key, place: Publication) {
        let event = self.event_at(key);
        let state = place.state.after_clear();
        let state = if event.is_set { state.after_set() } else { state };
        let publication = Publication { state, ..place };
        event.tied.get_or_insert_default().published = Some(publication);
        self.publish(publication);
    }

    fn event_at(&mut self, key: Key) -> &mut Event {
        match &mut self.catalog.at_mut(key).body {
            Body::Event(event) => event,
            _ => unreachable!("the kind was checked when the key was found"),
        }
    }
}
