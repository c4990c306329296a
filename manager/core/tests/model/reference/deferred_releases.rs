//! Deferred releases: how many locks of a session are wanted ("Deferred releases").
//!
//! The page says what the number is after an input. While an input is carried out, it may take values that do not last,
//! and a lock that goes on may be wanted by a wait that ends in the same input: that is taken from the core.

use std::collections::BTreeMap;

use manager_core::{Effect, Holding};
use protocol::{ObjectId, Request, Selector, SessionId, Signal, Target};

use super::locks::Holder;
use super::waits::Want;
use super::{Body, Model};

impl Model {
    pub(crate) fn deferred_releases_shared(&mut self, session: SessionId) {
        let sharing = self.sessions.get_mut(&session).unwrap();
        sharing.defers = true;
        self.wanted_before.insert(session, 0);
    }

    /// Whether a blocked wait is for this lock.
    pub(crate) fn is_lock_awaited(&self, id: ObjectId) -> bool {
        let is_for = |want: &Want| matches!(want, Want::Lock(other) | Want::Relock(other) if *other == id);
        self.waits.values().any(|wait| wait.targets.iter().any(is_for))
    }

    /// Counts a lock as wanted, if it is held and does not count yet. Its holder may have released it, if it did not
    /// know.
    pub(crate) fn lock_wanted(&mut self, id: ObjectId, may_be_released: bool) {
        let Ok(lock) = self.lock(id) else { return };
        if let Some(holder) = &mut lock.holder
            && !holder.is_wanted
        {
            holder.is_wanted = true;
            let session = holder.caller.session;
            let holding = Holding { session, lock: id, number: holder.holding };
            let sharing = self.sessions.get_mut(&session).unwrap();
            sharing.wanted += 1;
            if sharing.defers {
                self.wanted_before.entry(session).or_insert(sharing.wanted - 1);
                self.looked_for.extend(may_be_released.then_some(holding));
            }
        }
    }

    /// Counts a lock as wanted no longer, since it is not held.
    pub(crate) fn lock_unwanted(&mut self, session: SessionId) {
        if let Some(holder) = self.sessions.get_mut(&session) {
            holder.wanted -= 1;
            if holder.defers {
                self.wanted_before.entry(session).or_insert(holder.wanted + 1);
            }
        }
    }

    /// Compares how many locks of each session are wanted, and for which of them the core looks for a release.
    pub(crate) fn compare_wanted(&mut self, effects: &[Effect]) -> Result<(), String> {
        let mut looked_for = std::mem::take(&mut self.looked_for);
        let mut actual: BTreeMap<SessionId, u64> = BTreeMap::new();
        for effect in effects {
            let Effect::LocksWanted { session, wanted, holding } = effect else { continue };
            actual.insert(*session, *wanted);
            if let Some(found) = holding {
                let is_same = |one: &Holding| {
                    (one.session, one.lock) == (found.session, found.lock)
                        && (one.number == found.number || one.number > self.known.holding)
                };
                looked_for.retain(|one| !is_same(one));
            }
        }
        if !looked_for.is_empty() {
            return Err(format!("the core does not look for the releases of {looked_for:?}"));
        }
        for (&session, &wanted) in &actual {
            if !self.sessions.contains_key(&session) {
                continue;
            }
            let expected = self.wanted_by(session);
            self.adopt_wanted(session, wanted.saturating_sub(expected));
            let expected = self.wanted_by(session);
            if wanted != expected {
                return Err(format!(
                    "the core says that {wanted} locks of {session:?} are wanted, not {expected}"
                ));
            }
        }
        let before = std::mem::take(&mut self.wanted_before);
        let is_silent = |(session, before): &(SessionId, u64)| {
            self.sessions.contains_key(session)
                && self.wanted_by(*session) != *before
                && !actual.contains_key(session)
        };
        match before.into_iter().find(is_silent) {
            Some((session, _)) => {
                Err(format!("the core does not say how many locks of {session:?} are wanted"))
            }
            None => Ok(()),
        }
    }

    fn wanted_by(&self, session: SessionId) -> u64 {
        self.sessions.get(&session).map_or(0, |session| session.wanted)
    }

    /// Takes as wanted up to `count` of the locks that a session got in this input: waits for them ended meanwhile.
    fn adopt_wanted(&mut self, session: SessionId, count: u64) {
        let known = self.known;
        let locks = self.objects.values_mut().filter_map(|object| match &mut object.body {
            Body::Lock(lock) => lock.holder.as_mut(),
            _ => None,
        });
        let is_candidate = |holder: &&mut Holder| {
            holder.caller.session == session && holder.holding > known.holding && !holder.is_wanted
        };
        let mut adopted = 0;
        for holder in locks.filter(is_candidate).take(count as usize) {
            holder.is_wanted = true;
            adopted += 1;
        }
        if let Some(session) = self.sessions.get_mut(&session) {
            session.wanted += adopted;
        }
    }

    /// The locks on which the answer to a request depends and that may have been released in memory.
    pub(crate) fn uncertain(&self, request: &Request<'_>) -> Vec<Holding> {
        let lock_of = |target: &Target<'_>| match target {
            Target::Lock { id } | Target::RLock { id } => Some(*id),
            _ => None,
        };
        let named = |name: &str| {
            let mut objects = self.objects.iter();
            objects.find(|(_, object)| object.name.as_deref() == Some(name)).map(|(&id, _)| id)
        };
        let locks: Vec<ObjectId> = match request {
            Request::Wait { targets, .. } => targets.iter().filter_map(lock_of).collect(),
            Request::SignalAndWait { signal, targets, .. } => {
                let released = match signal {
                    Signal::Release { id, holding: None } => Some(*id),
                    _ => None,
                };
                released.into_iter().chain(targets.iter().filter_map(lock_of)).collect()
            }
            Request::Inspect { object: Selector::Name(name) } => named(name).into_iter().collect(),
            Request::Inspect { object: Selector::Id(id) }
            | Request::ForceRelease { id }
            | Request::Release { id, holding: None, .. } => vec![*id],
            _ => Vec::new(),
        };
        let mut uncertain: Vec<Holding> = locks
            .into_iter()
            .filter_map(|id| match &self.objects.get(&id)?.body {
                Body::Lock(lock) => {
                    let holder = lock.holder.as_ref().filter(|holder| !holder.is_wanted)?;
                    let session = holder.caller.session;
                    let holding = Holding { session, lock: id, number: holder.holding };
                    self.sessions[&session].defers.then_some(holding)
                }
                _ => None,
            })
            .collect();
        uncertain.sort_unstable();
        uncertain.dedup();
        uncertain
    }
}
