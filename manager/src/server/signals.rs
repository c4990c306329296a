//! The signals that ask the manager to end, as something that the event loop can wait for; and those that must not end
//! it by accident.

use std::io;
use std::ops::RangeInclusive;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use signal_hook::SigId;
use signal_hook::consts::{
    SIGALRM, SIGHUP, SIGINT, SIGIO, SIGPROF, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGVTALRM,
};
use signal_hook::flag;
use signal_hook::low_level::{pipe, unregister};
use sys::signals::is_ignored;

/// The signals that ask the process to end.
const ASKING_TO_END: [i32; 4] = [SIGHUP, SIGINT, SIGQUIT, SIGTERM];

/// Signals that mean nothing to a manager, and whose default would end it at once: everything that it hosts would be
/// lost, and its socket left behind.
const WITHOUT_MEANING: [i32; 6] = [SIGUSR1, SIGUSR2, SIGALRM, SIGVTALRM, SIGPROF, SIGIO];

/// The real-time signals that the C library does not keep for itself. They mean nothing either.
const REAL_TIME: RangeInclusive<i32> = 34..=64;

/// A descriptor that becomes readable when a signal asks the process to end, for as long as this lives.
#[derive(Debug)]
pub(crate) struct EndSignals {
    /// The end that the event loop watches.
    watched: UnixStream,
    /// What to undo at the end.
    registered: Vec<SigId>,
}

impl EndSignals {
    /// Replaces the default of these signals, which would end the process at once and leave its files. SIGHUP, SIGINT
    /// and SIGQUIT stay ignored if the process was started so; SIGTERM always ends it, since owners of private managers
    /// send it.
    pub(crate) fn install() -> io::Result<EndSignals> {
        let (watched, written) = UnixStream::pair()?;
        watched.set_nonblocking(true)?;
        let mut signals = EndSignals { watched, registered: Vec::new() };
        let heeded = |signal: &i32| *signal == SIGTERM || !is_ignored(*signal);
        for signal in ASKING_TO_END.into_iter().filter(heeded) {
            signals.registered.push(pipe::register(signal, written.try_clone()?)?);
        }
        // Handlers that do nothing, and that can be taken away again. Nobody looks at the flag.
        let nothing = Arc::new(AtomicBool::new(false));
        for signal in WITHOUT_MEANING.into_iter().chain(REAL_TIME) {
            // Some C libraries keep one more of the real-time signals for themselves.
            signals.registered.extend(flag::register(signal, Arc::clone(&nothing)));
        }
        Ok(signals)
    }
}

impl AsFd for EndSignals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.watched.as_fd()
    }
}

impl Drop for EndSignals {
    fn drop(&mut self) {
        for id in self.registered.drain(..) {
            unregister(id);
        }
    }
}

#[cfg(test)]
mod tests {
    use protocol::NamedSignal;
    use signal_hook::low_level::signal_name;

    #[test]
    fn messages_name_signals_as_the_system_does() {
        for number in 1..=64 {
            let Some(expected) = signal_name(number) else { continue };
            assert_eq!(NamedSignal(number).name(), Some(expected));
        }
    }
}
