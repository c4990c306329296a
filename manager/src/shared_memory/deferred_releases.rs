//! The deferred releases of a session, as the manager sees them: locks that the client has released without a request.
//!
//! The client writes whatever it likes, but can only take from itself: the manager looks up its entries among its own
//! holdings, and reads nothing else.

use std::collections::BTreeSet;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use protocol::shared_memory::deferred_releases::{ENTRIES, ENTRIES_MAX, USED, WANTED, WORDS};
use sys::shared_memory::{SharedWords, Writers};

/// The deferred releases of one session.
#[derive(Debug)]
pub(crate) struct DeferredReleaseMemory {
    /// The memory, which the client writes, too.
    words: SharedWords<AtomicU64>,
}

impl DeferredReleaseMemory {
    /// Makes room for them, and returns it with what the client needs to map it.
    pub(crate) fn new() -> io::Result<(DeferredReleaseMemory, Arc<OwnedFd>)> {
        let (words, descriptor) = SharedWords::create(WORDS * size_of::<u64>(), Writers::All)?;
        Ok((DeferredReleaseMemory { words }, Arc::new(descriptor)))
    }

    /// How many bytes there are to be mapped.
    pub(crate) fn bytes(&self) -> usize {
        self.words.bytes()
    }

    /// Tells the client how many of its locks are wanted. From now on it sends what it releases; a look that follows
    /// this call sees what it released before.
    pub(crate) fn tell_wanted(&self, wanted: u64) {
        self.words[WANTED].store(wanted, Ordering::SeqCst);
    }

    /// Takes a holding out, and returns how often it was there: a reentrant lock may be given back more than once.
    pub(crate) fn take(&self, holding: u64) -> usize {
        let is_taken = |entry: &&AtomicU64| {
            // A look costs little, however many entries the client has.
            entry.load(Ordering::SeqCst) == holding
                && entry.compare_exchange(holding, 0, Ordering::SeqCst, Ordering::SeqCst).is_ok()
        };
        self.used().iter().filter(is_taken).count()
    }

    /// All holdings that are there.
    pub(crate) fn entries(&self) -> BTreeSet<u64> {
        let entries = self.used().iter().map(|entry| entry.load(Ordering::SeqCst));
        entries.filter(|&holding| holding != 0).collect()
    }

    fn used(&self) -> &[AtomicU64] {
        let used = self.words[USED].load(Ordering::SeqCst).min(ENTRIES_MAX as u64);
        &self.words[ENTRIES..ENTRIES + used as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_holding_is_taken_as_often_as_it_is_there() {
        let (releases, _) = DeferredReleaseMemory::new().unwrap();
        for (entry, holding) in [(0, 7), (1, 8), (2, 7)] {
            releases.words[ENTRIES + entry].store(holding, Ordering::SeqCst);
        }
        assert_eq!(releases.take(7), 0, "the client has not told of any entries");
        releases.words[USED].store(3, Ordering::SeqCst);
        assert_eq!(releases.entries(), BTreeSet::from([7, 8]));
        assert_eq!((releases.take(7), releases.take(7), releases.take(8)), (2, 0, 1));
        assert_eq!(releases.entries(), BTreeSet::new());
    }

    #[test]
    fn nonsense_in_shared_memory_does_no_harm() {
        let (releases, _) = DeferredReleaseMemory::new().unwrap();
        releases.words.iter().for_each(|word| word.store(u64::MAX, Ordering::SeqCst));
        assert_eq!(releases.entries(), BTreeSet::from([u64::MAX]));
        assert_eq!(releases.take(1), 0);
        assert_eq!(releases.take(u64::MAX), ENTRIES_MAX);
    }
}
