//! Locks, as this crate uses them.
//!
//! They are the standard library's, which on Linux are plain words in memory: a child process that was forked
//! while other threads slept on some lock can still use every other one. A lock that keeps its sleepers in a
//! table of the process does not give that.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks, also after another holder panicked: no code of this crate leaves what is locked half changed.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
