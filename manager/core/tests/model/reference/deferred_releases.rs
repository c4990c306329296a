//! Deferred releases: how many locks of a session are wanted ("Deferred releases").

use manager_core::Holding;
use protocol::{ObjectId, Request, Selector, SessionId, Signal, Target};

use super::effects::Expected;
use super::waits::Want;
use super::{Body, Model};

impl Model {
    pub(crate) fn deferred_releases_shared(&mut self, session: SessionId) {
        let sharing = self.sessions.get_mut(&session).unwrap();
        sharing.defers = true;
        if sharing.wanted > 0 {
            self.report_wanted(session, None);
        }
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
            self.sessions.get_mut(&session).unwrap().wanted += 1;
            self.report_wanted(session, may_be_released.then_some(holding));
        }
    }

    /// Counts a lock as wanted no longer, since it is not held.
    pub(crate) fn lock_unwanted(&mut self, session: SessionId) {
        if let Some(holder) = self.sessions.get_mut(&session) {
            holder.wanted -= 1;
            self.report_wanted(session, None);
        }
    }

    fn report_wanted(&mut self, session: SessionId, holding: Option<Holding>) {
        let sharing = &self.sessions[&session];
        if sharing.defers {
            let wanted = sharing.wanted;
            self.effects.push(Expected::Wanted { session, wanted, holding });
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
