//! Deferred releases: this process releases locks in memory that it shares with the manager, without a request.
//!
//! A release is a write into that memory, and its request leaves with the next request of this process, whichever that
//! is. So no process wakes up for a lock that nobody wants. Once somebody wants one, the manager says so in the same
//! memory, and this process sends its releases at once. PROTOCOL.md explains why one of the two always sees the other.

use std::sync::atomic::{AtomicU64, Ordering};

use client_core::{DeferredRelease, ReleaseMemory};
use protocol::shared_memory::deferred_releases::{ENTRIES, ENTRIES_MAX, USED, WANTED};
use sys::shared_memory::SharedWords;

/// The deferred releases of one connection.
#[derive(Debug)]
pub(crate) struct SharedReleaseMemory {
    /// The memory, which the manager writes as well.
    words: SharedWords<AtomicU64>,
    /// The releases in the entries, in their order.
    entered: Vec<(usize, DeferredRelease)>,
    /// Entries that were used and are free.
    free: Vec<usize>,
    /// How many entries were ever used.
    used: usize,
}

impl SharedReleaseMemory {
    /// In memory that nothing else in this process uses.
    pub(crate) fn new(words: SharedWords<AtomicU64>) -> SharedReleaseMemory {
        SharedReleaseMemory { words, entered: Vec::new(), free: Vec::new(), used: 0 }
    }

    /// Frees an entry. Returns false if the manager was faster.
    fn take_out(&mut self, entry: usize, holding: u64) -> bool {
        self.free.push(entry);
        self.words[entry].compare_exchange(holding, 0, Ordering::SeqCst, Ordering::SeqCst).is_ok()
    }

    fn free_entry(&mut self) -> Option<usize> {
        if let Some(entry) = self.free.pop() {
            return Some(entry);
        }
        if self.used == ENTRIES_MAX.min(self.words.len().saturating_sub(ENTRIES)) {
            return None;
        }
        self.used += 1;
        self.words[USED].store(self.used as u64, Ordering::SeqCst);
        Some(ENTRIES + self.used - 1)
    }
}

impl ReleaseMemory for SharedReleaseMemory {
    fn enter(&mut self, release: DeferredRelease) -> bool {
        let Some(entry) = self.free_entry() else { return false };
        self.words[entry].store(release.holding, Ordering::SeqCst);
        // The order matters: the manager first says that a lock is wanted, and then looks into the entries.
        if self.words[WANTED].load(Ordering::SeqCst) == 0 {
            self.entered.push((entry, release));
            return true;
        }
        // If the manager has found the entry already, it has released the lock.
        !self.take_out(entry, release.holding)
    }

    fn drain(&mut self, mut take: impl FnMut(DeferredRelease)) {
        let mut entered = std::mem::take(&mut self.entered);
        for (entry, release) in entered.drain(..) {
            if self.take_out(entry, release.holding) {
                take(release);
            }
        }
        // The vector keeps its memory.
        self.entered = entered;
    }

    fn is_empty(&self) -> bool {
        self.entered.is_empty()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use protocol::{ObjectId, ThreadId};
    use sys::shared_memory::{Access, Writers};
    use uuid::Uuid;

    use super::*;

    /// Deferred releases, and their memory as the manager sees it.
    pub(crate) fn shared() -> (SharedReleaseMemory, SharedWords<AtomicU64>) {
        let (manager, descriptor) = SharedWords::create(4096, Writers::All).unwrap();
        let ours = SharedWords::map(descriptor, 4096, Access::Write).unwrap();
        (SharedReleaseMemory::new(ours), manager)
    }

    pub(crate) fn release(holding: u64) -> DeferredRelease {
        DeferredRelease { lock: ObjectId(Uuid::nil()), holding, thread: ThreadId(1) }
    }

    fn sent(releases: &mut SharedReleaseMemory) -> Vec<u64> {
        let mut sent = Vec::new();
        releases.drain(|release| sent.push(release.holding));
        sent
    }

    #[test]
    fn entries_are_sent_later_in_order_and_once() {
        let (mut releases, manager) = shared();
        assert!((1..=3).all(|holding| releases.enter(release(holding))));
        assert_eq!(manager[USED].load(Ordering::SeqCst), 3);
        assert!(!releases.is_empty());
        assert_eq!(sent(&mut releases), [1, 2, 3]);
        assert_eq!(sent(&mut releases), []);
        assert!(manager[ENTRIES..].iter().all(|entry| entry.load(Ordering::SeqCst) == 0));
        assert!(releases.enter(release(4)));
        assert_eq!(manager[USED].load(Ordering::SeqCst), 3, "entries are used again");
    }

    #[test]
    fn an_entry_that_the_manager_has_found_is_not_sent() {
        let (mut releases, manager) = shared();
        assert!(releases.enter(release(1)) && releases.enter(release(2)));
        manager[ENTRIES].store(0, Ordering::SeqCst);
        assert_eq!(sent(&mut releases), [2]);
    }

    #[test]
    fn while_a_lock_is_wanted_nothing_is_entered() {
        let (mut releases, manager) = shared();
        manager[WANTED].store(1, Ordering::SeqCst);
        assert!(!releases.enter(release(1)));
        assert!(releases.is_empty());
        assert!(manager[ENTRIES..].iter().all(|entry| entry.load(Ordering::SeqCst) == 0));
    }

    #[test]
    fn once_all_entries_are_in_use_nothing_is_entered() {
        let (mut releases, _) = shared();
        let entered = (1..=u64::MAX).take_while(|&holding| releases.enter(release(holding))).count();
        assert_eq!(entered, ENTRIES_MAX);
        assert_eq!(sent(&mut releases).len(), ENTRIES_MAX);
        assert!(releases.enter(release(1)));
    }
}
