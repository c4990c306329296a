//! Sleeping on a word of memory until another thread, or another process, wakes the sleeper (futex(2)).
//!
//! The word is what counts. A sleep ends when another thread wakes the sleeper, when the time is over, at once if the
//! word is not the expected one, or for no reason at all; so a sleeper looks at the word again. For the same reason
//! nothing here fails: a sleep that the system refuses counts as one that ended early.

use std::sync::atomic::AtomicU32;
use std::time::Duration;

use rustix::event::Timespec;
use rustix::thread::futex;

/// Whose threads sleep on a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sleepers {
    /// Threads of this process alone, which costs the kernel less.
    OfThisProcess,
    /// Threads of any process that has the word's memory mapped.
    OfAnyProcess,
}

impl Sleepers {
    fn flags(self) -> futex::Flags {
        match self {
            Sleepers::OfThisProcess => futex::Flags::PRIVATE,
            Sleepers::OfAnyProcess => futex::Flags::empty(),
        }
    }
}

/// Sleeps on the word until a wake-up, if it still is `expected`, for at most `timeout`; with `None`, forever.
#[inline]
pub fn wait(word: &AtomicU32, expected: u32, sleepers: Sleepers, timeout: Option<Duration>) {
    // A time that the system cannot count is forever.
    let timeout = timeout.and_then(|timeout| Timespec::try_from(timeout).ok());
    let _ = futex::wait(word, sleepers.flags(), expected, timeout.as_ref());
}

/// Wakes one thread that sleeps on the word, if one does.
#[inline]
pub fn wake_one(word: &AtomicU32, sleepers: Sleepers) {
    let _ = futex::wake(word, sleepers.flags(), 1);
}

/// Wakes all threads that sleep on the word.
#[inline]
pub fn wake_all(word: &AtomicU32, sleepers: Sleepers) {
    let _ = futex::wake(word, sleepers.flags(), i32::MAX.cast_unsigned());
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;
    use std::time::Instant;

    use super::*;

    #[test]
    fn a_sleeper_goes_on_when_it_is_woken() {
        for sleepers in [Sleepers::OfThisProcess, Sleepers::OfAnyProcess] {
            let word = AtomicU32::new(0);
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    while word.load(Ordering::SeqCst) == 0 {
                        wait(&word, 0, sleepers, None);
                    }
                });
                word.store(1, Ordering::SeqCst);
                wake_one(&word, sleepers);
                wake_all(&word, sleepers);
            });
        }
    }

    #[test]
    fn a_sleep_ends_with_its_time_and_does_not_begin_on_another_word() {
        let word = AtomicU32::new(0);
        let began = Instant::now();
        wait(&word, 1, Sleepers::OfThisProcess, None);
        wait(&word, 0, Sleepers::OfThisProcess, Some(Duration::from_millis(1)));
        assert!(began.elapsed() < Duration::from_secs(20));
    }
}
