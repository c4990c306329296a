//! Threads as the manager knows them.

use std::sync::atomic::{AtomicU64, Ordering};

use protocol::ThreadId;

/// The number of this thread among those of the process: from 1, never used again.
pub fn this_thread() -> ThreadId {
    thread_local! {
        static OWN: ThreadId = next();
    }
    // In the destructor of a thread-local value, this one may be gone. Each call then counts as a thread of its own, so
    // that it cannot own what another thread has taken.
    OWN.try_with(|own| *own).unwrap_or_else(|_| next())
}

fn next() -> ThreadId {
    static LAST: AtomicU64 = AtomicU64::new(0);
    ThreadId(LAST.fetch_add(1, Ordering::Relaxed) + 1)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn every_thread_has_its_own_number() {
        let here = this_thread();
        assert_eq!(here, this_thread());
        let there = std::thread::spawn(this_thread).join().unwrap();
        assert_ne!(here, there);
        assert_ne!(there, ThreadId::default());
    }

    /// Tells two numbers of its thread when that ends.
    struct Last(Cell<Option<mpsc::Sender<[ThreadId; 2]>>>);

    impl Drop for Last {
        fn drop(&mut self) {
            if let Some(sender) = self.0.take() {
                sender.send([this_thread(), this_thread()]).unwrap();
            }
        }
    }

    #[test]
    fn a_thread_that_ends_shares_no_number_with_another() {
        thread_local!(static LAST: Last = const { Last(Cell::new(None)) });
        let ends = || {
            let (sender, receiver) = mpsc::channel();
            std::thread::spawn(move || {
                // The order of the first uses of the two decides whether the number is gone before this.
                LAST.with(|last| last.0.set(Some(sender)));
                this_thread();
            });
            receiver.recv().unwrap()
        };
        let (first, second) = (ends(), ends());
        assert!(first.iter().all(|number| !second.contains(number) && *number != ThreadId::default()));
    }
}
