//! Memory that the manager shares with its clients, beside the socket: what there is, and its layout.
//!
//! Shared memory saves round trips and changes no meaning. A client without it, because the system cannot share memory
//! or because the client does not ask, gets the same answers by requests.
//!
//! All words are in the byte order of the machine, since the memory never leaves it.

use serde::{Deserialize, Serialize};

/// Which memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SharedMemory {
    /// The manager writes it and all clients read it: see [`mirror`].
    Mirror,
    /// This session and the manager write it: see [`deferred_releases`].
    DeferredReleases,
    /// This session writes it, and the manager reads it when the session has ended: see [`call_record`].
    CallRecord,
}

/// The mirror: the flags of events, to be read without a round trip. An array of words of 32 bits.
///
/// The first word tells whether the manager lives. Each event that is mirrored then has two words, its *state* and
/// its *serial*, at the number that [`Reply::Mirrored`](crate::Reply::Mirrored) gives. A reader loads the state, then
/// the serial. If the serial differs from the one in the reply, the event no longer exists, and the state belongs to
/// another.
pub mod mirror {
    use serde::{Deserialize, Serialize};

    /// The index of the word that tells whether the manager lives: it holds the number of the manager's thread until
    /// that thread ends.
    pub const LIVENESS: usize = 0;

    /// The bit of the liveness word that is set once the manager has ended: the manager sets it, or the kernel does if
    /// the manager is killed. It is the bit that the kernel sets in a robust futex.
    pub const ENDED: u32 = 0x4000_0000;

    /// The words before those of the first event. They fill a cache line, so that no event shares one with the
    /// liveness word.
    const HEADER_WORDS: usize = 16;

    /// The index of an event's state.
    pub const fn state_at(number: u32) -> usize {
        HEADER_WORDS + 2 * number as usize
    }

    /// The index of an event's serial.
    pub const fn serial_at(number: u32) -> usize {
        state_at(number) + 1
    }

    /// The size in bytes of a mirror with room for this number of events.
    pub const fn bytes(events: usize) -> usize {
        (HEADER_WORDS + 2 * events) * size_of::<u32>()
    }

    /// The state of an event: the lowest bit is the flag, the others count how often it was set.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
    pub struct EventState(pub u32);

    impl EventState {
        /// Whether the event is set.
        pub const fn is_set(self) -> bool {
            self.0 & 1 == 1
        }

        /// The state after a clear event was set.
        pub const fn after_set(self) -> EventState {
            EventState((self.0 & !1).wrapping_add(2) | 1)
        }

        /// The state after the event was cleared.
        pub const fn after_clear(self) -> EventState {
            EventState(self.0 & !1)
        }

        /// Whether the event was set between an earlier state and this one, even if it was cleared again. The count
        /// wraps: exactly 2³¹ sets, or a multiple of that, look like none.
        pub const fn was_set_since(self, earlier: EventState) -> bool {
            self.0 >> 1 != earlier.0 >> 1
        }
    }
}

/// The deferred releases of a session: the locks that it released without sending a request, for the manager to look
/// up as soon as another thread wants one. An array of words of 64 bits.
///
/// To release a lock, a client writes the number of the holding into a free entry, and sends the
/// [`Release`](crate::Request::Release) with its next request; it sends it at once if it sees that one of its locks is
/// wanted. The manager counts the session's locks that are wanted, then looks for an entry. Whatever the order, one of
/// the two sees what the other did. Both take an entry out by an atomic exchange with 0. The side that gets the number
/// carries out the release or sends it; the other side gets 0 and does nothing.
pub mod deferred_releases {
    /// The number of words: a page of 4096 bytes.
    pub const WORDS: usize = 512;

    /// The index of the manager's count of the session's locks that are wanted.
    pub const WANTED: usize = 0;

    /// The index of the client's count of entries, from the first on, that it has ever used.
    pub const USED: usize = 1;

    /// The index of the first entry; the others follow. An entry is the number of a holding, or 0 if it is free.
    pub const ENTRIES: usize = 2;

    /// The number of entries.
    pub const ENTRIES_MAX: usize = WORDS - ENTRIES;
}

/// The call record of a worker: which of the calls that it was granted have begun, and the results of those that
/// returned. The manager reads it when the session has ended, so that a death costs one call at most. An array of words
/// of 64 bits, then bytes.
///
/// A report costs a write and wakes the manager, which is much for a short call. A worker with a record may report
/// several calls at once, as long as the record has what it did not report. All numbers in it are those of calls in
/// their batch. The record has the results of the calls from [`FIRST`] up to [`ENDED`], without the latter. The calls
/// before [`BEGUN`] have begun, and no other.
///
/// - To begin with other calls than before, the worker clears [`BATCH`], sets `FIRST`, `ENDED` and `BEGUN` to the
///   number of the first, [`BYTES`] to 0, and then `BATCH`. As long as the record names no batch, or other calls than
///   the session was granted, none of these has begun.
/// - Before it begins a call, it sets `BEGUN` to the number of the next.
/// - When a call has returned, it appends the result to [`RESULTS`], sets `BYTES`, then `ENDED`.
/// - When it has sent the results as a [`CallsEnd`](crate::Request::CallsEnd), it sets `FIRST` to `ENDED`,
///   then `BYTES` to 0. What the manager then finds twice counts once.
///
/// A call that failed, or whose result carries proxies or has no room, does not go into the record. The worker reports
/// it, after all that stands in the record, before it begins the next call; then `FIRST` and `ENDED` are the number of
/// the next.
///
/// Each store is to become visible after those before it. A worker that ends in the middle of them has lost nothing.
///
/// [`BATCH`]: call_record::BATCH
/// [`FIRST`]: call_record::FIRST
/// [`ENDED`]: call_record::ENDED
/// [`BEGUN`]: call_record::BEGUN
/// [`BYTES`]: call_record::BYTES
/// [`RESULTS`]: call_record::RESULTS
pub mod call_record {
    /// The index of the first of two words with the id of the batch, in the order of its bytes; both are 0 for none.
    pub const BATCH: usize = 0;

    /// The index of the number of the first call whose result stands in the record.
    pub const FIRST: usize = 2;

    /// The index of the number of the first call that has not ended.
    pub const ENDED: usize = 3;

    /// The index of the number of the first call that has not begun.
    pub const BEGUN: usize = 4;

    /// The index of the number of bytes of the results.
    pub const BYTES: usize = 5;

    /// The index of the first word of the results: see [`calls`](crate::calls). They are bytes, whatever the byte order
    /// of the machine.
    pub const RESULTS: usize = 8;

    /// The number of words, results included: 64 KiB.
    pub const WORDS: usize = 8_192;

    /// The most bytes of results.
    pub const RESULTS_BYTES_MAX: usize = (WORDS - RESULTS) * size_of::<u64>();
}

#[cfg(test)]
mod tests {
    use super::mirror::*;

    #[test]
    fn a_set_is_seen_even_if_a_clear_follows() {
        let before = EventState::default();
        let set = before.after_set();
        let cleared = set.after_clear();
        assert_eq!((before.is_set(), set.is_set(), cleared.is_set()), (false, true, false));
        assert!(set.was_set_since(before) && cleared.was_set_since(before));
        assert!(!cleared.was_set_since(set));
        let last = EventState(u32::MAX - 1);
        assert!(last.after_set().is_set() && last.after_set().was_set_since(last));
    }

    #[test]
    fn the_words_of_events_stand_apart() {
        assert_eq!((state_at(0), serial_at(0), state_at(1)), (16, 17, 18));
        assert_eq!(bytes(2), 4 * (serial_at(1) + 1));
    }
}
