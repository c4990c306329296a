//! Objects of all kinds, and how to find one.

use alloc::collections::BTreeMap;
use alloc::collections::btree_map::Entry;
use alloc::format;
use core::ops::Bound;

use protocol::{Code, Kind, Name, ObjectId, Refusal};
use serde::{Deserialize, Serialize};

use crate::objects::ended::EndedObject;
use crate::objects::object_body::ObjectBody;
use crate::objects::{Body, Want};
use crate::store::memory::{NAME_BYTES, OBJECT_BYTES};
use crate::store::names::Names;
use crate::store::slab::{Key, Slab};
use crate::waiting::wait::Lane;
use crate::waiting::wait_queue::WaitQueue;

/// One object of any kind.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Object {
    /// Its identity, as clients name it.
    pub(crate) id: ObjectId,
    /// Its identity in the core, never used again, whereas a client may use the id of a removed object again. One that
    /// has ended and still refuses waiters has 0.
    pub(crate) serial: u64,
    /// Whether its waiters are to be served before the current input ends.
    pub(crate) is_touched: bool,
    /// Its name. A named object lives until it is removed.
    pub(crate) name: Option<Name>,
    /// How many proxies in live sessions refer to it.
    pub(crate) references: u32,
    /// How many things in the manager's keeping, such as calls, carry a proxy of it or need it.
    pub(crate) pins: u64,
    /// Its waiters, first come, first served; a queue has two more of these.
    wait_queue: WaitQueue,
    /// What it is.
    pub(crate) body: Body,
}

/// Names one object for good. It keeps nothing alive: the object may be gone, and another under its key or id.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Handle {
    pub(crate) key: Key,
    serial: u64,
}

/// Something in the manager's keeping that keeps an object alive: `pin` makes it, and `unpin` gives it back.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Pin(pub(crate) Handle);

/// How many proxies of an object one session holds: of the very object that was there when it got the first.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Held {
    pub(crate) key: Key,
    pub(crate) serial: u64,
    pub(crate) count: u32,
}

/// All objects, and the two ways to find one.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Catalog {
    objects: Slab<Object>,
    /// How many objects were ever made.
    made: u64,
    /// By the [`number`] of their ids.
    ids: BTreeMap<u128, Key>,
    names: Names,
}

impl Object {
    /// The wait queue of the waiters that want this.
    pub(crate) fn wait_queue(&self, want: &Want) -> &WaitQueue {
        self.wait_queue_in(want.lane())
    }

    pub(crate) fn wait_queue_in(&self, lane: Lane) -> &WaitQueue {
        match lane {
            Lane::Main => &self.wait_queue,
            lane => self.body.wait_queue_in(lane),
        }
    }

    pub(crate) fn wait_queue_mut(&mut self, lane: Lane) -> &mut WaitQueue {
        match lane {
            Lane::Main => &mut self.wait_queue,
            lane => self.body.wait_queue_mut(lane),
        }
    }

    /// The wait queues that this object has.
    pub(crate) fn lanes(&self) -> &'static [Lane] {
        self.body.lanes()
    }

    /// How many waiters it has. A wait may name the object twice, but counts once.
    pub(crate) fn waiting(&self) -> u32 {
        self.lanes().iter().map(|&lane| self.wait_queue_in(lane).len()).sum()
    }

    /// Whether anyone waits for it.
    pub(crate) fn is_awaited(&self) -> bool {
        self.lanes().iter().any(|&lane| !self.wait_queue_in(lane).is_empty())
    }

    /// How much memory it takes.
    pub(crate) fn bytes(&self) -> usize {
        object_bytes(self.name.as_ref(), &self.body)
    }

    /// Whether it has ended, and only refuses waiters.
    pub(crate) fn has_ended(&self) -> bool {
        self.serial == 0
    }

    /// Whether nothing keeps it alive: no name, no proxy, nothing in the manager's keeping.
    pub(crate) fn is_unused(&self) -> bool {
        self.name.is_none() && self.references == 0 && self.pins == 0
    }
}

impl Held {
    pub(crate) fn handle(&self) -> Handle {
        Handle { key: self.key, serial: self.serial }
    }
}

impl Catalog {
    pub(crate) fn new() -> Catalog {
        Catalog { objects: Slab::new(), made: 0, ids: BTreeMap::new(), names: Names::default() }
    }

    pub(crate) fn len(&self) -> usize {
        self.objects.len()
    }

    /// How much memory the slots of objects take, those of freed ones among them.
    #[inline]
    pub(crate) fn slot_bytes(&self) -> usize {
        self.objects.slot_bytes()
    }

    /// Whether memory is still to be freed that objects had.
    pub(crate) fn has_retired(&self) -> bool {
        self.objects.has_retired()
    }

    /// Frees a part of the memory that objects had.
    pub(crate) fn free_retired(&mut self) {
        self.objects.free_retired();
    }

    /// The object under a key. It exists as long as something in the core points at it.
    pub(crate) fn at(&self, key: Key) -> &Object {
        &self.objects[key]
    }

    pub(crate) fn at_mut(&mut self, key: Key) -> &mut Object {
        &mut self.objects[key]
    }

    /// The object under a key that may have been freed in the meantime.
    pub(crate) fn get(&self, key: Key) -> Option<&Object> {
        self.objects.get(key)
    }

    pub(crate) fn handle(&self, key: Key) -> Handle {
        Handle { key, serial: self.at(key).serial }
    }

    pub(crate) fn get_mut(&mut self, key: Key) -> Option<&mut Object> {
        self.objects.get_mut(key)
    }

    /// The key of the object that a handle names, if the object still exists.
    pub(crate) fn resolve(&self, handle: Handle) -> Option<Key> {
        self.get(handle.key).filter(|object| object.serial == handle.serial).map(|_| handle.key)
    }

    pub(crate) fn key(&self, id: ObjectId) -> Option<Key> {
        self.ids.get(&number(id)).copied()
    }

    pub(crate) fn key_of_name(&self, name: &str) -> Option<Key> {
        self.names.get(name, |key| name_at(&self.objects, key))
    }

    /// The objects in the order of their ids, after this one.
    pub(crate) fn after(&self, id: Option<ObjectId>) -> impl Iterator<Item = &Object> {
        let from = id.map_or(Bound::Unbounded, |id| Bound::Excluded(number(id)));
        self.ids.range((from, Bound::Unbounded)).map(|(_, &key)| self.at(key))
    }

    /// The key of an object of this kind, as a client names it.
    pub(crate) fn find(&self, id: ObjectId, kind: Kind) -> Result<Key, Refusal> {
        let key = self.key(id).ok_or_else(|| no_such_object(id))?;
        let found = self.at(key).body.kind();
        if found != kind {
            let text = format!("object {id} is of kind {found}, not {kind}; use a proxy of its own kind");
            return Err(Refusal::new(Code::WrongKind, text));
        }
        Ok(key)
    }

    /// Adds an object that nothing refers to yet, unless its id is taken. Its name may not be taken.
    pub(crate) fn insert(&mut self, id: ObjectId, name: Option<Name>, body: Body) -> Option<Key> {
        let Entry::Vacant(place) = self.ids.entry(number(id)) else { return None };
        self.made += 1;
        let key = self.objects.insert(Object {
            id,
            serial: self.made,
            is_touched: false,
            name,
            references: 0,
            pins: 0,
            wait_queue: WaitQueue::default(),
            body,
        });
        place.insert(key);
        if let Some(name) = &self.objects[key].name {
            self.names.insert(name.as_str(), key, |key| name_at(&self.objects, key));
        }
        Some(key)
    }

    /// Takes an object out, whatever still refers to it.
    pub(crate) fn remove(&mut self, key: Key) -> Object {
        if let Some(name) = &self.objects[key].name {
            self.names.remove(name.as_str(), |key| name_at(&self.objects, key));
        }
        let object = self.objects.remove(key);
        self.ids.remove(&number(object.id));
        object
    }

    /// Ends an object that has waiters, whatever still refers to it. Returns what it was.
    pub(crate) fn end_awaited(&mut self, key: Key, refusal: Refusal) -> Body {
        if let Some(name) = &self.objects[key].name {
            self.names.remove(name.as_str(), |key| name_at(&self.objects, key));
        }
        self.ids.remove(&number(self.objects[key].id));
        let object = &mut self.objects[key];
        (object.name, object.serial, object.references, object.pins) = (None, 0, 0, 0);
        EndedObject::replace(&mut object.body, refusal)
    }

    /// Frees the slot of an object that has ended, if nobody waits for it any more.
    pub(crate) fn free_ended(&mut self, key: Key) {
        if !self.objects[key].is_awaited() {
            self.objects.remove(key);
        }
    }
}

/// How much memory an object takes.
pub(crate) fn object_bytes(name: Option<&Name>, body: &Body) -> usize {
    let name = name.map_or(0, |name| NAME_BYTES + name.as_str().len());
    OBJECT_BYTES + name + body.bytes()
}

/// The name of an object that has one.
fn name_at(objects: &Slab<Object>, key: Key) -> &str {
    objects[key].name.as_ref().expect("the index of names holds objects with names").as_str()
}

/// An id as a number: numbers compare in one step, in the same order.
pub(crate) fn number(id: ObjectId) -> u128 {
    id.0.as_u128()
}

pub(crate) fn no_such_object(id: ObjectId) -> Refusal {
    Refusal::new(Code::NoSuchObject, format!("there is no object {id}; it was removed, freed, or never made"))
}

#[cfg(test)]
mod tests {
    use core::mem::size_of;

    use super::*;
    use crate::sessions::session::Session;
    use crate::waiting::wait::Waiter;
    use crate::waiting::wait_queue;

    /// A manager keeps a million of these, so they must not grow unnoticed.
    #[test]
    fn objects_and_waiters_stay_small() {
        assert!(size_of::<Object>() <= 112, "an object has {} bytes", size_of::<Object>());
        assert!(size_of::<Option<Object>>() == size_of::<Object>(), "a slab adds nothing to it");
        assert!(
            size_of::<wait_queue::WaitQueueEntry>() <= 40,
            "an entry has {} bytes",
            size_of::<wait_queue::WaitQueueEntry>()
        );
        assert!(size_of::<Waiter>() <= 136, "a waiter has {} bytes", size_of::<Waiter>());
        assert!(size_of::<Option<Waiter>>() == size_of::<Waiter>(), "a slab adds nothing to it");
        assert!(size_of::<Session>() <= 256, "a session has {} bytes", size_of::<Session>());
    }
}
