//! Captures the beginning of a program's output.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::{Errno, ioctl_fionbio, read};

/// How many bytes of each output stream a [`Captured`](super::Captured) keeps. The worker reads the rest, and discards
/// it.
pub const OUTPUT_BYTES_MAX: usize = 1 << 20;

/// The most that a pipe holds, in bytes, unless a privileged process made it larger.
const PIPE_BYTES_MAX: usize = 1 << 20;

/// How many bytes are read at a time.
const READ_BYTES: usize = 64 << 10;

/// Reads a pipe, and keeps the beginning of what comes.
#[derive(Debug)]
pub(super) struct Capture {
    /// None once the pipe has ended.
    pipe: Option<OwnedFd>,
    kept: Vec<u8>,
}

impl Capture {
    /// Captures what comes out of this pipe, or nothing without one.
    pub(super) fn new(pipe: Option<OwnedFd>) -> Capture {
        // This does not fail on a pipe; if it did, every read could block forever.
        let pipe = pipe.filter(|pipe| ioctl_fionbio(pipe, true).is_ok());
        Capture { pipe, kept: Vec::new() }
    }

    /// The pipe, to poll.
    pub(super) fn stream(&self) -> Option<BorrowedFd<'_>> {
        self.pipe.as_ref().map(AsFd::as_fd)
    }

    /// Reads some of what is there, and returns how many bytes. Does not block.
    pub(super) fn read(&mut self) -> usize {
        let Some(pipe) = &self.pipe else {
            return 0;
        };
        let mut bytes = [0; READ_BYTES];
        match read(pipe, &mut bytes) {
            Ok(count @ 1..) => {
                let room = OUTPUT_BYTES_MAX - self.kept.len();
                self.kept.extend_from_slice(&bytes[..count.min(room)]);
                count
            }
            Err(Errno::AGAIN | Errno::INTR) => 0,
            Ok(_) | Err(_) => {
                self.pipe = None;
                0
            }
        }
    }

    /// Reads what is left in the pipe, and returns what was captured. The program and its group must have ended. This
    /// does not wait for a process that has left the group and still holds the pipe.
    pub(super) fn finish(mut self) -> Vec<u8> {
        let mut rest = PIPE_BYTES_MAX;
        while let count @ 1.. = self.read()
            && let Some(still) = rest.checked_sub(count)
        {
            rest = still;
        }
        self.kept
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn the_beginning_is_kept_and_an_open_pipe_is_not_waited_for() {
        let (reader, mut writer) = std::io::pipe().unwrap();
        let mut capture = Capture::new(Some(reader.into()));
        assert_eq!(capture.read(), 0);
        for _ in 0..20 {
            writer.write_all(&[b'x'; 64 << 10]).unwrap();
            assert!(capture.read() > 0);
        }
        writer.write_all(b"end").unwrap();
        assert_eq!(capture.finish(), vec![b'x'; OUTPUT_BYTES_MAX]);

        let (reader, mut writer) = std::io::pipe().unwrap();
        writer.write_all(b"all").unwrap();
        assert_eq!(Capture::new(Some(reader.into())).finish(), b"all");
        assert_eq!(Capture::new(None).finish(), b"");
    }
}
