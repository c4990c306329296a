//! The call record of a session, as the manager sees it: what a worker has done and not reported.
//!
//! The client writes whatever it likes, and may still write while the manager reads. So the manager reads everything
//! once, into memory of its own, and the core believes nothing of it but what is about calls of that session. Results
//! are overwritten only after FIRST or BATCH has changed; so if both are as before once the results have been read,
//! these are the results of the calls from FIRST on.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use manager_core::CallRecord;
use protocol::ObjectId;
use protocol::shared_memory::call_record::{
    BATCH, BEGUN, BYTES, ENDED, FIRST, RESULTS, RESULTS_BYTES_MAX, WORDS,
};
use sys::shared_memory::{SharedWords, Writers};
use uuid::Uuid;

/// How often to read a record that changes meanwhile.
const ATTEMPTS_MAX: u32 = 4;

/// The call record of one session.
#[derive(Debug)]
pub(crate) struct CallRecordMemory {
    /// The memory, which the client writes.
    words: SharedWords<AtomicU64>,
}

/// What stood in a call record.
#[derive(Debug)]
pub(crate) struct RecordContent {
    batch: ObjectId,
    first: u64,
    ended: u64,
    begun: u64,
    results: Vec<u8>,
}

impl CallRecordMemory {
    /// Makes room for a record, and returns it with what the client needs to map it.
    pub(crate) fn new() -> io::Result<(CallRecordMemory, Arc<OwnedFd>)> {
        let (words, descriptor) = SharedWords::create(WORDS * size_of::<u64>(), Writers::All)?;
        Ok((CallRecordMemory { words }, Arc::new(descriptor)))
    }

    /// How many bytes there are to be mapped.
    pub(crate) fn bytes(&self) -> usize {
        self.words.bytes()
    }

    /// Reads the record. None if the client goes on writing too fast.
    pub(crate) fn read(&self) -> Option<RecordContent> {
        (0..ATTEMPTS_MAX).find_map(|_| {
            let before = self.subject();
            let content = self.read_once();
            (self.subject() == before).then_some(content)
        })
    }

    /// Of what the results are.
    fn subject(&self) -> [u64; 3] {
        [BATCH, BATCH + 1, FIRST].map(|index| self.word(index))
    }

    fn read_once(&self) -> RecordContent {
        let batch = [BATCH, BATCH + 1].map(|index| self.word(index).to_ne_bytes());
        let mut id = [0; 16];
        id.copy_from_slice(batch.as_flattened());
        // The client stores these after the results.
        let (first, ended, begun) = (self.word(FIRST), self.word(ENDED), self.word(BEGUN));
        let bytes = self.word(BYTES).min(RESULTS_BYTES_MAX as u64) as usize;
        let words = (RESULTS..RESULTS + bytes.div_ceil(size_of::<u64>())).map(|index| self.word(index));
        let mut results: Vec<u8> = words.flat_map(u64::to_ne_bytes).collect();
        results.truncate(bytes);
        RecordContent { batch: ObjectId(Uuid::from_bytes(id)), first, ended, begun, results }
    }

    fn word(&self, index: usize) -> u64 {
        self.words[index].load(Ordering::Acquire)
    }
}

impl RecordContent {
    /// It as the core takes it.
    pub(crate) fn as_record(&self) -> CallRecord<'_> {
        let RecordContent { batch, first, ended, begun, ref results } = *self;
        CallRecord { batch, first, ended, begun, results }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;
    use std::thread;
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn a_record_is_read_as_it_was_written() {
        let (memory, _) = CallRecordMemory::new().unwrap();
        let id = Uuid::from_u128(0x0011_2233_4455_6677_8899_aabb_ccdd_eeff);
        let (high, low) = id.as_bytes().split_at(8);
        for (index, word) in [
            (BATCH, u64::from_ne_bytes(high.try_into().unwrap())),
            (BATCH + 1, u64::from_ne_bytes(low.try_into().unwrap())),
            (FIRST, 7),
            (ENDED, 9),
            (BEGUN, 10),
            (BYTES, 10),
            (RESULTS, u64::from_ne_bytes([1, 2, 3, 4, 5, 6, 7, 8])),
            (RESULTS + 1, u64::from_ne_bytes([9, 10, 11, 12, 0, 0, 0, 0])),
        ] {
            memory.words[index].store(word, Ordering::Release);
        }
        let results = &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10];
        let expected = CallRecord { batch: ObjectId(id), first: 7, ended: 9, begun: 10, results };
        assert_eq!(memory.read().unwrap().as_record(), expected);
    }

    #[test]
    fn a_record_that_is_written_meanwhile_has_the_results_of_its_calls() {
        let (memory, _) = CallRecordMemory::new().unwrap();
        let store = |index: usize, word| memory.words[index].store(word, Ordering::Release);
        store(BATCH, 1);
        let is_over = AtomicBool::new(false);
        // Each word of results tells its call, in the bytes behind their length.
        let result = |call: u64| call << 8 | 7;
        let mut read = 0;
        thread::scope(|scope| {
            scope.spawn(|| {
                let mut first = 0;
                while !is_over.load(Ordering::Relaxed) {
                    for place in 0..4 {
                        store(RESULTS + place, result(first + place as u64).to_le());
                        store(BYTES, 8 * (place as u64 + 1));
                        store(ENDED, first + place as u64 + 1);
                    }
                    first += 4;
                    store(FIRST, first);
                    store(BYTES, 0);
                }
            });
            let deadline = Instant::now() + Duration::from_secs(20);
            while read < 100_000 && Instant::now() < deadline {
                let Some(content) = memory.read() else { continue };
                let (words, _) = content.results.as_chunks::<8>();
                for (call, word) in (content.first..content.ended).zip(words) {
                    assert_eq!(u64::from_le_bytes(*word), result(call));
                    read += 1;
                }
            }
            is_over.store(true, Ordering::Relaxed);
        });
        assert!(read > 0);
    }

    #[test]
    fn nonsense_in_shared_memory_does_no_harm() {
        let (memory, _) = CallRecordMemory::new().unwrap();
        assert_eq!(memory.read().unwrap().results, []);
        memory.words.iter().for_each(|word| word.store(u64::MAX, Ordering::Release));
        let content = memory.read().unwrap();
        assert_eq!((content.ended, content.results.len()), (u64::MAX, RESULTS_BYTES_MAX));
    }
}
