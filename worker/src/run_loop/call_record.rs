//! The call record: what this worker has done of a grant and not reported, in memory that the manager reads if this
//! process dies.
//!
//! A kill can come between any two stores. So each number is stored after what it counts, and the manager takes no more
//! than the numbers say. [`protocol::shared_memory::call_record`] describes the memory.

use std::sync::atomic::{AtomicU64, Ordering};

use protocol::ObjectId;
use protocol::shared_memory::call_record::{BATCH, BEGUN, BYTES, ENDED, FIRST, RESULTS, WORDS};
use sys::shared_memory::SharedWords;

/// The bytes of a word.
const WORD_BYTES: usize = size_of::<u64>();

/// Writes the record of this worker.
#[derive(Debug)]
pub(crate) struct CallRecordWriter {
    words: SharedWords<AtomicU64>,
}

impl CallRecordWriter {
    /// A record in memory that nothing else in this process uses. None if the memory is too small.
    pub(crate) fn new(words: SharedWords<AtomicU64>) -> Option<CallRecordWriter> {
        (words.len() >= WORDS).then_some(CallRecordWriter { words })
    }

    /// Begins the record of granted calls, of which this is the first.
    pub(crate) fn start(&self, batch: ObjectId, first: u64) {
        // As long as the id is not whole, the record is of no batch.
        self.store(BATCH, 0);
        self.store(BATCH + 1, 0);
        self.store(FIRST, first);
        self.store(ENDED, first);
        self.store(BEGUN, first);
        self.store(BYTES, 0);
        let (id, _) = batch.0.as_bytes().as_chunks::<WORD_BYTES>();
        self.store(BATCH, u64::from_ne_bytes(id[0]));
        self.store(BATCH + 1, u64::from_ne_bytes(id[1]));
    }

    /// Notes that all calls before this one have begun.
    pub(crate) fn note_begun(&self, next: u64) {
        self.store(BEGUN, next);
    }

    /// Notes that all calls before this one have ended, after the results of the last were appended to those that were
    /// not reported, at this position.
    pub(crate) fn note_returned(&self, next: u64, results: &[u8], position: usize) {
        let first = position / WORD_BYTES;
        let (words, rest) = results[first * WORD_BYTES..].as_chunks::<WORD_BYTES>();
        let places = &self.words[RESULTS + first..];
        for (place, word) in places.iter().zip(words) {
            place.store(u64::from_ne_bytes(*word), Ordering::Release);
        }
        if !rest.is_empty() {
            let mut last = [0; WORD_BYTES];
            last[..rest.len()].copy_from_slice(rest);
            places[words.len()].store(u64::from_ne_bytes(last), Ordering::Release);
        }
        self.store(BYTES, results.len() as u64);
        self.store(ENDED, next);
    }

    /// Notes that the ends of all calls before this one were reported.
    pub(crate) fn note_reported(&self, next: u64) {
        self.store(FIRST, next);
        self.store(ENDED, next);
        self.store(BYTES, 0);
    }

    fn store(&self, place: usize, value: u64) {
        self.words[place].store(value, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use sys::shared_memory::Writers;
    use uuid::Uuid;

    use super::*;

    #[test]
    fn results_stand_as_bytes_and_numbers_follow_them() {
        let (words, _) = SharedWords::create(WORDS * WORD_BYTES, Writers::All).unwrap();
        let record = CallRecordWriter::new(words).unwrap();
        let numbers =
            || [FIRST, ENDED, BEGUN, BYTES].map(|place| record.words[place].load(Ordering::Relaxed));
        record.start(ObjectId(Uuid::from_u128(7)), 100);
        record.note_begun(101);
        assert_eq!(numbers(), [100, 100, 101, 0]);
        let id = [BATCH, BATCH + 1].map(|place| record.words[place].load(Ordering::Relaxed).to_ne_bytes());
        assert_eq!(id.concat(), Uuid::from_u128(7).as_bytes());

        let mut results = Vec::new();
        for (next, length) in (101..).zip([3, 0, 5, 17, 8, 1]) {
            let position = results.len();
            results.extend((0..length).map(|byte| byte as u8 + 1));
            record.note_returned(next, &results, position);
        }
        assert_eq!(numbers(), [100, 106, 101, 34]);
        let stored: Vec<u8> = record.words[RESULTS..]
            .iter()
            .flat_map(|word| word.load(Ordering::Relaxed).to_ne_bytes())
            .collect();
        assert_eq!(stored[..34], results);
        record.note_reported(106);
        assert_eq!(numbers(), [106, 106, 101, 0]);
    }

    #[test]
    fn memory_without_room_is_no_record() {
        let (words, _) = SharedWords::create(4096, Writers::All).unwrap();
        assert!(CallRecordWriter::new(words).is_none());
    }
}
