//! Looking for an answer for a moment before sleeping until it comes.
//!
//! Most calls that travel alone are short, and to wake a thread on a core that has gone idle takes longer than they do.
//! So whoever waits for one keeps its core awake for a moment, and gives it to anybody who has something to do on it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::yield_now;
use std::time::{Duration, Instant};

use protocol::Reply;

use crate::Result;
use crate::connection::link::Pending;

/// How long the moment is: two or three times what a short call takes.
const MOMENT: Duration = Duration::from_micros(100);

/// Whether a thread of this process is looking. Many at a time would only keep each other from it.
static IS_LOOKING: AtomicBool = AtomicBool::new(false);

/// The answer to a request, if it comes in a moment. None: sleep until it comes.
pub(crate) fn poll_briefly(pending: &mut Pending) -> Result<Option<Reply>> {
    if IS_LOOKING.swap(true, Ordering::Relaxed) {
        return Ok(None);
    }
    let reply = look(pending);
    IS_LOOKING.store(false, Ordering::Relaxed);
    reply
}

fn look(pending: &mut Pending) -> Result<Option<Reply>> {
    let began = Instant::now();
    loop {
        let reply = pending.try_take()?;
        if reply.is_some() || began.elapsed() > MOMENT {
            return Ok(reply);
        }
        yield_now();
    }
}
