//! Deadlocks ("Deadlocks"): waits that would never end.

use std::collections::BTreeSet;

use protocol::{Code, RequestId, SessionId};

use super::waits::{Wait, Want};
use super::{Body, Caller, Model};

impl Model {
    /// Whether a wait would never end if it blocked.
    pub(crate) fn is_deadlock(&self, wait: &Wait) -> bool {
        // Most waits have a way out of their own.
        self.lock_holders(wait).is_some() && self.deadlocked(Some(wait)).contains(&wait.caller)
    }

    /// The threads whose waits would never end, with this wait if there is one. All count as deadlocked at first; then
    /// those are saved that have a way out, until nobody is.
    fn deadlocked(&self, asking: Option<&Wait>) -> BTreeSet<Caller> {
        let waits: Vec<&Wait> = self.waits.values().chain(asking).collect();
        let mut deadlocked: BTreeSet<Caller> = waits.iter().map(|wait| wait.caller).collect();
        loop {
            let saved = waits.iter().find(|wait| {
                let ends = match self.lock_holders(wait) {
                    None => true,
                    // Some other thread gives back one of the locks, or, in a wait for all, each of them.
                    Some(holders) if wait.is_for_all => {
                        holders.iter().all(|holder| !deadlocked.contains(holder))
                    }
                    Some(holders) => holders.iter().any(|holder| !deadlocked.contains(holder)),
                };
                ends && deadlocked.contains(&wait.caller)
            });
            match saved {
                // Another wait of the same thread is a way out, too: it may give back what the thread holds.
                Some(wait) => deadlocked.remove(&wait.caller),
                None => return deadlocked,
            };
        }
    }

    /// Who holds the locks that a wait is for; none if the wait may end in another way.
    fn lock_holders(&self, wait: &Wait) -> Option<Vec<Caller>> {
        if wait.deadline.is_some() {
            return None;
        }
        let mut holders = Vec::new();
        for want in &wait.targets {
            let holder = match want {
                Want::Lock(id) | Want::Relock(id) => match &self.objects[id].body {
                    Body::Lock(lock) => lock
                        .holder
                        .as_ref()
                        // A reentrant lock is ready for its holder.
                        .filter(|holder| !(lock.is_reentrant && holder.caller == wait.caller)),
                    _ => None,
                },
                _ => None,
            };
            match holder {
                Some(holder) => holders.push(holder.caller),
                None if !wait.is_for_all => return None,
                None => {}
            }
        }
        Some(holders)
    }

    /// The threads that hold the locks for which a thread waits, and those for which these wait.
    fn waited_for(&self, caller: Caller) -> BTreeSet<Caller> {
        let mut found = BTreeSet::new();
        let mut reached = vec![caller];
        while let Some(caller) = reached.pop() {
            let waits = self.waits.values().filter(|wait| wait.caller == caller);
            for holder in waits.filter_map(|wait| self.lock_holders(wait)).flatten() {
                if found.insert(holder) {
                    reached.push(holder);
                }
            }
        }
        found
    }

    /// Refuses one wait in a cycle that a wait for its own lock has closed in this input.
    pub(crate) fn break_one_deadlock(&mut self) -> bool {
        while let Some(&key) = self.relocking.last() {
            let deadlocked = match self.waits.get(&key) {
                Some(wait) if self.lock_holders(wait).is_some() => self.deadlocked(None),
                _ => BTreeSet::new(),
            };
            let caller = self.waits.get(&key).map(|wait| wait.caller);
            if let Some(caller) = caller.filter(|caller| deadlocked.contains(caller)) {
                let before = self.waited_for(caller);
                let may_be_refused = |(_, wait): &(&u64, &Wait)| {
                    before.contains(&wait.caller)
                        && deadlocked.contains(&wait.caller)
                        && wait.decided.is_none()
                };
                let candidates: Vec<u64> =
                    self.waits.iter().filter(may_be_refused).map(|(&key, _)| key).collect();
                // Where several cycles meet, the page does not say which of them counts.
                let name = |key: u64| (self.waits[&key].caller.session, self.waits[&key].request);
                let of_name = |of: &(SessionId, RequestId)| candidates.iter().find(|&&key| name(key) == *of);
                // Nor does it say more of threads that wait in several ways, which can be in a deadlock already.
                let waits_once =
                    |caller: &Caller| self.waits.values().filter(|wait| wait.caller == *caller).count() == 1;
                let is_in_cycle = |key: &&u64| {
                    before.iter().all(waits_once)
                        && self.waited_for(self.waits[*key].caller).contains(&caller)
                };
                let youngest = candidates.iter().rev().find(is_in_cycle);
                let chosen = self.choices.iter().find_map(of_name).or(youngest).copied();
                if let Some(chosen) = chosen {
                    let wait = &self.waits[&chosen];
                    let name = (wait.caller.session, wait.request);
                    self.choices.retain(|other| *other != name);
                    self.refuse_wait(chosen, Code::Deadlock);
                    return true;
                }
            }
            self.relocking.pop();
        }
        false
    }
}
