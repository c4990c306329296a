//! The standard streams of a worker: it uses its standard input for messages, and opens again what a task closes.
//!
//! Otherwise the next file that is opened would take the number of the closed stream, and everything printed would go
//! there.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, IntoRawFd, OwnedFd};
use std::time::Duration;

use rustix::io::{Errno, fcntl_dupfd_cloexec, fcntl_getfd};
use rustix::stdio::{dup2_stderr, dup2_stdin, dup2_stdout, stderr, stdin, stdout};
use sys::poll::{Watched, wait_for_any};

/// The lowest descriptor that is not one of the standard streams.
const FIRST_FREE: i32 = 3;

/// Takes the standard input that this process was given, and leaves an empty one to the program.
pub(crate) fn take_stdin() -> io::Result<OwnedFd> {
    let given = fcntl_dupfd_cloexec(stdin(), FIRST_FREE)?;
    dup2_stdin(File::open("/dev/null")?)?;
    Ok(given)
}

/// Opens the standard streams that are closed: their input is empty, and their output is discarded. If none is closed,
/// this is one system call.
pub(crate) fn reopen_closed() {
    let streams = [stdin(), stdout(), stderr()];
    let mut looked_at = streams.each_ref().map(Watched::for_hang_up);
    if let Ok(false) = wait_for_any(&mut looked_at, Some(Duration::ZERO)) {
        return;
    }
    reopen_if_closed(stdin(), |file| dup2_stdin(file));
    reopen_if_closed(stdout(), |file| dup2_stdout(file));
    reopen_if_closed(stderr(), |file| dup2_stderr(file));
}

fn reopen_if_closed(stream: BorrowedFd<'_>, replace: impl FnOnce(&File) -> rustix::io::Result<()>) {
    if fcntl_getfd(stream) != Err(Errno::BADF) {
        return;
    }
    let opened = File::options().read(true).write(true).open("/dev/null");
    let outcome = opened.and_then(|file| {
        if file.as_raw_fd() == stream.as_raw_fd() {
            // The file has taken the stream's number, and keeps it.
            let _ = file.into_raw_fd();
            return Ok(());
        }
        replace(&file).map_err(Into::into)
    });
    if let Err(error) = outcome {
        log::warn!("a task closed a standard stream, which cannot be opened again: {error}");
    }
}
