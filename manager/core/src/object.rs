//! Objects: found by id or name, opened, referred to, removed, and freed when nobody is left.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::format;

use protocol::{Code, Epoch, Kind, Name, ObjectId, OpenMode, Refusal, Reply, SessionId, Spec};

use crate::batch::Batch;
use crate::event::Event;
use crate::pool::Pool;
use crate::slab::{Key, Slab};
use crate::state::State;
use crate::wait::WaitList;

/// One object of any kind.
#[derive(Debug)]
pub(crate) struct Object {
    /// Its identity, as clients name it.
    pub(crate) id: ObjectId,
    /// Its identity in the core: a client may use the id of a removed object again, and this is never used again.
    serial: u64,
    /// Its name. A named object lives until it is removed.
    pub(crate) name: Option<Name>,
    /// How many proxies in live sessions refer to it.
    references: u32,
    /// How many tasks and the like, in the manager's keeping, carry a proxy of it or need it.
    pins: u64,
    /// Who waits for it, first come first.
    pub(crate) waiters: WaitList,
    /// What it is.
    pub(crate) body: Body,
}

/// What distinguishes the kinds. One file each.
#[derive(Debug)]
pub(crate) enum Body {
    Event(Event),
    Pool(Box<Pool>),
    Batch(Box<Batch>),
}

/// Something in the manager's keeping that keeps an object alive: made by `pin`, given back by `unpin`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pin {
    key: Key,
    serial: u64,
}

/// How many proxies of an object one session holds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Held {
    serial: u64,
    count: u32,
}

/// All objects, and the two ways to find one.
#[derive(Debug)]
pub(crate) struct Catalog {
    objects: Slab<Object>,
    /// How many objects were ever made.
    made: u64,
    ids: BTreeMap<ObjectId, Key>,
    names: BTreeMap<Name, Key>,
}

impl Body {
    fn new(spec: Spec) -> Body {
        match spec {
            Spec::Event { auto_reset } => Body::Event(Event::new(auto_reset)),
            Spec::Pool => Body::Pool(Box::new(Pool::new())),
        }
    }

    pub(crate) fn kind(&self) -> Kind {
        match self {
            Body::Event(_) => Kind::Event,
            Body::Pool(_) => Kind::Pool,
            Body::Batch(_) => Kind::Batch,
        }
    }

    /// With what it was made; none for what `Open` can not make.
    fn spec(&self) -> Option<Spec> {
        match self {
            Body::Event(event) => Some(Spec::Event { auto_reset: event.auto_reset() }),
            Body::Pool(_) => Some(Spec::Pool),
            Body::Batch(_) => None,
        }
    }
}

impl Object {
    /// Whether nothing keeps it alive: no name, no proxy, nothing in the manager's keeping.
    fn is_unused(&self) -> bool {
        self.name.is_none() && self.references == 0 && self.pins == 0
    }
}

impl Catalog {
    pub(crate) fn new() -> Catalog {
        Catalog { objects: Slab::new(), made: 0, ids: BTreeMap::new(), names: BTreeMap::new() }
    }

    pub(crate) fn len(&self) -> usize {
        self.objects.len()
    }

    /// The object under a key, which is there as long as something in the core points at it.
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

    pub(crate) fn key(&self, id: ObjectId) -> Option<Key> {
        self.ids.get(&id).copied()
    }

    /// The key of an object of this kind, as a client names it.
    pub(crate) fn find(&self, id: ObjectId, kind: Kind) -> Result<Key, Refusal> {
        let key = self.key(id).ok_or_else(|| no_such_object(id))?;
        let found = self.at(key).body.kind();
        if found != kind {
            let text = format!("object {id} is of kind {found}, not {kind}");
            return Err(Refusal::new(Code::WrongKind, text));
        }
        Ok(key)
    }

    fn insert(&mut self, id: ObjectId, name: Option<Name>, body: Body) -> Key {
        self.made += 1;
        let key = self.objects.insert(Object {
            id,
            serial: self.made,
            name: name.clone(),
            references: 0,
            pins: 0,
            waiters: WaitList::default(),
            body,
        });
        self.ids.insert(id, key);
        if let Some(name) = name {
            self.names.insert(name, key);
        }
        key
    }
}

impl State {
    pub(crate) fn open(
        &mut self,
        session: SessionId,
        id: ObjectId,
        name: Option<&str>,
        spec: Spec,
        mode: OpenMode,
    ) -> Result<Reply, Refusal> {
        let name = name.map(Name::parse).transpose();
        let name = name.map_err(|error| Refusal::new(Code::BadName, format!("{error}")))?;
        let existing = name.as_ref().and_then(|name| self.catalog.names.get(name).copied());
        let (key, created) = match (existing, &name) {
            (Some(key), Some(name)) => (self.open_existing(key, name, spec, mode)?, false),
            (_, Some(name)) if mode == OpenMode::Open => {
                return Err(Refusal::new(Code::NoSuchObject, format!("there is no object named {name:?}")));
            }
            (_, None) if mode == OpenMode::Open => {
                return Err(Refusal::new(Code::BadArgument, "an object is opened by its name"));
            }
            _ => (self.create(id, name, Body::new(spec))?, true),
        };
        let id = self.catalog.at(key).id;
        self.refer(session, key)?;
        Ok(Reply::Opened { id, created })
    }

    fn open_existing(&self, key: Key, name: &Name, spec: Spec, mode: OpenMode) -> Result<Key, Refusal> {
        let body = &self.catalog.at(key).body;
        let kind = body.kind();
        if mode == OpenMode::CreateNew {
            let text = format!("an object named {name:?} exists already, of kind {kind}");
            return Err(Refusal::new(Code::AlreadyExists, text));
        }
        match body.spec() {
            Some(found) if found == spec => Ok(key),
            Some(found) if found.kind() == spec.kind() => {
                Err(Refusal::new(Code::WrongParameters, format!("{name:?} is {found}, not {spec}")))
            }
            _ => {
                let text = format!("the object named {name:?} is of kind {kind}, not {}", spec.kind());
                Err(Refusal::new(Code::WrongKind, text))
            }
        }
    }

    /// Makes an object that nobody refers to yet.
    pub(crate) fn create(&mut self, id: ObjectId, name: Option<Name>, body: Body) -> Result<Key, Refusal> {
        if self.catalog.key(id).is_some() {
            return Err(Refusal::new(Code::AlreadyExists, format!("an object with id {id} exists already")));
        }
        if self.catalog.len() >= self.limits.objects_max {
            return Err(Refusal::new(
                Code::LimitReached,
                format!("the manager holds {} objects, which is its limit", self.limits.objects_max),
            ));
        }
        Ok(self.catalog.insert(id, name, body))
    }

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
        let object = self.catalog.at_mut(key);
        let references = object.references.checked_add(1).ok_or_else(|| {
            Refusal::new(Code::LimitReached, "there are 2^32 references to one object, which is the limit")
        })?;
        object.references = references;
        let (id, fresh) = (object.id, Held { serial: object.serial, count: 0 });
        let held = self.session_at(session).references.entry(id).or_insert(fresh);
        if held.serial != fresh.serial {
            *held = fresh;
        }
        held.count += 1;
        Ok(())
    }

    pub(crate) fn detach(&mut self, session: SessionId, id: ObjectId) -> Result<Reply, Refusal> {
        let references = &mut self.session_at(session).references;
        let held = references.get_mut(&id).ok_or_else(|| no_such_object(id))?;
        held.count -= 1;
        let one = Held { serial: held.serial, count: 1 };
        if held.count == 0 {
            references.remove(&id);
        }
        self.release(id, one);
        Ok(Reply::Done)
    }

    /// Gives back references of a session, unless the object was removed since.
    pub(crate) fn release(&mut self, id: ObjectId, held: Held) {
        if let Some(key) = self.catalog.key(id)
            && self.catalog.at(key).serial == held.serial
        {
            self.catalog.at_mut(key).references -= held.count;
            self.loosened(key);
        }
    }

    /// Keeps an object alive, if it is there.
    pub(crate) fn pin(&mut self, id: ObjectId) -> Option<Pin> {
        self.catalog.key(id).map(|key| self.pin_at(key))
    }

    /// Keeps an object alive.
    pub(crate) fn pin_at(&mut self, key: Key) -> Pin {
        let object = self.catalog.at_mut(key);
        object.pins += 1;
        Pin { key, serial: object.serial }
    }

    /// Lets go of an object, unless it was removed since.
    pub(crate) fn unpin(&mut self, pin: Pin) {
        if self.catalog.get(pin.key).is_some_and(|object| object.serial == pin.serial) {
            self.catalog.at_mut(pin.key).pins -= 1;
            self.loosened(pin.key);
        }
    }

    /// Whether anybody outside the manager could still ask for this object.
    pub(crate) fn is_referred_to(&self, key: Key) -> bool {
        self.catalog.at(key).references > 0
    }

    /// Notes that an object may have lost the last that kept it. It is looked at when the input is done with, so
    /// that nothing is freed while something is being done with it, and one freed object may free another.
    fn loosened(&mut self, key: Key) {
        let object = self.catalog.at(key);
        if object.is_unused() {
            self.unused.push(Pin { key, serial: object.serial });
        }
    }

    /// Frees an object that was noted as unused, if it still is.
    pub(crate) fn free(&mut self, noted: Pin) {
        let still = |object: &Object| object.serial == noted.serial && object.is_unused();
        if self.catalog.get(noted.key).is_some_and(still) {
            let object = self.catalog.at(noted.key);
            let text =
                format!("the {} {} was freed, as no proxy referred to it", object.body.kind(), object.id);
            self.destroy(noted.key, &Refusal::new(Code::Removed, text));
        }
    }

    pub(crate) fn remove(&mut self, session: SessionId, id: ObjectId) -> Result<Reply, Refusal> {
        let key = self.catalog.key(id).ok_or_else(|| no_such_object(id))?;
        let who = self.describe_session(session);
        let object = self.catalog.at(key);
        let what = match &object.name {
            Some(name) => format!("the {} {name:?}", object.body.kind()),
            None => format!("the {} {id}", object.body.kind()),
        };
        let text = format!("{what} was removed by {who}");
        match &object.body {
            Body::Batch(_) => {
                return Err(Refusal::new(Code::WrongKind, "a batch is not removed, it ends with its tasks"));
            }
            Body::Pool(_) => self.terminate(key, &text),
            Body::Event(_) => {}
        }
        self.destroy(key, &Refusal::new(Code::Removed, text));
        Ok(Reply::Done)
    }

    /// Takes an object out of the world. Whoever waits for it is refused.
    fn destroy(&mut self, key: Key, refusal: &Refusal) {
        while let Some(waiter) = self.catalog.at(key).waiters.first() {
            self.refuse_waiter(waiter, refusal.clone());
        }
        let object = self.catalog.objects.remove(key);
        self.catalog.ids.remove(&object.id);
        if let Some(name) = &object.name {
            self.catalog.names.remove(name);
        }
        if let Body::Batch(batch) = object.body {
            self.batch_freed(*batch);
        }
    }
}

pub(crate) fn no_such_object(id: ObjectId) -> Refusal {
    Refusal::new(Code::NoSuchObject, format!("there is no object {id}; it was removed, freed, or never made"))
}
