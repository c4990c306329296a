//! Ctrl-C: SIGINT stops the batches of a pool.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use protocol::StopSignal;
use signal_hook::consts::SIGINT;
use signal_hook::flag::register_conditional_default;
use signal_hook::iterator::{Handle, Signals};
use sys::signals::SignalDisposition;

use crate::connection::link::Link;
use crate::pool::stopping::escalation::stop_batches;
use crate::pool::submitted_batches::SubmittedBatches;
use crate::sync::lock;
use crate::{Error, ErrorKind, Result};

/// The reason that tasks see.
const REASON: &str = "interrupted (SIGINT)";

/// Listens for interrupts on behalf of one pool, while this lives.
#[derive(Debug)]
pub(crate) struct Interrupts {
    signals: Handle,
    /// Waits for the signals.
    thread: Option<JoinHandle<()>>,
    was_interrupted: Arc<AtomicBool>,
    /// The process that this belongs to. A child that was forked from it has no such thread.
    process: u32,
    _listener: InterruptListener,
}

/// The state of the thread.
struct Listening {
    link: Arc<Link>,
    submitted_batches: Arc<SubmittedBatches>,
    grace: Duration,
    was_interrupted: Arc<AtomicBool>,
}

impl Interrupts {
    /// Starts to listen.
    pub(crate) fn listen(
        link: &Arc<Link>,
        submitted_batches: &Arc<SubmittedBatches>,
        grace: Duration,
    ) -> io::Result<Interrupts> {
        let listener = InterruptListener::begin()?;
        let mut signals = Signals::new([SIGINT])?;
        let handle = signals.handle();
        let was_interrupted = Arc::new(AtomicBool::new(false));
        let listening = Listening {
            link: Arc::clone(link),
            submitted_batches: Arc::clone(submitted_batches),
            grace,
            was_interrupted: Arc::clone(&was_interrupted),
        };
        let listen = move || signals.forever().for_each(|_| listening.interrupted());
        let thread = thread::Builder::new().name("pool interrupts".to_owned()).spawn(listen)?;
        let process = std::process::id();
        Ok(Interrupts {
            signals: handle,
            thread: Some(thread),
            was_interrupted,
            process,
            _listener: listener,
        })
    }

    /// Whether an interrupt has come.
    pub(crate) fn was_interrupted(&self) -> bool {
        self.was_interrupted.load(Ordering::SeqCst)
    }
}

impl Listening {
    fn interrupted(&self) {
        self.was_interrupted.store(true, Ordering::SeqCst);
        if let Err(error) = self.stop() {
            log::warn!("tasks could not be stopped after an interrupt: {error}");
        }
    }

    /// Kills the tasks that were asked to stop before, and asks the others to stop. Does not wait.
    fn stop(&self) -> Result<()> {
        let batches = self.submitted_batches.batches_to_stop(&self.link, REASON)?;
        let (asked, others): (Vec<_>, Vec<_>) =
            batches.into_iter().partition(|batch| batch.is_asked_to_stop());
        asked.iter().try_for_each(|batch| batch.signal(StopSignal::Kill))?;
        others.iter().try_for_each(|batch| batch.ask_to_stop(REASON))?;
        if others.is_empty() {
            return Ok(());
        }
        let grace = self.grace;
        let escalate = move || {
            if let Err(error) = stop_batches(&others, REASON, grace) {
                log::warn!("tasks could not be stopped after an interrupt: {error}");
            }
        };
        // On a thread of its own, so that this one can wait for the next interrupt.
        let started = thread::Builder::new().name("pool stop".to_owned()).spawn(escalate);
        started
            .map(drop)
            .map_err(|error| Error::new(ErrorKind::Other, format!("a thread cannot be started: {error}")))
    }
}

impl Drop for Interrupts {
    fn drop(&mut self) {
        if self.process != std::process::id() {
            return;
        }
        self.signals.close();
        // It waits only for signals, so it ends at once. Another thread may still be stopping tasks.
        if let Some(Err(_)) = self.thread.take().map(JoinHandle::join) {
            log::error!("the thread that waits for interrupts has panicked");
        }
    }
}

/// Counts one listener while it lives. While there is none, SIGINT does what it did before the first one.
#[derive(Debug)]
struct InterruptListener;

/// How many listeners there are, and whether there are none, as the signal handler sees it.
static LISTENERS: Mutex<usize> = Mutex::new(0);
static HAS_NO_LISTENER: OnceLock<Arc<AtomicBool>> = OnceLock::new();

impl InterruptListener {
    fn begin() -> io::Result<InterruptListener> {
        let mut listeners = lock(&LISTENERS);
        if HAS_NO_LISTENER.get().is_none() {
            let has_no_listener = Arc::new(AtomicBool::new(false));
            // A handler stays installed, and replaces the signal's default action. So the handler performs that action
            // if it was in force.
            if interrupts_end_this_process() {
                register_conditional_default(SIGINT, Arc::clone(&has_no_listener))?;
            }
            HAS_NO_LISTENER.get_or_init(|| has_no_listener);
        }
        *listeners += 1;
        InterruptListener::publish(*listeners);
        Ok(InterruptListener)
    }

    fn publish(listeners: usize) {
        if let Some(has_no_listener) = HAS_NO_LISTENER.get() {
            has_no_listener.store(listeners == 0, Ordering::SeqCst);
        }
    }
}

impl Drop for InterruptListener {
    fn drop(&mut self) {
        let mut listeners = lock(&LISTENERS);
        *listeners -= 1;
        InterruptListener::publish(*listeners);
    }
}

/// Whether SIGINT is neither caught nor ignored.
fn interrupts_end_this_process() -> bool {
    sys::signals::disposition(SIGINT) == Some(SignalDisposition::Default)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interrupt_that_is_caught_does_not_end_this_process() {
        let seen = Arc::new(AtomicBool::new(false));
        signal_hook::flag::register(SIGINT, seen).unwrap();
        assert!(!interrupts_end_this_process());
    }
}
