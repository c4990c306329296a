//! The mirror as the manager writes it: what the core publishes, in memory that clients map for reading.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering, fence};

use manager_core::Publication;
use protocol::shared_memory::mirror::{LIVENESS, bytes, serial_at, state_at};
use rustix::thread::futex;

use super::liveness::Liveness;
use super::segment::{Segment, Writers};

/// The mirror of this manager.
#[derive(Debug)]
pub(crate) struct Mirror {
    /// Tells that the manager lives.
    _liveness: Liveness,
    /// The memory. It is never given back, as the kernel knows of a word in it. A process is a manager once.
    words: &'static Segment<AtomicU32>,
    /// What clients need to map it.
    descriptor: Arc<OwnedFd>,
}

impl Mirror {
    /// Makes a mirror for so many events. From now on this thread is what clients take for the manager.
    pub(crate) fn new(events_max: usize) -> io::Result<Mirror> {
        let (words, descriptor) = Segment::new(bytes(events_max), Writers::ThisProcess)?;
        let words = &*Box::leak(Box::new(words));
        Ok(Mirror { _liveness: Liveness::new(&words[LIVENESS])?, words, descriptor: Arc::new(descriptor) })
    }

    /// What a client needs to map it.
    pub(crate) fn descriptor(&self) -> &Arc<OwnedFd> {
        &self.descriptor
    }

    /// How many bytes there are to be mapped.
    pub(crate) fn bytes(&self) -> usize {
        self.words.bytes()
    }

    /// Writes what is to be read of one event, and wakes who sleeps there if there is something to wake for.
    pub(crate) fn write(&self, publication: Publication) {
        let Publication { number, serial, state } = publication;
        // Readers load the other way round, so who sees this state sees this serial.
        self.words[serial_at(number)].store(serial, Ordering::Relaxed);
        fence(Ordering::Release);
        let word = &self.words[state_at(number)];
        word.store(state.0, Ordering::Release);
        if state.is_set() {
            // Not private: those who sleep are in other processes. It fails for no reason that could be helped.
            let _ = futex::wake(word, futex::Flags::empty(), i32::MAX.cast_unsigned());
        }
    }
}
