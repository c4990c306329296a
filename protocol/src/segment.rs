//! Segments: memory that the manager shares with its clients, beside the socket. Here is what stands where in them.
//!
//! A segment saves trips and changes no meaning. Who has none, because the system can not share memory or the client
//! does not ask, gets the same answers by requests.
//!
//! All words are in the byte order of the machine: a segment never leaves it.

use serde::{Deserialize, Serialize};

/// Which memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Segment {
    /// What the manager writes and all clients read: see [`mirror`].
    Mirror,
    /// What this session and the manager write: see [`ledger`].
    Ledger,
}

/// The mirror: the flags of events, to be read without a round trip. An array of words of 32 bits.
///
/// The first word tells whether the manager lives. Each event that is mirrored then has two words, its *state* and
/// its *serial*, at the number that [`Reply::Mirrored`](crate::Reply::Mirrored) told. A reader loads the state, then
/// the serial; if the serial is not the one that it was told, the event is no more, and the state is another's.
pub mod mirror {
    /// Where the word stands that tells whether the manager lives: the number of its thread, until it ends.
    pub const KEEPER: usize = 0;

    /// The bit of the keeper's word that is set when the manager has ended, by itself or, if it was killed, by the
    /// kernel. It is that of a robust futex.
    pub const ENDED: u32 = 0x4000_0000;

    /// The words before those of the first event: a cache line, so that they are not written to with it.
    const HEADER_WORDS: usize = 16;

    /// Where the state of an event stands.
    pub const fn state_at(number: u32) -> usize {
        HEADER_WORDS + 2 * number as usize
    }

    /// Where the serial of an event stands.
    pub const fn serial_at(number: u32) -> usize {
        state_at(number) + 1
    }

    /// How many bytes a mirror of so many events has.
    pub const fn bytes(events: usize) -> usize {
        (HEADER_WORDS + 2 * events) * size_of::<u32>()
    }

    /// The state of an event: the lowest bit is the flag, the others count how often it was set.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct State(pub u32);

    impl State {
        /// Whether the event is set.
        pub const fn is_set(self) -> bool {
            self.0 & 1 == 1
        }

        /// The state after the event, which is not set, was set.
        pub const fn after_set(self) -> State {
            State((self.0 & !1).wrapping_add(2) | 1)
        }

        /// The state after the event was cleared.
        pub const fn after_clear(self) -> State {
            State(self.0 & !1)
        }

        /// Whether the event was set between an earlier state and this one, whatever happened then. It does not see
        /// 2³¹ sets, or a multiple of these.
        pub const fn was_set_since(self, earlier: State) -> bool {
            self.0 >> 1 != earlier.0 >> 1
        }
    }
}

/// The ledger of a session: the locks that it gave back and has not told of, for the manager to look up when somebody
/// wants one. An array of words of 64 bits.
///
/// A client that gives a lock back enters the number of the holding, and sends the
/// [`Release`](crate::Request::Release) with its next request; but at once if it sees that one of its locks is
/// wanted. The manager counts the locks of the session that are wanted, then looks for an entry. So one of the two
/// sees the other, in whatever order they come. Who takes an entry out, by an atomic exchange with 0, is the one who
/// carries out the release or sends it: the other does nothing.
pub mod ledger {
    /// How many words a ledger has: a page of 4096 bytes.
    pub const WORDS: usize = 512;

    /// Where the manager counts the locks of the session that are wanted.
    pub const WANTED: usize = 0;

    /// Where the client tells how many entries, from the first on, it ever used.
    pub const USED: usize = 1;

    /// Where the first entry stands; the others follow. An entry is the number of a holding, or 0.
    pub const ENTRIES: usize = 2;

    /// How many entries there are.
    pub const ENTRIES_MAX: usize = WORDS - ENTRIES;
}

#[cfg(test)]
mod tests {
    use super::mirror::*;

    #[test]
    fn a_set_is_seen_even_if_a_clear_follows() {
        let before = State::default();
        let set = before.after_set();
        let cleared = set.after_clear();
        assert_eq!((before.is_set(), set.is_set(), cleared.is_set()), (false, true, false));
        assert!(set.was_set_since(before) && cleared.was_set_since(before));
        assert!(!cleared.was_set_since(set));
        let last = State(u32::MAX - 1);
        assert!(last.after_set().is_set() && last.after_set().was_set_since(last));
    }

    #[test]
    fn the_words_of_events_stand_apart() {
        assert_eq!((state_at(0), serial_at(0), state_at(1)), (16, 17, 18));
        assert_eq!(bytes(2), 4 * (serial_at(1) + 1));
    }
}
