//! What the client takes from its module of this name, in the form of the model checker.

use std::ops::Deref;

use loom::sync::Condvar;
pub(crate) use loom::sync::atomic::{AtomicU32, Ordering};
pub(crate) use loom::sync::{Mutex, MutexGuard};

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("a panic ends the test")
}

/// A word on which threads sleep. As with a futex, the look at the word and the sleep are one step, under the kernel's
/// lock.
#[derive(Debug, Default)]
pub(crate) struct SleepWord {
    word: AtomicU32,
    kernel: Mutex<()>,
    woken: Condvar,
}

impl SleepWord {
    pub(crate) fn sleep(&self, expected: u32) {
        let kernel = lock(&self.kernel);
        if self.word.load(Ordering::Relaxed) == expected {
            drop(self.woken.wait(kernel));
        }
    }

    pub(crate) fn wake_one(&self) {
        let _kernel = lock(&self.kernel);
        self.woken.notify_one();
    }
}

impl Deref for SleepWord {
    type Target = AtomicU32;

    fn deref(&self) -> &AtomicU32 {
        &self.word
    }
}
