//! The signals that ask a program to end.

use std::io;
use std::sync::mpsc::Sender;
use std::thread;

use signal_hook::iterator::Signals;
use sys::signals::SignalDisposition;

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

/// Whether this process was started with this signal ignored, as `nohup` does; false if the system does not say.
pub(super) fn is_ignored(signal: i32) -> bool {
    sys::signals::disposition(signal) == Some(SignalDisposition::Ignored)
}
