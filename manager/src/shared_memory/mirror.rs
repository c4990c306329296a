//! The mirror as the manager writes it: what the core publishes, in memory that clients map for reading.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering, fence};

use manager_core::Publication;
use protocol::shared_memory::mirror::{ENDED, LIVENESS, bytes, serial_at, state_at};
use sys::futex::{self, Sleepers};
use sys::robust_list::{OWNER_DIED, RobustWord};
use sys::shared_memory::{SharedWords, Writers};

const _: () = assert!(ENDED == OWNER_DIED, "clients look for the bit that the kernel sets");

/// The mirror of this manager.
#[derive(Debug)]
pub(crate) struct Mirror {
    /// Shows that the manager lives.
    _liveness: RobustWord,
    /// The memory. It is never freed, because the kernel knows a word in it. A process is a manager once.
    words: &'static SharedWords<AtomicU32>,
    /// What clients need to map it.
    descriptor: Arc<OwnedFd>,
}

impl Mirror {
    /// Makes a mirror for this many events. From now on clients take this thread for the manager.
    pub(crate) fn new(events_max: usize) -> io::Result<Mirror> {
        let (words, descriptor) = SharedWords::create(bytes(events_max), Writers::ThisProcess)?;
        let words = &*Box::leak(Box::new(words));
        Ok(Mirror { _liveness: RobustWord::new(&words[LIVENESS])?, words, descriptor: Arc::new(descriptor) })
    }

    /// What a client needs to map it.
    pub(crate) fn descriptor(&self) -> &Arc<OwnedFd> {
        &self.descriptor
    }

    /// How many bytes there are to be mapped.
    pub(crate) fn bytes(&self) -> usize {
        self.words.bytes()
    }

    /// Writes the state of one event, and wakes its sleepers if it is set.
    pub(crate) fn write(&self, publication: Publication) {
        let Publication { number, serial, state } = publication;
        // Readers load in the opposite order, so a reader that sees this state sees this serial.
        self.words[serial_at(number)].store(serial, Ordering::Relaxed);
        fence(Ordering::Release);
        let word = &self.words[state_at(number)];
        word.store(state.0, Ordering::Release);
        if state.is_set() {
            futex::wake_all(word, Sleepers::OfAnyProcess);
        }
    }
}
