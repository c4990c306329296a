//! Releases a lock or permits and waits for another object, in one step.

use std::time::Duration;

use crate::objects::wait::{common_link, signal_and_wait};
use crate::{LockGuard, Permit, Result, Taken, Waitable};

impl LockGuard {
    /// Releases the lock and waits for another object, in one round trip and one atomic step: the next waiter for the
    /// lock has it before the wait begins. None if the timeout ends first; the lock is released all the same.
    ///
    /// # Errors
    ///
    /// As with [`release`](Self::release), and then it does not wait; as with [`wait_any`](crate::wait_any), and then
    /// the lock is released all the same.
    pub fn release_and_wait(
        mut self,
        target: &dyn Waitable,
        timeout: impl Into<Option<Duration>>,
    ) -> Result<Option<Taken>> {
        self.check_held()?;
        // If this fails, nothing was sent, and the drop of this guard releases the lock.
        common_link([self.lock(), target.reference()].into_iter())?;
        self.disarm();
        signal_and_wait(self.lock(), self.release_operation(), target, timeout.into())
    }
}

impl Permit {
    /// Releases the permits and waits for another object, in one round trip and one atomic step: the next waiter for
    /// them has them before the wait begins. None if the timeout ends first; the permits are released all the same.
    ///
    /// # Errors
    ///
    /// As with [`release`](Self::release), and then it does not wait; as with [`wait_any`](crate::wait_any), and then
    /// the permits are released all the same.
    pub fn release_and_wait(
        mut self,
        target: &dyn Waitable,
        timeout: impl Into<Option<Duration>>,
    ) -> Result<Option<Taken>> {
        self.check_held()?;
        // If this fails, nothing was sent, and the drop of this releases the permits.
        common_link([self.semaphore(), target.reference()].into_iter())?;
        self.disarm();
        signal_and_wait(self.semaphore(), self.release_operation(), target, timeout.into())
    }
}
