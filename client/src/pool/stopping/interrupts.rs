//! Ctrl-C: SIGINT stops the batches of a pool.

use std::fs;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use protocol::StopSignal;
use signal_hook::consts::SIGINT;
use signal_hook::flag::register_conditional_default;
use signal_hook::iterator::{Handle, Signals};

use crate::connection::link::Link;
use crate::pool::stopping::escalation::stop_batches;
use crate::pool::submitted_batches::SubmittedBatches;
use crate::sync::lock;
use crate::{Error, ErrorKind, Result};

/// The reason that tasks are given.
const REASON: &str = "interrupted (SIGINT)";

/// Listens to interrupts for one pool, as long as it lives.
#[derive(Debug)]
pub(crate) struct Interrupts {
    signals: Handle,
    /// Hears the signals.
    thread: Option<JoinHandle<()>>,
    heard: Arc<AtomicBool>,
    /// The process that this belongs to. In a child that was forked from it there is no such thread.
    process: u32,
    _listener: Listener,
}

/// What the thread works with.
struct Listening {
    link: Arc<Link>,
    submitted_batches: Arc<SubmittedBatches>,
    grace: Duration,
    heard: Arc<AtomicBool>,
}

impl Interrupts {
    /// Begins to listen.
    pub(crate) fn listen(
        link: &Arc<Link>,
        submitted_batches: &Arc<SubmittedBatches>,
        grace: Duration,
    ) -> io::Result<Interrupts> {
        let listener = Listener::begin()?;
        let mut signals = Signals::new([SIGINT])?;
        let handle = signals.handle();
        let heard = Arc::new(AtomicBool::new(false));
        let listening = Listening {
            link: Arc::clone(link),
            submitted_batches: Arc::clone(submitted_batches),
            grace,
            heard: Arc::clone(&heard),
        };
        let listen = move || signals.forever().for_each(|_| listening.interrupted());
        let thread = thread::Builder::new().name("pool interrupts".to_owned()).spawn(listen)?;
        let process = std::process::id();
        Ok(Interrupts { signals: handle, thread: Some(thread), heard, process, _listener: listener })
    }

    /// Whether there was one.
    pub(crate) fn heard(&self) -> bool {
        self.heard.load(Ordering::SeqCst)
    }
}

impl Listening {
    fn interrupted(&self) {
        self.heard.store(true, Ordering::SeqCst);
        if let Err(error) = self.stop() {
            log::warn!("tasks could not be stopped after an interrupt: {error}");
        }
    }

    /// Kills what was asked to stop before, and asks the rest; waits for nothing.
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
        let go_on = move || {
            if let Err(error) = stop_batches(&others, REASON, grace) {
                log::warn!("tasks could not be stopped after an interrupt: {error}");
            }
        };
        // Not waited for, so that the next interrupt is heard meanwhile.
        let started = thread::Builder::new().name("pool stop".to_owned()).spawn(go_on);
        started.map(drop).map_err(|error| Error::new(ErrorKind::Other, format!("no thread for it: {error}")))
    }
}

impl Drop for Interrupts {
    fn drop(&mut self) {
        if self.process != std::process::id() {
            return;
        }
        self.signals.close();
        // It never waits for anything but signals, so it ends at once. Tasks may still be on their way to be stopped.
        if let Some(Err(_)) = self.thread.take().map(JoinHandle::join) {
            log::error!("the thread that hears interrupts has panicked");
        }
    }
}

/// One of those who listen. While there is none, SIGINT does what it did before there was one.
#[derive(Debug)]
struct Listener;

/// How many listen, and whether nobody does as the signal handler sees it.
static LISTENERS: Mutex<usize> = Mutex::new(0);
static NOBODY_LISTENS: OnceLock<Arc<AtomicBool>> = OnceLock::new();

impl Listener {
    fn begin() -> io::Result<Listener> {
        let mut listeners = lock(&LISTENERS);
        if NOBODY_LISTENS.get().is_none() {
            let nobody_listens = Arc::new(AtomicBool::new(false));
            // A handler that was installed once stays, and with it the signal's own action is gone. So the handler
            // has to do that, too, where it was in force.
            if interrupts_end_this_process() {
                register_conditional_default(SIGINT, Arc::clone(&nobody_listens))?;
            }
            NOBODY_LISTENS.get_or_init(|| nobody_listens);
        }
        *listeners += 1;
        Listener::tell(*listeners);
        Ok(Listener)
    }

    fn tell(listeners: usize) {
        if let Some(nobody_listens) = NOBODY_LISTENS.get() {
            nobody_listens.store(listeners == 0, Ordering::SeqCst);
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let mut listeners = lock(&LISTENERS);
        *listeners -= 1;
        Listener::tell(*listeners);
    }
}

/// Whether SIGINT is neither caught nor ignored.
fn interrupts_end_this_process() -> bool {
    fs::read_to_string("/proc/self/status").is_ok_and(|status| interrupts_end(&status))
}

/// The same of a process whose status the kernel tells like this.
fn interrupts_end(status: &str) -> bool {
    let is_in = |mask: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(mask))?;
        let bits = u64::from_str_radix(line.trim(), 16).ok()?;
        Some(bits >> (SIGINT - 1) & 1 == 1)
    };
    is_in("SigCgt:") == Some(false) && is_in("SigIgn:") == Some(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_tells_what_an_interrupt_does() {
        let status = |ignored, caught| format!("SigIgn:\t{ignored:016x}\nSigCgt:\t{caught:016x}\n");
        assert!(interrupts_end(&status(0x1000, 0x4440)));
        assert!(!interrupts_end(&status(2, 0x4440)), "as in a background job of a shell script");
        assert!(!interrupts_end(&status(0, 2)));
        assert!(!interrupts_end("no status"));
        let seen = Arc::new(AtomicBool::new(false));
        signal_hook::flag::register(SIGINT, seen).unwrap();
        assert!(!interrupts_end_this_process());
    }
}
