//! A descriptor by which one thread ends the poll of another (eventfd(2)).

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::{EventfdFlags, eventfd};

/// Readable from a [`wake`](Self::wake) on, until [`take`](Self::take).
#[derive(Debug)]
pub struct WakeDescriptor {
    counter: OwnedFd,
}

impl WakeDescriptor {
    /// One that is not readable yet.
    ///
    /// # Errors
    ///
    /// If there is no room for another descriptor.
    pub fn new() -> io::Result<WakeDescriptor> {
        Ok(WakeDescriptor { counter: eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)? })
    }

    /// Makes it readable, for whoever polls it now or later.
    pub fn wake(&self) {
        // It fails only if the counter overflows, and then it is readable.
        let _ = rustix::io::write(&self.counter, &1_u64.to_ne_bytes());
    }

    /// Makes it unreadable again. Returns whether it was readable.
    pub fn take(&self) -> bool {
        rustix::io::read(&self.counter, &mut [0; 8]).is_ok()
    }
}

impl AsFd for WakeDescriptor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.counter.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::poll::is_readable_within;

    fn is_readable(descriptor: &WakeDescriptor) -> bool {
        is_readable_within(descriptor, Duration::ZERO).unwrap()
    }

    #[test]
    fn it_is_readable_from_a_wake_until_it_is_taken() {
        let descriptor = WakeDescriptor::new().unwrap();
        assert!(!is_readable(&descriptor) && !descriptor.take());
        descriptor.wake();
        descriptor.wake();
        assert!(is_readable(&descriptor) && descriptor.take());
        assert!(!is_readable(&descriptor) && !descriptor.take(), "two wakes are taken at once");
    }
}
