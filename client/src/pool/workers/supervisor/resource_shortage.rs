//! What the system lacks when it cannot start a worker.

use std::io;

use rustix::io::Errno;

/// Whether a process could not be started because the system lacks processes, memory or descriptors.
pub(super) fn is_resource_shortage(error: &io::Error) -> bool {
    let errno = Errno::from_io_error(error);
    errno.is_some_and(|errno| {
        [Errno::AGAIN, Errno::NOMEM, Errno::MFILE, Errno::NFILE, Errno::NOBUFS].contains(&errno)
    })
}
