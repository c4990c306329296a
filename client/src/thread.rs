//! Threads as the manager knows them.

use std::sync::atomic::{AtomicU64, Ordering};

use protocol::ThreadId;

/// The number of this thread among those of the process: from 1, never used again.
pub fn this_thread() -> ThreadId {
    static LAST: AtomicU64 = AtomicU64::new(0);
    thread_local! {
        static OWN: ThreadId = ThreadId(LAST.fetch_add(1, Ordering::Relaxed) + 1);
    }
    // In the destructor of a thread-local value, this one may be gone. The thread takes nothing more that
    // lasts.
    OWN.try_with(|own| *own).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_thread_has_its_own_number() {
        let here = this_thread();
        assert_eq!(here, this_thread());
        let there = std::thread::spawn(this_thread).join().unwrap();
        assert_ne!(here, there);
        assert_ne!(there, ThreadId::default());
    }
}
