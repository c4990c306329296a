//! SIGHUP, SIGINT and SIGTERM, as something that the event loop can wait for.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

use signal_hook::SigId;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::low_level::{pipe, unregister};
use sys::signals::is_ignored;

/// A descriptor that becomes readable when a signal asks the process to end, for as long as this lives.
#[derive(Debug)]
pub(crate) struct EndSignals {
    /// The end that the event loop watches.
    watched: UnixStream,
    /// What to undo at the end.
    registered: Vec<SigId>,
}

impl EndSignals {
    /// Replaces the default of these signals, which would end the process at once and leave its files. SIGHUP and
    /// SIGINT stay ignored if the process was started so; SIGTERM always ends it, since owners of private managers send
    /// it.
    pub(crate) fn install() -> io::Result<EndSignals> {
        let (watched, written) = UnixStream::pair()?;
        watched.set_nonblocking(true)?;
        let mut signals = EndSignals { watched, registered: Vec::new() };
        let heeded = |signal: &i32| *signal == SIGTERM || !is_ignored(*signal);
        for signal in [SIGHUP, SIGINT, SIGTERM].into_iter().filter(heeded) {
            signals.registered.push(pipe::register(signal, written.try_clone()?)?);
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
