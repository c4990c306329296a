//! Ledgers: what a session gives back without sending it, and when to look for that.
//!
//! A session with a ledger may have given a lock back that the core takes for held: the release waits in memory until
//! somebody wants the lock. Nothing of that is a state of the core. A release that is found in a ledger does what a
//! [`Request::Release`] does, as an input of its own: [`Input::DeferredRelease`](crate::Input::DeferredRelease). The core says when to
//! look:
//!
//! - A lock for which somebody waits is *wanted*. When it becomes that, [`Effect::Want`] has the ledger looked into and
//!   tells the holder to send its release from now on.
//! - A request whose answer depends on who holds a lock [is in doubt](State::uncertain_holdings), before it is applied.
//! - What a session has left in its ledger is looked for [among its holdings](State::holdings), before its end is
//!   applied.

use protocol::{ObjectId, Request, Selector, SessionId, Signal, Target, ThreadId};
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use crate::objects::Body;
use crate::store::slab::Key;
use crate::waiting::wait::Caller;
use crate::{Effect, State};

/// A lock that is held, as far as the core knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Holding {
    /// Who holds it.
    pub session: SessionId,
    /// The lock or reentrant lock.
    pub lock: ObjectId,
    /// The number of the holding.
    pub hold: u64,
}

impl State {
    /// The locks whose holders may have given them back in their ledgers, and on which the answer to a request depends.
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
                    Signal::Release { id, hold: None } => self.uncertain(*id),
                    _ => None,
                };
                released
                    .into_iter()
                    .chain(targets.iter().filter_map(|target| self.uncertain_target(target)))
                    .collect()
            }
            Request::Inspect { object: Selector::Id(id) }
            | Request::ForceRelease { id }
            | Request::Release { id, hold: None, .. } => self.uncertain(*id).into_iter().collect(),
            Request::Inspect { object: Selector::Name(name) } => {
                let key = self.catalog.key_of_name(name);
                key.and_then(|key| self.uncertain_at(key)).into_iter().collect()
            }
            _ => SmallVec::new(),
        }
    }

    /// The locks that a session holds.
    pub fn holdings(&self, session: SessionId) -> impl Iterator<Item = Holding> {
        let held = self.sessions.get(&session).into_iter().flat_map(|session| &session.held);
        held.filter_map(|&key| self.holding_at(key))
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
        match &self.catalog.at(key).body {
            // Who holds a lock that is wanted sends its release.
            Body::Lock(lock) if lock.holder().is_some_and(|holder| !holder.is_wanted) => {
                self.holding_at(key).filter(|holding| self.sessions[&holding.session].defers_releases)
            }
            _ => None,
        }
    }

    fn holding_at(&self, key: Key) -> Option<Holding> {
        let object = self.catalog.at(key);
        match &object.body {
            Body::Lock(lock) => {
                let holder = lock.holder()?;
                Some(Holding { session: holder.caller.session, lock: object.id, hold: holder.hold })
            }
            _ => None,
        }
    }

    /// Gives back what was found in a ledger.
    pub(crate) fn apply_deferred_release(&mut self, Holding { session, lock, hold }: Holding) {
        let caller = Caller { session, thread: ThreadId::default() };
        // A refusal says that the session does not hold it any more, and nobody is there to be told.
        let _ = self.release_lock(caller, lock, Some(hold));
    }

    /// Notes that a session shares a ledger with whoever drives this.
    pub(crate) fn deferred_releases_shared(&mut self, session: SessionId) {
        let sharer = self.session_at(session);
        sharer.defers_releases = true;
        if sharer.wanted > 0 {
            self.report_wanted(session, None);
        }
    }

    /// Notes that somebody waits for a lock that is held. `is_news` says whether its holder may have given it back
    /// meanwhile, as it did not know that.
    pub(crate) fn lock_wanted(&mut self, key: Key, is_news: bool) {
        let Some(holder) = self.lock_at(key).holder_mut().filter(|holder| !holder.is_wanted) else {
            return;
        };
        holder.is_wanted = true;
        let session = holder.caller.session;
        self.session_at(session).wanted += 1;
        let holding = if is_news { self.holding_at(key) } else { None };
        self.report_wanted(session, holding);
    }

    /// Notes that a lock is not held any more that was wanted.
    pub(crate) fn lock_unwanted(&mut self, session: SessionId) {
        if let Some(holder) = self.sessions.get_mut(&session) {
            holder.wanted -= 1;
            self.report_wanted(session, None);
        }
    }

    fn report_wanted(&mut self, session: SessionId, holding: Option<Holding>) {
        let Some(holder) = self.sessions.get(&session) else { return };
        if holder.defers_releases {
            self.effects.push(Effect::LocksWanted { session, wanted: holder.wanted, holding });
        }
    }
}
