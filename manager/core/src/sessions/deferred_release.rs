//! Deferred releases: locks that a session gives back without a request, and when to look for them.
//!
//! A session that shares [this memory](protocol::SharedMemory::DeferredReleases) may have released a lock that the core
//! takes for held: the release waits in memory until another thread wants the lock. The content of that memory is not
//! part of the core's state. A release that the driver finds does what a [`Request::Release`] does, as an input of its
//! own: [`Input::DeferredRelease`](crate::Input::DeferredRelease). The core says when to look:
//!
//! - A lock for which a thread waits is *wanted*. When it becomes wanted, [`Effect::LocksWanted`] has the driver look
//!   for its release, and tells the holder to send releases from now on.
//! - A request whose answer depends on the holder of a lock makes some [holdings uncertain](State::uncertain_holdings),
//!   before it is applied.
//! - Before it applies a session's end, the driver looks for releases [among its holdings](State::holding).
//!
//! # An extension
//!
//! Locks work without this, and keep nothing for it. The rest of the core comes here for six reasons: a release was
//! found ([`State::apply`]); a session shares its memory (`share`); a thread waits for a held lock, or a lock is taken
//! for which others wait ([`lock_wanted`](State::lock_wanted)); a session no longer holds a lock
//! ([`lock_unwanted`](Deferral::lock_unwanted)); and a session ends, whose teardown drops what is noted here. A session
//! that shares no memory gets the same answers, and no [`Effect::LocksWanted`].

use alloc::vec::Vec;

use protocol::{ObjectId, Request, Selector, SessionId, Signal, Target, ThreadId};
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use crate::objects::Body;
use crate::store::slab::Key;
use crate::store::small_map::SmallMap;
use crate::waiting::wait::Caller;
use crate::{Effect, State};

/// What deferred releases need to know about a session.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Deferral {
    /// Those of its locks that other threads wait for, or have waited for since it got them: few as a rule.
    wanted: SmallMap<Key, ()>,
    /// Whether it shares the memory in which it may defer releases.
    is_shared: bool,
}

/// A lock that is held, as far as the core knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Holding {
    /// The session that holds it.
    pub session: SessionId,
    /// The lock or reentrant lock.
    pub lock: ObjectId,
    /// The number of the holding.
    pub number: u64,
}

impl Deferral {
    /// Whether the session may have released this lock without sending that. It sends the release of a wanted lock.
    fn may_have_released(&self, lock: Key) -> bool {
        self.is_shared && self.wanted.get(lock).is_none()
    }

    /// Notes that a session no longer holds a lock.
    pub(crate) fn lock_unwanted(&mut self, session: SessionId, lock: Key, effects: &mut Vec<Effect>) {
        if self.wanted.remove(lock).is_some() {
            self.report_wanted(session, None, effects);
        }
    }

    fn report_wanted(&self, session: SessionId, holding: Option<Holding>, effects: &mut Vec<Effect>) {
        if self.is_shared {
            effects.push(Effect::LocksWanted { session, wanted: self.wanted.len() as u64, holding });
        }
    }
}

impl State {
    /// The locks on which the answer to a request depends and which their holders may have released without a request.
    pub fn uncertain_holdings(&self, request: &Request<'_>) -> SmallVec<[Holding; 1]> {
        let mut uncertain = self.uncertain_in_order(request);
        if uncertain.len() > 1 {
            uncertain.sort_unstable();
            uncertain.dedup();
        }
        uncertain
    }

    fn uncertain_in_order(&self, request: &Request<'_>) -> SmallVec<[Holding; 1]> {
        match request {
            Request::Wait { targets, .. } => {
                targets.iter().filter_map(|target| self.uncertain_target(target)).collect()
            }
            Request::SignalAndWait { signal, targets, .. } => {
                let released = match signal {
                    Signal::Release { id, holding: None } => self.uncertain(*id),
                    _ => None,
                };
                released
                    .into_iter()
                    .chain(targets.iter().filter_map(|target| self.uncertain_target(target)))
                    .collect()
            }
            Request::Inspect { object: Selector::Id(id) }
            | Request::ForceRelease { id }
            | Request::Release { id, holding: None, .. } => self.uncertain(*id).into_iter().collect(),
            Request::Inspect { object: Selector::Name(name) } => {
                let key = self.catalog.key_of_name(name);
                key.and_then(|key| self.uncertain_at(key)).into_iter().collect()
            }
            _ => SmallVec::new(),
        }
    }

    /// The lock that a session holds in the holding of this number.
    pub fn holding(&self, session: SessionId, number: u64) -> Option<Holding> {
        let lock = self.sessions.get(&session)?.lock_held_in(number)?;
        self.holding_at(lock)
    }

    fn uncertain_target(&self, target: &Target<'_>) -> Option<Holding> {
        match target {
            Target::Lock { id } | Target::RLock { id } => self.uncertain(*id),
            _ => None,
        }
    }

    fn uncertain(&self, lock: ObjectId) -> Option<Holding> {
        self.uncertain_at(self.catalog.key(lock)?)
    }

    fn uncertain_at(&self, key: Key) -> Option<Holding> {
        let holding = self.holding_at(key)?;
        self.sessions[&holding.session].deferral.may_have_released(key).then_some(holding)
    }

    fn holding_at(&self, key: Key) -> Option<Holding> {
        let object = self.catalog.at(key);
        match &object.body {
            Body::Lock(lock) => {
                let holder = lock.holder()?;
                Some(Holding { session: holder.caller.session, lock: object.id, number: holder.holding })
            }
            _ => None,
        }
    }

    /// Carries out a deferred release that was found.
    pub(crate) fn apply_deferred_release(&mut self, Holding { session, lock, number: holding }: Holding) {
        let caller = Caller { session, thread: ThreadId::default() };
        // A refusal means that the session no longer holds it, and nobody waits for that answer.
        let _ = self.release_lock(caller, lock, Some(holding));
    }

    /// Notes that a session shares memory for deferred releases with the driver.
    pub(crate) fn deferred_releases_shared(&mut self, id: SessionId) {
        if let Some(session) = self.sessions.get_mut(&id) {
            session.deferral.is_shared = true;
            if !session.deferral.wanted.is_empty() {
                session.deferral.report_wanted(id, None, &mut self.effects);
            }
        }
    }

    /// Notes that a thread waits for a lock, if it is held. `may_be_released` says whether the holder may have
    /// released it meanwhile, because it did not know.
    pub(crate) fn lock_wanted(&mut self, key: Key, may_be_released: bool) {
        if let Some(holding) = self.holding_at(key)
            && let Some(holder) = self.sessions.get_mut(&holding.session)
            && holder.deferral.wanted.insert(key, ())
        {
            let looked_for = may_be_released.then_some(holding);
            holder.deferral.report_wanted(holding.session, looked_for, &mut self.effects);
        }
    }
}
