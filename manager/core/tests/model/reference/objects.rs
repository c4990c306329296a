//! Objects: opening, references, removal, and what keeps an object ("Objects").

use protocol::limits::CONDITIONS_PER_LOCK_MAX;
use protocol::{Code, Epoch, Kind, LockChoice, Name, ObjectId, OpenMode, Reply, SessionId, Spec};

use super::barriers::Barrier;
use super::conditions::Condition;
use super::events::{Event, SetBy};
use super::latches::Latch;
use super::locks::Lock;
use super::memory::{REFERENCE, object_cost};
use super::pools::Pool;
use super::queues::Queue;
use super::semaphores::Semaphore;
use super::waits::{Decision, Want};
use super::{Body, Model, ModelAnswer, Object, Pin, refused};

impl Model {
    pub(crate) fn open(
        &mut self,
        session: SessionId,
        id: ObjectId,
        name: Option<&str>,
        spec: Spec,
        mode: OpenMode,
    ) -> ModelAnswer {
        if name.is_some_and(|name| Name::check(name).is_err()) {
            return Err(Code::BadName);
        }
        let named = |object: &Object| name.is_some() && object.name.as_deref() == name;
        let existing = self.objects.iter().find(|(_, object)| named(object)).map(|(&id, _)| id);
        let (id, created) = match existing {
            Some(_) if mode == OpenMode::CreateNew => return Err(Code::AlreadyExists),
            Some(existing) => {
                let found = self.spec_of(existing);
                if found.is_none_or(|found| found.kind() != spec.kind()) {
                    return Err(Code::WrongKind);
                }
                if found.map(without_own_lock) != Some(without_own_lock(spec)) {
                    return Err(Code::WrongParameters);
                }
                (existing, false)
            }
            None if mode == OpenMode::Open && name.is_none() => return Err(Code::BadArgument),
            None if mode == OpenMode::Open => return Err(Code::NoSuchObject),
            None => {
                self.make(id, name, spec)?;
                // From now on a pool ends with the session that made it so.
                if let Body::Pool(pool) = &mut self.objects.get_mut(&id).unwrap().body {
                    pool.owner = (mode == OpenMode::CreateNew).then_some(session);
                }
                (id, true)
            }
        };
        self.check_refer(session, id)?;
        self.refer(session, id);
        Ok(Reply::Opened { id, created })
    }

    fn make(&mut self, id: ObjectId, name: Option<&str>, spec: Spec) -> Result<(), Code> {
        let body = match spec {
            Spec::Event { auto_reset } => Body::Event(Event::new(auto_reset)),
            Spec::Lock => Body::Lock(Lock::new(false)),
            Spec::RLock => Body::Lock(Lock::new(true)),
            Spec::Condition { over: LockChoice::Given { id: lock } } => {
                self.lock(lock)?;
                let is_over_it =
                    |object: &&Object| matches!(&object.body, Body::Condition(other) if other.lock == lock);
                if self.objects.values().filter(is_over_it).count() >= CONDITIONS_PER_LOCK_MAX {
                    return Err(Code::LimitReached);
                }
                Body::Condition(Condition { lock, is_own: false })
            }
            Spec::Condition { over: LockChoice::Own { id: lock, is_reentrant } } => {
                if lock == id {
                    return Err(Code::BadArgument);
                }
                let own = Body::Lock(Lock::new(is_reentrant));
                let condition = Body::Condition(Condition { lock, is_own: true });
                let cost = object_cost(None, &own);
                self.check_new(lock, 1, cost + REFERENCE)?;
                self.check_new(id, 2, cost + object_cost(name, &condition) + REFERENCE)?;
                self.create(lock, None, own);
                self.create(id, name, condition);
                return Ok(());
            }
            Spec::Semaphore { permits: 0, is_bounded: true }
            | Spec::Barrier { parties: 0 }
            | Spec::Queue { capacity: Some(0), .. } => return Err(Code::BadArgument),
            Spec::Semaphore { permits, is_bounded } => Body::Semaphore(Semaphore::new(permits, is_bounded)),
            Spec::Barrier { parties } => Body::Barrier(Barrier::new(parties)),
            Spec::Latch { count } => Body::Latch(Latch { count_at_first: count, count }),
            Spec::Queue { capacity, is_joinable } => Body::Queue(Queue::new(capacity, is_joinable)),
            Spec::Pool => Body::Pool(Pool::default()),
        };
        self.check_new(id, 1, object_cost(name, &body) + REFERENCE)?;
        self.create(id, name, body);
        Ok(())
    }

    /// Refuses an id that is taken, or this many more objects than there are, which take this much memory.
    pub(crate) fn check_new(&self, id: ObjectId, more: usize, cost: usize) -> Result<(), Code> {
        if self.objects.len() + more > self.limits.objects_max {
            return Err(Code::LimitReached);
        }
        self.check_memory(cost)?;
        match self.objects.contains_key(&id) {
            true => Err(Code::AlreadyExists),
            false => Ok(()),
        }
    }

    pub(crate) fn create(&mut self, id: ObjectId, name: Option<&str>, body: Body) {
        self.made += 1;
        self.objects.insert(id, Object { serial: self.made, name: name.map(String::from), body });
    }

    fn spec_of(&self, id: ObjectId) -> Option<Spec> {
        Some(match &self.objects[&id].body {
            Body::Event(event) => Spec::Event { auto_reset: event.auto_reset },
            Body::Lock(lock) if lock.is_reentrant => Spec::RLock,
            Body::Lock(_) => Spec::Lock,
            Body::Condition(Condition { lock, is_own: false }) => {
                Spec::Condition { over: LockChoice::Given { id: *lock } }
            }
            Body::Condition(Condition { lock, is_own: true }) => {
                let is_reentrant = self.kind_of(*lock) == Some(Kind::RLock);
                Spec::Condition { over: LockChoice::Own { id: *lock, is_reentrant } }
            }
            Body::Semaphore(semaphore) => {
                Spec::Semaphore { permits: semaphore.permits_at_first, is_bounded: semaphore.is_bounded }
            }
            Body::Barrier(barrier) => Spec::Barrier { parties: barrier.parties },
            Body::Latch(latch) => Spec::Latch { count: latch.count_at_first },
            Body::Pool(_) => Spec::Pool,
            Body::Batch(_) => return None,
            Body::Queue(queue) => {
                Spec::Queue { capacity: queue.capacity, is_joinable: queue.unfinished.is_some() }
            }
        })
    }

    /// Refuses the first reference of a session to an object if there is no memory for it.
    fn check_refer(&self, session: SessionId, id: ObjectId) -> Result<(), Code> {
        match self.sessions[&session].references.contains_key(&id) {
            true => Ok(()),
            false => self.check_memory(REFERENCE),
        }
    }

    /// Adds one reference of a session to an object.
    pub(crate) fn refer(&mut self, session: SessionId, id: ObjectId) {
        let serial = self.objects[&id].serial;
        let held = self.sessions.get_mut(&session).unwrap().references.entry(id).or_insert((serial, 0));
        if held.0 != serial {
            // What it referred to was removed.
            *held = (serial, 0);
        }
        held.1 += 1;
    }

    pub(crate) fn attach(
        &mut self,
        session: SessionId,
        id: ObjectId,
        kind: Kind,
        epoch: Epoch,
    ) -> ModelAnswer {
        if epoch != self.epoch {
            return Err(Code::StaleEpoch);
        }
        self.find(id, kind)?;
        self.check_refer(session, id)?;
        self.refer(session, id);
        Ok(Reply::Done)
    }

    /// Gives back a reference, also one to an object that was removed since.
    pub(crate) fn detach(&mut self, session: SessionId, id: ObjectId) -> ModelAnswer {
        let references = &mut self.sessions.get_mut(&session).unwrap().references;
        let held = references.get_mut(&id).ok_or(Code::NoSuchObject)?;
        held.1 -= 1;
        if held.1 == 0 {
            references.remove(&id);
        }
        self.note_if_unused = true;
        Ok(Reply::Done)
    }

    /// An object, for people.
    pub(crate) fn describe(&self, id: ObjectId) -> String {
        let kind = self.kind_of(id).expect("it is there");
        match &self.objects[&id].name {
            Some(name) => format!("the {kind} {name:?}"),
            None => format!("the {kind} {id}"),
        }
    }

    pub(crate) fn references(&self, id: ObjectId) -> u32 {
        let serial = self.objects[&id].serial;
        let counts = self.sessions.values().filter_map(|session| session.references.get(&id));
        counts.filter(|held| held.0 == serial).map(|held| held.1).sum()
    }

    pub(crate) fn remove(&mut self, session: SessionId, id: ObjectId) -> ModelAnswer {
        match self.kind_of(id).ok_or(Code::NoSuchObject)? {
            Kind::Batch => return Err(Code::WrongKind),
            Kind::Pool => {
                let remover = &self.sessions[&session];
                let (process, program) = (remover.process, &remover.program);
                let reason = format!("{} was removed by process {process} ({program})", self.describe(id));
                let cause = SetBy::new(remover, self.now, Some(&reason));
                self.terminate(id, &reason, &cause);
            }
            _ => {}
        }
        self.destroy(id);
        Ok(Reply::Done)
    }

    /// Takes an object away, and before it the conditions over it if it is a lock. The manager refuses the waits for
    /// them with `Removed`.
    pub(crate) fn destroy(&mut self, id: ObjectId) {
        self.note_if_unused = true;
        let is_over =
            |object: &Object| matches!(&object.body, Body::Condition(condition) if condition.lock == id);
        let conditions: Vec<ObjectId> =
            self.objects.iter().filter(|(_, object)| is_over(object)).map(|(&id, _)| id).collect();
        conditions.into_iter().for_each(|condition| self.destroy(condition));
        if let Some(published) = self.publication_end(id) {
            self.effects.push(published);
        }
        self.end_holding(id);
        self.objects.remove(&id);
        while let Some(key) = self.find_wait(id) {
            self.refuse_wait(key, Code::Removed);
        }
    }

    fn find_wait(&self, id: ObjectId) -> Option<u64> {
        let is_for = |want: &Want| want.object() == Some(id);
        self.waits.iter().find(|(_, wait)| wait.targets.iter().any(is_for)).map(|(&key, _)| key)
    }

    /// Refuses a blocked wait. If it waits for its lock after it took what cannot be passed on, it gets that, without
    /// the lock.
    pub(crate) fn refuse_wait(&mut self, key: u64, code: Code) {
        let wait = self.waits.remove(&key).unwrap();
        self.note_if_unused = true;
        let reply = match wait.decided {
            Some(decision) if decision.is_final() => decision.reply(None),
            Some(Decision::Taken { grants, unconfirmed, .. }) => {
                self.take_blobs_back(wait.caller.session, &grants);
                unconfirmed.into_iter().for_each(|grant| self.pass_on(grant));
                refused(code)
            }
            Some(Decision::TimedOut) | None => refused(code),
        };
        self.reply(wait.caller.session, wait.request, reply);
    }

    /// Frees one object that nothing keeps.
    pub(crate) fn free_one(&mut self) -> bool {
        if !self.note_if_unused {
            return false;
        }
        let is_free = |&(&id, object): &(&ObjectId, &Object)| {
            object.name.is_none() && self.references(id) == 0 && !self.is_kept((id, object.serial))
        };
        let Some(id) = self.objects.iter().find(is_free).map(|(&id, _)| id) else {
            self.note_if_unused = false;
            return false;
        };
        self.destroy(id);
        true
    }

    /// Whether something in the manager's keeping needs an object.
    fn is_kept(&self, pin: Pin) -> bool {
        let is_in_object = |(&id, object): (&ObjectId, &Object)| match &object.body {
            Body::Condition(condition) => condition.lock == pin.0,
            Body::Batch(batch) => batch.keeps(pin, id),
            _ => false,
        };
        self.objects.iter().any(is_in_object)
            || self.all_items().iter().any(|item| item.carries.contains(&pin))
    }
}

/// The id of a lock that a condition makes for itself does not count.
fn without_own_lock(spec: Spec) -> Spec {
    match spec {
        Spec::Condition { over: LockChoice::Own { is_reentrant, .. } } => {
            Spec::Condition { over: LockChoice::Own { id: ObjectId(uuid::Uuid::nil()), is_reentrant } }
        }
        spec => spec,
    }
}
