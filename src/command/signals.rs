//! The signals that a program is sent.

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::Sender;
use std::thread;

use signal_hook::consts::{SIGALRM, SIGCONT, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGWINCH};
use signal_hook::flag;
use signal_hook::iterator::Signals;
use sys::signals::is_ignored;

/// The signals that ask a program to end.
const ASKING_TO_END: [i32; 4] = [SIGHUP, SIGINT, SIGQUIT, SIGTERM];

/// The other signals that a program may be sent for its command.
const OTHERS: [i32; 5] = [SIGALRM, SIGCONT, SIGUSR1, SIGUSR2, SIGWINCH];

/// The signals on which a program that serves ends in order: not those with which it was started ignored, except for
/// SIGTERM, by which programs end what they have started.
pub(super) fn to_end_on() -> impl Iterator<Item = i32> {
    ASKING_TO_END.into_iter().filter(|&signal| signal == SIGTERM || !is_ignored(signal))
}

/// Has the signals do nothing that mean nothing to a program that serves, and whose default would end it at once.
pub(super) fn disregard_others() -> io::Result<()> {
    // Handlers that do nothing: what is started after them is not started with these signals ignored.
    let nothing = Arc::new(AtomicBool::new(false));
    for signal in [SIGUSR1, SIGUSR2, SIGALRM] {
        flag::register(signal, Arc::clone(&nothing))?;
    }
    Ok(())
}

/// Starts a thread that sends a description of each of these signals when it arrives.
pub(super) fn forward<T: Send + 'static>(
    signals: impl IntoIterator<Item = i32>,
    sender: Sender<T>,
    describe: fn(i32) -> T,
) -> io::Result<()> {
    let mut signals = Signals::new(signals)?;
    thread::Builder::new().name("signals".to_owned()).spawn(move || {
        // The receiver is gone only if the program is about to end anyway.
        signals.forever().try_for_each(|number| sender.send(describe(number))).unwrap_or_default();
    })?;
    Ok(())
}

/// The signals that a program passes on to its command: not those with which it was started ignored, as by
/// `nohup` or in the background of a script. But SIGTERM ends it in any case.
pub(super) fn to_pass_on() -> impl Iterator<Item = i32> {
    ASKING_TO_END.into_iter().chain(OTHERS).filter(|&signal| !is_ignored(signal))
}

/// Whether this signal asks a program to end.
pub(super) fn asks_to_end(signal: i32) -> bool {
    ASKING_TO_END.contains(&signal)
}
