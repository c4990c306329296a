//! Locks and reentrant locks: one thread of one process holds them, and its death passes them on.
//!
//! The thread that acquired a lock holds it, and any thread of its process may give it back under the number of that
//! *holding*. A holding lasts from when a free lock is taken until it was given back as often as it was acquired, or
//! taken away; a wait for a condition interrupts it, and does not end it.
//!
//! A holder that ends without giving back leaves the lock *abandoned*: the next taker gets it at once and learns which
//! process left it, as with NT's mutexes and POSIX's robust ones. The lock stays marked until then, so a program in
//! which one process acquires and ends, and another releases, works as it does in Python.
//!
//! Tokens grow with every grant of this manager, over all locks, so that an outside resource that remembers the
//! greatest it has seen can refuse former holders.

use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::format;
use core::num::NonZeroU32;

use protocol::{Abandonment, Code, Kind, LockGrant, ObjectId, ObjectState, Refusal, Reply, SessionId, Spec};
use serde::{Deserialize, Serialize};

use crate::objects::object_body::ObjectBody;
use crate::objects::{Body, Want};
use crate::sessions::session::Abandoner;
use crate::store::catalog::{Object, no_such_object};
use crate::store::lifetime::ObjectEnd;
use crate::store::slab::Key;
use crate::waiting::wait::{Caller, Lane, Readiness, Relock};
use crate::{State, Time};

/// A lock of either kind.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Lock {
    is_reentrant: bool,
    holder: Option<Holder>,
    /// What the last holder left behind, until a session takes the lock or clears the mark.
    abandoned: Option<Box<Abandonment>>,
    /// The conditions over this lock, which end with it.
    pub(crate) conditions: BTreeSet<Key>,
}

/// The holder of a lock.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Holder {
    pub(crate) caller: Caller,
    pub(crate) since: Time,
    pub(crate) token: u64,
    /// The number of its holding.
    pub(crate) holding: u64,
    pub(crate) depth: u32,
}

impl Lock {
    pub(crate) fn new(is_reentrant: bool) -> Lock {
        Lock { is_reentrant, holder: None, abandoned: None, conditions: BTreeSet::new() }
    }

    pub(crate) fn holder(&self) -> Option<Holder> {
        self.holder
    }

    /// Whether a caller could take it: nobody holds it, or it is reentrant and the caller does.
    pub(crate) fn is_ready_for(&self, caller: Caller) -> bool {
        self.holder.is_none_or(|holder| self.is_reentrant && holder.caller == caller)
    }

    /// Whether a thread holds it, in this holding if one is named.
    pub(crate) fn is_held_in(&self, caller: Caller, holding: Option<u64>) -> bool {
        self.is_held_by(caller)
            && self.holder.is_some_and(|holder| holding.is_none_or(|holding| holder.holding == holding))
    }
}

impl ObjectBody for Lock {
    fn kind(&self) -> Kind {
        if self.is_reentrant { Kind::RLock } else { Kind::Lock }
    }

    fn spec(&self, _: &State) -> Option<Spec> {
        Some(if self.is_reentrant { Spec::RLock } else { Spec::Lock })
    }

    fn inspect(&self, state: &State, _: &Object) -> ObjectState {
        ObjectState::Lock {
            is_reentrant: self.is_reentrant,
            holder: self.holder.map(|holder| state.holder_info(holder)),
            abandoned: self.abandoned.as_deref().cloned(),
        }
    }

    fn readiness(&self, _: &Want, caller: Caller) -> Readiness {
        match self.holder {
            None => Readiness::Ready,
            Some(holder) if self.is_reentrant && holder.caller == caller => {
                if holder.depth == u32::MAX {
                    let text = "a reentrant lock is held at most 2^32 - 1 times";
                    return Readiness::Never(Refusal::new(Code::LimitReached, text));
                }
                Readiness::Ready
            }
            Some(_) => Readiness::NotYet,
        }
    }

    fn is_used_up(&self, _: &Want) -> bool {
        true
    }

    fn is_held_by(&self, caller: Caller) -> bool {
        self.holder.is_some_and(|holder| holder.caller == caller)
    }

    fn holder_before(&self, caller: Caller) -> Option<Caller> {
        self.holder.filter(|_| !self.is_ready_for(caller)).map(|holder| holder.caller)
    }

    fn abandoned(state: &mut State, key: Key, abandoner: &Abandoner, _: &str) -> bool {
        state.lock_abandon(key, abandoner);
        false
    }

    fn destroyed(&mut self, state: &mut State, key: Key, _: &ObjectEnd) {
        state.lock_destroyed(key, self);
    }
}

impl State {
    /// Makes this caller the holder, or counts its holding once more. The lock is ready for it.
    pub(crate) fn lock_take(&mut self, key: Key, caller: Caller) -> LockGrant {
        let grant = self.lock_take_in(key, caller, self.last_holding + 1, 1);
        self.last_holding = self.last_holding.max(grant.holding);
        grant
    }

    /// Makes a caller that gave the lock up for a wait its holder again: in the same holding, as often as before.
    pub(crate) fn lock_retake(&mut self, relock: Relock, caller: Caller) -> LockGrant {
        self.lock_take_in(relock.lock, caller, relock.holding, relock.depth.get())
    }

    fn lock_take_in(&mut self, key: Key, caller: Caller, holding: u64, depth: u32) -> LockGrant {
        let (now, token) = (self.now, self.token);
        let lock = self.lock_at(key);
        if let Some(holder) = &mut lock.holder {
            holder.depth = holder.depth.saturating_add(depth);
            let Holder { token, holding, depth, .. } = *holder;
            return LockGrant { holding, token, depth, abandoned: None };
        }
        lock.holder = Some(Holder { caller, since: now, token, holding, depth });
        let abandoned = lock.abandoned.take().map(|abandoned| *abandoned);
        let is_reentrant = lock.is_reentrant;
        self.token += 1;
        self.session_at(caller.session).held.insert((holding, key));
        if is_reentrant {
            self.touch_waits_of(caller);
        }
        if !self.catalog.at(key).wait_queue_in(Lane::Main).is_empty() {
            self.lock_wanted(key, false);
        }
        LockGrant { holding, token, depth, abandoned }
    }

    pub(crate) fn release_lock(
        &mut self,
        caller: Caller,
        id: ObjectId,
        holding: Option<u64>,
    ) -> Result<Reply, Refusal> {
        let key = self.find_lock(id)?;
        let lock = self.lock_at(key);
        let Some(holder) = &mut lock.holder else {
            // A holding that has ended gives nothing back, and leaves the mark for the next taker.
            if holding.is_none() && lock.abandoned.take().is_some() {
                return Ok(Reply::Done);
            }
            return Err(Refusal::new(Code::NotOwner, format!("{} is not held", self.describe(key))));
        };
        let is_its = match holding {
            Some(holding) => holder.caller.session == caller.session && holder.holding == holding,
            None => holder.caller == caller,
        };
        if !is_its {
            return Err(self.not_owner(key, holding));
        }
        holder.depth -= 1;
        if holder.depth == 0 {
            self.lock_free(key);
        }
        Ok(Reply::Done)
    }

    /// The refusal for a caller that does not hold a lock, or not in the holding that it named. It names the holder.
    pub(crate) fn not_owner(&self, key: Key, holding: Option<u64>) -> Refusal {
        let what = self.describe(key);
        let text = match &self.catalog.at(key).body {
            Body::Lock(lock) => match lock.holder {
                Some(holder) => {
                    let is_later = holding.is_some_and(|holding| holding < holder.holding);
                    let by = if is_later { "was taken since, and is held by" } else { "is held by" };
                    format!("{what} {by} {}", self.describe_caller(holder.caller))
                }
                None => format!("{what} is not held"),
            },
            _ => unreachable!("the kind was checked when the key was found"),
        };
        Refusal::new(Code::NotOwner, text)
    }

    /// Takes a lock from its holder, whoever that is.
    pub(crate) fn force_release(&mut self, session: SessionId, id: ObjectId) -> Result<Reply, Refusal> {
        let key = self.find_lock(id)?;
        let Some(holder) = self.lock_at(key).holder else {
            return Err(self.not_owner(key, None));
        };
        let how = format!("was made to release it by {}", self.describe_session(session));
        let holder = holder.caller.session;
        let abandoner = Abandoner::of(holder, &self.sessions[&holder], how.into());
        self.lock_abandon(key, &abandoner);
        Ok(Reply::Done)
    }

    /// Marks a held lock as left behind by its holder.
    fn lock_abandon(&mut self, key: Key, abandoner: &Abandoner) {
        let holder = self.lock_at(key).holder.expect("only a held lock is abandoned");
        let abandonment = abandoner.abandonment(self.now.ns_since(holder.since));
        self.lock_at(key).abandoned = Some(Box::new(abandonment));
        self.lock_free(key);
    }

    /// Frees a held lock, however often it was acquired.
    fn lock_free(&mut self, key: Key) {
        if let Some(holder) = self.lock_at(key).holder.take() {
            self.lock_not_held(key, holder);
        }
        self.touch(key);
    }

    /// Notes that the lock has no holder any more.
    fn lock_not_held(&mut self, key: Key, holder: Holder) {
        self.searches.lock_opened(key);
        let id = holder.caller.session;
        if let Some(session) = self.sessions.get_mut(&id) {
            session.held.remove(&(holder.holding, key));
            session.deferral.lock_unwanted(id, key, &mut self.effects);
        }
    }

    /// Frees a lock that a wait gives up, and returns how to hold it again.
    pub(crate) fn lock_give_up(&mut self, key: Key) -> Relock {
        let holder = self.lock_at(key).holder.expect("a wait gives up a lock that it holds");
        self.lock_free(key);
        let depth = NonZeroU32::new(holder.depth).expect("a held lock was acquired");
        Relock { lock: key, serial: self.catalog.at(key).serial, holding: holder.holding, depth }
    }

    /// Follows up on a lock's end. Its conditions have ended.
    fn lock_destroyed(&mut self, key: Key, lock: &Lock) {
        if let Some(holder) = lock.holder {
            self.lock_not_held(key, holder);
        }
    }

    /// The key of a lock of either kind.
    pub(crate) fn find_lock(&self, id: ObjectId) -> Result<Key, Refusal> {
        let key = self.catalog.key(id).ok_or_else(|| no_such_object(id))?;
        match &self.catalog.at(key).body {
            Body::Lock(_) => Ok(key),
            other => {
                let text = format!(
                    "object {id} is of kind {}, not lock or reentrant lock; use a proxy of its own kind",
                    other.kind()
                );
                Err(Refusal::new(Code::WrongKind, text))
            }
        }
    }

    pub(crate) fn lock_at(&mut self, key: Key) -> &mut Lock {
        match &mut self.catalog.at_mut(key).body {
            Body::Lock(lock) => lock,
            _ => unreachable!("the kind was checked when the key was found"),
        }
    }
}
