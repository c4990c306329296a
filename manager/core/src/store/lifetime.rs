//! Lifetimes: what keeps an object, what frees it, and its removal.
//!
//! A named object lives until it is removed; the end of its owner removes a pool. An anonymous one lives as long as a
//! proxy in a live session refers to it, or something in the manager's keeping needs it: a call or an item that carries
//! a proxy, a condition over it.

use alloc::boxed::Box;
use alloc::collections::btree_map::Entry;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::mem::take;

use protocol::{CallsResult, Code, Epoch, Kind, ObjectId, Refusal, Reply, SessionId, shortened};
use serde::{Deserialize, Serialize};

use crate::State;
use crate::objects::object_body::ObjectBody;
use crate::objects::queue::QueueItem;
use crate::objects::semaphore::PermitsMark;
use crate::objects::unfinished_items::UnfinishedItems;
use crate::objects::{Body, Unconfirmed};
use crate::pools::outcomes::blob_of;
use crate::store::catalog::{Handle, Held, Pin, no_such_object, number};
use crate::store::long_queue::LongQueue;
use crate::store::memory::REFERENCE_BYTES;
use crate::store::slab::Key;
use crate::work::LongWork;

/// How many steps it counts to free an object.
const STEPS_PER_OBJECT: u64 = 8;

/// How many steps it counts to let go of an item or a result.
const STEPS_PER_CONTENT: u64 = 4;

/// What an object kept that is gone, or what else is let go of in slices.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Remains {
    /// Results of calls that their owner has not taken. Their bytes count for nothing any more, but for blobs.
    pub(crate) results: LongQueue<CallsResult>,
    pub(crate) items: LongQueue<QueueItem>,
    pub(crate) returned: BTreeMap<u64, QueueItem>,
    /// Items that sessions had.
    pub(crate) handed_out: BTreeMap<SessionId, UnfinishedItems>,
    pub(crate) pins: LongQueue<Pin>,
    /// Pins of things of which each kept several.
    pub(crate) pins_of: Vec<Box<[Pin]>>,
    /// The events that were set with one.
    pub(crate) children: BTreeSet<Key>,
    /// Grants that their receivers have confirmed.
    pub(crate) confirmed: LongQueue<(u64, Unconfirmed)>,
    /// Whose permits were taken that had left them behind.
    pub(crate) marks: LongQueue<PermitsMark>,
}

impl Remains {
    /// Takes the next item.
    fn next_item(&mut self) -> Option<QueueItem> {
        if let Some(item) = self.items.pop_front() {
            return Some(item);
        }
        if let Some((_, item)) = self.returned.pop_first() {
            return Some(item);
        }
        loop {
            let mut last = self.handed_out.last_entry()?;
            match last.get_mut().pop_first() {
                Some(handed_out) => return Some(handed_out.item),
                None => drop(last.remove()),
            }
        }
    }
}

/// Why an object ends. This becomes a text only if somebody waits for the object.
#[derive(Debug)]
pub(crate) enum ObjectEnd {
    /// Nothing kept it any more.
    Freed { kind: Kind, id: ObjectId },
    /// It was removed, as this text says.
    Removed(String),
}

impl ObjectEnd {
    /// What a waiter for the object is refused with.
    pub(crate) fn refusal(&self) -> Refusal {
        let text = match self {
            ObjectEnd::Freed { kind, id } => {
                format!("the {kind} {id} was freed, because no proxy referred to it")
            }
            ObjectEnd::Removed(text) => text.clone(),
        };
        Refusal::new(Code::Removed, text)
    }
}

impl State {
    pub(crate) fn attach(
        &mut self,
        session: SessionId,
        id: ObjectId,
        kind: Kind,
        epoch: Epoch,
    ) -> Result<Reply, Refusal> {
        if epoch != self.epoch {
            return Err(Refusal::new(
                Code::StaleEpoch,
                format!("the {kind} {id} belonged to a manager that has ended; open it anew"),
            ));
        }
        let key = self.catalog.find(id, kind)?;
        self.refer(session, key)?;
        Ok(Reply::Done)
    }

    /// Adds one reference of a session to an object.
    pub(crate) fn refer(&mut self, session: SessionId, key: Key) -> Result<(), Refusal> {
        let object = self.catalog.at(key);
        let (id, fresh) = (object.id, Held { key, serial: object.serial, count: 1 });
        let references = object.references.checked_add(1).ok_or_else(|| {
            Refusal::new(Code::LimitReached, "there are 2^32 references to one object, which is the limit")
        })?;
        if !self.has_memory_for(REFERENCE_BYTES) && !self.session_at(session).refers_to(id) {
            self.check_memory(REFERENCE_BYTES)?;
        }
        self.catalog.at_mut(key).references = references;
        match self.session_at(session).references.entry(number(id)) {
            Entry::Occupied(mut held) if held.get().serial == fresh.serial => held.get_mut().count += 1,
            Entry::Occupied(mut held) => *held.get_mut() = fresh,
            Entry::Vacant(place) => {
                place.insert(fresh);
                self.memory.charge(REFERENCE_BYTES);
            }
        }
        Ok(())
    }

    pub(crate) fn detach(&mut self, session: SessionId, id: ObjectId) -> Result<Reply, Refusal> {
        let Entry::Occupied(mut held) = self.session_at(session).references.entry(number(id)) else {
            return Err(no_such_object(id));
        };
        let one = Held { count: 1, ..*held.get() };
        held.get_mut().count -= 1;
        if held.get().count == 0 {
            held.remove();
            self.memory.give_back(REFERENCE_BYTES);
        }
        self.release(one);
        Ok(Reply::Done)
    }

    /// Gives back references of a session, unless the object was removed since.
    pub(crate) fn release(&mut self, held: Held) {
        if let Some(key) = self.catalog.resolve(held.handle()) {
            self.catalog.at_mut(key).references -= held.count;
            self.note_if_unused(key);
        }
    }

    /// Keeps an object alive, if it is there.
    pub(crate) fn pin(&mut self, id: ObjectId) -> Option<Pin> {
        self.catalog.key(id).map(|key| self.pin_at(key))
    }

    /// Keeps an object alive.
    pub(crate) fn pin_at(&mut self, key: Key) -> Pin {
        self.catalog.at_mut(key).pins += 1;
        Pin(self.catalog.handle(key))
    }

    /// Lets go of an object, unless it was removed since.
    pub(crate) fn unpin(&mut self, pin: Pin) {
        if let Some(key) = self.catalog.resolve(pin.0) {
            self.catalog.at_mut(key).pins -= 1;
            self.note_if_unused(key);
        }
    }

    /// Whether a session refers to this object.
    pub(crate) fn is_referred_to(&self, key: Key) -> bool {
        self.catalog.at(key).references > 0
    }

    /// Notes that an object may have lost the last thing that kept it. The core examines it at the end of the input, so
    /// that nothing is freed while it is in use, and one freed object may free another.
    fn note_if_unused(&mut self, key: Key) {
        if self.catalog.at(key).is_unused() {
            self.free_later(self.catalog.handle(key));
        }
    }

    /// Frees an object that was noted as unused, if it still is.
    pub(crate) fn free(&mut self, noted: Handle) {
        if let Some(key) = self.catalog.resolve(noted)
            && self.catalog.at(key).is_unused()
        {
            self.step(STEPS_PER_OBJECT);
            if self.catalog.at(key).has_ended() {
                return self.catalog.free_ended(key);
            }
            // It has no name: a named object is kept.
            let object = self.catalog.at(key);
            let end = ObjectEnd::Freed { kind: object.body.kind(), id: object.id };
            self.destroy(key, &end);
        }
    }

    pub(crate) fn remove(&mut self, session: SessionId, id: ObjectId) -> Result<Reply, Refusal> {
        let key = self.catalog.key(id).ok_or_else(|| no_such_object(id))?;
        let text = format!("{} was removed by {}", self.describe(key), self.describe_session(session));
        Body::remove(self, key, session, text)?;
        Ok(Reply::Done)
    }

    /// Destroys an object. From now on nobody finds it. Its waiters are refused in their turn, in slices if they are
    /// many.
    pub(crate) fn destroy(&mut self, key: Key, end: &ObjectEnd) {
        // The conditions over a lock go first, so that none of them passes a notification on to a waiter that would
        // then hold the lock.
        if let Some(conditions) = self.catalog.at_mut(key).body.conditions_mut() {
            for condition in take(conditions) {
                self.step(STEPS_PER_OBJECT);
                self.destroy(condition, end);
            }
        }
        if self.catalog.at(key).is_awaited() {
            return self.end_awaited(key, end);
        }
        let mut object = self.catalog.remove(key);
        self.memory.give_back(object.bytes());
        object.body.destroyed(self, key, end);
    }

    /// Destroys an object that has waiters.
    #[cold]
    fn end_awaited(&mut self, key: Key, end: &ObjectEnd) {
        self.memory.give_back(self.catalog.at(key).bytes());
        self.touch(key);
        self.catalog.end_awaited(key, end.refusal()).destroyed(self, key, end);
    }

    /// Lets go of what an object kept: all of it, or as much as this input may.
    pub(crate) fn let_go_of(&mut self, mut remains: Box<Remains>) {
        loop {
            if let Some(item) = remains.next_item() {
                self.step(STEPS_PER_CONTENT);
                self.discard_item(item);
            } else if let Some(pin) = remains.pins.pop_front() {
                self.step(1);
                self.unpin(pin);
            } else if let Some(pins) = remains.pins_of.pop() {
                self.unpin_carried(&pins);
            } else if remains.children.pop_first().is_some() || remains.marks.pop_front().is_some() {
                self.step(1);
            } else if let Some((_, grant)) = remains.confirmed.pop_front() {
                self.step(STEPS_PER_CONTENT);
                self.let_go(grant);
            } else if let Some(result) = remains.results.pop_front() {
                self.step(STEPS_PER_CONTENT);
                if let Some(blob) = blob_of(&result.outcome) {
                    self.blob_release(blob, 1);
                }
            } else {
                return;
            }
            if self.is_over() {
                return self.go_on_later(LongWork::LetGo(remains));
            }
        }
    }

    /// An object, for people: its kind, and its name or id.
    pub(crate) fn describe(&self, key: Key) -> String {
        let object = self.catalog.at(key);
        match &object.name {
            Some(name) => format!("the {} {:?}", object.body.kind(), shortened(name.as_str())),
            None => format!("the {} {}", object.body.kind(), object.id),
        }
    }
}
