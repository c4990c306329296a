//! A wait for an event, as a descriptor that can be polled.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use client::internal::operations::{Cancel, EventTarget, WaitFor};
use client::internal::{Link, Operation, this_thread};
use client::{Event, Result};
use protocol::RequestId;
use sys::wake::WakeDescriptor;

use crate::error::failed;

/// Waits for an event on a thread of its own, and makes a descriptor readable when the wait has ended: because the
/// event is set, or because the wait failed, as when the manager is gone.
///
/// Dropping it ends the wait.
#[derive(Debug)]
pub(crate) struct StopWatch {
    link: Arc<Link>,
    request: RequestId,
    ended: Arc<WakeDescriptor>,
}

impl StopWatch {
    /// Starts to wait.
    pub(crate) fn start(event: &Event) -> Result<StopWatch> {
        let (link, id) = (event.reference().link()?, event.reference().id());
        let ended = Arc::new(WakeDescriptor::new().map_err(|error| failed(&error))?);
        let wait = WaitFor { target: EventTarget { id }, timeout_ns: None, thread: this_thread() };
        let pending = link.begin(wait.into_request())?;
        let watch = StopWatch { link: Arc::clone(link), request: pending.request(), ended };
        let ended = Arc::clone(&watch.ended);
        let thread = std::thread::Builder::new().name("stop watch".to_owned());
        let spawned = thread.spawn(move || {
            // Whatever the outcome, the poller has to look.
            let _ = pending.wait();
            ended.wake();
        });
        spawned.map_err(|error: io::Error| failed(&error))?;
        Ok(watch)
    }
}

impl AsFd for StopWatch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.ended.as_fd()
    }
}

impl Drop for StopWatch {
    fn drop(&mut self) {
        // If the manager is gone, the wait has ended.
        let _ = self.link.send(Cancel { request: self.request }.into_request());
    }
}
