//! The ledger of this process: the locks that it gave back without telling the manager, which looks there when somebody
//! wants one.
//!
//! To give a lock back is a write into memory, and its request waits for the next one of this process, whatever that
//! is. So nobody is woken for a lock that nobody wants. If somebody does want one, the manager has said so in the
//! ledger, and the request is sent at once. The page of the protocol tells why one of the two always sees the other.

use std::sync::atomic::{AtomicU64, Ordering};

use protocol::shared_memory::deferred_releases::{ENTRIES, ENTRIES_MAX, USED, WANTED};
use protocol::{ObjectId, Request, ThreadId};

use crate::connection::shared_memory::Segment;

/// A lock that is given back.
#[derive(Clone, Copy, Debug)]
pub(crate) struct GivenBack {
    /// The lock.
    pub(crate) lock: ObjectId,
    /// The holding that ends.
    pub(crate) hold: u64,
    /// The thread that acquired it.
    pub(crate) thread: ThreadId,
}

/// The ledger of a connection.
#[derive(Debug)]
pub(crate) struct Ledger {
    /// The memory, which the manager writes, too.
    words: Segment<AtomicU64>,
    /// What stands in the entries, in the order in which it was given back.
    entered: Vec<(usize, GivenBack)>,
    /// Entries that were used and are free.
    free: Vec<usize>,
    /// How many entries were ever used.
    used: usize,
}

impl GivenBack {
    /// What tells the manager.
    pub(crate) fn request(&self) -> Request<'static> {
        Request::Release { id: self.lock, hold: Some(self.hold), thread: self.thread }
    }
}

impl Ledger {
    /// A ledger in memory that nobody else of this process uses.
    pub(crate) fn new(words: Segment<AtomicU64>) -> Ledger {
        Ledger { words, entered: Vec::new(), free: Vec::new(), used: 0 }
    }

    /// Enters a lock that is given back. False if it is to be told at once, as somebody wants a lock of this process or
    /// the ledger is full, and nothing was entered.
    pub(crate) fn enter(&mut self, given: GivenBack) -> bool {
        let Some(entry) = self.free_entry() else { return false };
        self.words[entry].store(given.hold, Ordering::SeqCst);
        // In this order: the manager says first that a lock is wanted, and looks into the entries then.
        if self.words[WANTED].load(Ordering::SeqCst) == 0 {
            self.entered.push((entry, given));
            return true;
        }
        // If the manager has found it already, it has done what was to be told.
        !self.take_out(entry, given.hold)
    }

    /// Takes out the entries that the manager has not found, to be told: the oldest first.
    pub(crate) fn drain(&mut self, mut tell: impl FnMut(GivenBack)) {
        let mut entered = std::mem::take(&mut self.entered);
        for (entry, given) in entered.drain(..) {
            if self.take_out(entry, given.hold) {
                tell(given);
            }
        }
        // For its memory.
        self.entered = entered;
    }

    /// Whether nothing waits to be told.
    pub(crate) fn is_empty(&self) -> bool {
        self.entered.is_empty()
    }

    /// Frees an entry. False if the manager was faster.
    fn take_out(&mut self, entry: usize, hold: u64) -> bool {
        self.free.push(entry);
        self.words[entry].compare_exchange(hold, 0, Ordering::SeqCst, Ordering::SeqCst).is_ok()
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

#[cfg(test)]
pub(crate) mod tests {
    use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, ftruncate, memfd_create};
    use uuid::Uuid;

    use super::*;
    use crate::connection::shared_memory::Access;

    /// A ledger, and the memory as the manager sees it.
    pub(crate) fn shared() -> (Ledger, Segment<AtomicU64>) {
        let memory = memfd_create("test", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING).unwrap();
        ftruncate(&memory, 4096).unwrap();
        fcntl_add_seals(&memory, SealFlags::SHRINK).unwrap();
        let map = || Segment::map(memory.try_clone().unwrap(), 4096, Access::Write).unwrap();
        (Ledger::new(map()), map())
    }

    pub(crate) fn given(hold: u64) -> GivenBack {
        GivenBack { lock: ObjectId(Uuid::nil()), hold, thread: ThreadId(1) }
    }

    fn told(ledger: &mut Ledger) -> Vec<u64> {
        let mut told = Vec::new();
        ledger.drain(|given| told.push(given.hold));
        told
    }

    #[test]
    fn what_is_entered_is_told_later_in_order_and_once() {
        let (mut ledger, manager) = shared();
        assert!((1..=3).all(|hold| ledger.enter(given(hold))));
        assert_eq!(manager[USED].load(Ordering::SeqCst), 3);
        assert!(!ledger.is_empty());
        assert_eq!(told(&mut ledger), [1, 2, 3]);
        assert_eq!(told(&mut ledger), []);
        assert!(manager[ENTRIES..].iter().all(|entry| entry.load(Ordering::SeqCst) == 0));
        assert!(ledger.enter(given(4)));
        assert_eq!(manager[USED].load(Ordering::SeqCst), 3, "entries are used again");
    }

    #[test]
    fn what_the_manager_has_found_is_not_told() {
        let (mut ledger, manager) = shared();
        assert!(ledger.enter(given(1)) && ledger.enter(given(2)));
        manager[ENTRIES].store(0, Ordering::SeqCst);
        assert_eq!(told(&mut ledger), [2]);
    }

    #[test]
    fn while_something_is_wanted_everything_is_told_at_once() {
        let (mut ledger, manager) = shared();
        manager[WANTED].store(1, Ordering::SeqCst);
        assert!(!ledger.enter(given(1)));
        assert!(ledger.is_empty());
        assert!(manager[ENTRIES..].iter().all(|entry| entry.load(Ordering::SeqCst) == 0));
    }

    #[test]
    fn a_full_ledger_takes_no_more() {
        let (mut ledger, _) = shared();
        let entered = (1..=u64::MAX).take_while(|&hold| ledger.enter(given(hold))).count();
        assert_eq!(entered, ENTRIES_MAX);
        assert_eq!(told(&mut ledger).len(), ENTRIES_MAX);
        assert!(ledger.enter(given(1)));
    }
}
