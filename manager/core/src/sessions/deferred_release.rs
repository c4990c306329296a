//! Ledgers: what a session gives back without sending it, and when to look for that.
//!
//! A session with a ledger may have given a lock back that the core takes for held: the release waits in memory until
//! somebody wants the lock. Nothing of that is a state of the core. A release that is found in a ledger does what a
//! [`Request::Release`] does, as an input of its own: [`Input::Found`](crate::Input::Found). The core says when to
//! look:
//!
//! - A lock for which somebody waits is *wanted*. When it becomes that, [`Effect::Want`] has the ledger looked into and
//!   tells the holder to send its release from now on.
//! - A request whose answer depends on who holds a lock [is in doubt](State::doubts), before it is applied.
//! - What a session has left in its ledger is looked for [among its holdings](State::holdings), before its end is
//!   applied.

use protocol::{ObjectId, Request, Selector, SessionId, Signal, Target, ThreadId};
use smallvec::SmallVec;

use crate::store::catalog::Body;
use crate::store::slab::Key;
use crate::waiting::wait::Caller;
use crate::{Effect, State};

/// A lock that is held, as far as the core knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
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
    pub fn doubts(&self, request: &Request<'_>) -> SmallVec<[Holding; 1]> {
        let mut doubts = self.doubts_in_order(request);
        if doubts.len() > 1 {
            doubts.sort_unstable();
            doubts.dedup();
        }
        doubts
    }

    fn doubts_in_order(&self, request: &Request<'_>) -> SmallVec<[Holding; 1]> {
        match request {
            Request::Wait { targets, .. } => {
                targets.iter().filter_map(|target| self.doubt_of(target)).collect()
            }
            Request::SignalAndWait { signal, targets, .. } => {
                let released = match signal {
                    Signal::Release { id, hold: None } => self.doubt(*id),
                    _ => None,
                };
                released
                    .into_iter()
                    .chain(targets.iter().filter_map(|target| self.doubt_of(target)))
                    .collect()
            }
            Request::Inspect { object: Selector::Id(id) }
            | Request::ForceRelease { id }
            | Request::Release { id, hold: None, .. } => self.doubt(*id).into_iter().collect(),
            Request::Inspect { object: Selector::Name(name) } => {
                let key = self.catalog.key_of_name(name);
                key.and_then(|key| self.doubt_at(key)).into_iter().collect()
            }
            _ => SmallVec::new(),
        }
    }

    /// The locks that a session holds.
    pub fn holdings(&self, session: SessionId) -> impl Iterator<Item = Holding> {
        let held = self.sessions.get(&session).into_iter().flat_map(|session| &session.held);
        held.filter_map(|&key| self.holding_at(key))
    }

    fn doubt_of(&self, target: &Target<'_>) -> Option<Holding> {
        match target {
            Target::Lock { id } | Target::RLock { id } => self.doubt(*id),
            _ => None,
        }
    }

    fn doubt(&self, lock: ObjectId) -> Option<Holding> {
        self.doubt_at(self.catalog.key(lock)?)
    }

    fn doubt_at(&self, key: Key) -> Option<Holding> {
        match &self.catalog.at(key).body {
            // Who holds a lock that is wanted sends its release.
            Body::Lock(lock) if lock.holder().is_some_and(|holder| !holder.is_wanted) => {
                self.holding_at(key).filter(|holding| self.sessions[&holding.session].has_ledger)
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
    pub(crate) fn release_found(&mut self, Holding { session, lock, hold }: Holding) {
        let caller = Caller { session, thread: ThreadId::default() };
        // A refusal says that the session does not hold it any more, and nobody is there to be told.
        let _ = self.release_lock(caller, lock, Some(hold));
    }

    /// Notes that a session shares a ledger with whoever drives this.
    pub(crate) fn ledger_shared(&mut self, session: SessionId) {
        let sharer = self.session_at(session);
        sharer.has_ledger = true;
        if sharer.wanted > 0 {
            self.tell_wanted(session, None);
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
        self.tell_wanted(session, holding);
    }

    /// Notes that a lock is not held any more that was wanted.
    pub(crate) fn lock_unwanted(&mut self, session: SessionId) {
        if let Some(holder) = self.sessions.get_mut(&session) {
            holder.wanted -= 1;
            self.tell_wanted(session, None);
        }
    }

    fn tell_wanted(&mut self, session: SessionId, holding: Option<Holding>) {
        let Some(holder) = self.sessions.get(&session) else { return };
        if holder.has_ledger {
            self.effects.push(Effect::Want { session, wanted: holder.wanted, holding });
        }
    }
}
