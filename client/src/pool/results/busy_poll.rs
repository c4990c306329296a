//! Polling for an answer for a moment before sleeping until it comes.
//!
//! Most calls that travel alone are short, and waking a thread on an idle core takes longer than they do. So the waiter
//! keeps its core awake for a moment, and yields it to every other thread that can run there.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::yield_now;
use std::time::{Duration, Instant};

use protocol::Reply;

use crate::Result;
use crate::connection::calls::PendingAnswer;

/// How long to poll: two or three times what a short call takes.
const POLL_TIME: Duration = Duration::from_micros(100);

/// Whether a thread of this process polls. Several at a time would only keep each other from running.
static IS_POLLING: AtomicBool = AtomicBool::new(false);

/// The answer to a request, if it comes in a moment; otherwise none, and the caller should sleep until it comes.
pub(crate) fn poll_briefly(pending: &mut PendingAnswer) -> Result<Option<Reply>> {
    if IS_POLLING.swap(true, Ordering::Relaxed) {
        return Ok(None);
    }
    let reply = poll(pending);
    IS_POLLING.store(false, Ordering::Relaxed);
    reply
}

fn poll(pending: &mut PendingAnswer) -> Result<Option<Reply>> {
    let began = Instant::now();
    loop {
        let reply = pending.try_take()?;
        if reply.is_some() || began.elapsed() > POLL_TIME {
            return Ok(reply);
        }
        yield_now();
    }
}
