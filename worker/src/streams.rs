//! Tasks that close the standard streams: what is opened next would take their numbers, and be written to by whoever
//! prints.

use std::fs::File;
use std::os::fd::{AsRawFd, BorrowedFd, IntoRawFd};

use rustix::io::{Errno, fcntl_getfd};
use rustix::stdio::{dup2_stderr, dup2_stdin, dup2_stdout, stderr, stdin, stdout};

/// Opens standard streams that are closed, as empty ones that take everything.
pub(crate) fn mend() {
    mend_one(stdin(), |file| dup2_stdin(file));
    mend_one(stdout(), |file| dup2_stdout(file));
    mend_one(stderr(), |file| dup2_stderr(file));
}

fn mend_one(stream: BorrowedFd<'_>, replace: impl FnOnce(&File) -> rustix::io::Result<()>) {
    if fcntl_getfd(stream) != Err(Errno::BADF) {
        return;
    }
    let opened = File::options().read(true).write(true).open("/dev/null");
    let outcome = opened.and_then(|file| {
        if file.as_raw_fd() == stream.as_raw_fd() {
            // It has taken the number that was free, and is to keep it.
            let _ = file.into_raw_fd();
            return Ok(());
        }
        replace(&file).map_err(Into::into)
    });
    if let Err(error) = outcome {
        log::warn!("a task has closed a standard stream, which can not be opened again: {error}");
    }
}
