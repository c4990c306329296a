//! Locks and sleep, as this crate uses them.
//!
//! The locks are the standard library's, which on Linux are plain words in memory: a child process that was forked
//! while other threads slept on some lock can still use every other one. Locks that keep their sleepers in a table of
//! the process do not allow this.
//!
//! Files that pass values between threads use only what is here, so that a model checker can run them with its own
//! types: see `tests/reader_role`.

use std::ops::Deref;
use std::sync::PoisonError;
pub(crate) use std::sync::atomic::{AtomicU32, Ordering};
pub(crate) use std::sync::{Mutex, MutexGuard};

use sys::futex::{self, Sleepers};

/// Locks, even after another holder panicked: no code of this crate leaves a locked value half changed.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A word on which threads of this process sleep.
#[derive(Debug, Default)]
pub(crate) struct SleepWord(AtomicU32);

impl SleepWord {
    /// Sleeps until another thread wakes the word, if its value is `expected`. May also return for no reason.
    pub(crate) fn sleep(&self, expected: u32) {
        futex::wait(&self.0, expected, Sleepers::OfThisProcess, None);
    }

    /// Wakes one thread that sleeps on the word.
    pub(crate) fn wake_one(&self) {
        futex::wake_one(&self.0, Sleepers::OfThisProcess);
    }
}

impl Deref for SleepWord {
    type Target = AtomicU32;

    fn deref(&self) -> &AtomicU32 {
        &self.0
    }
}
