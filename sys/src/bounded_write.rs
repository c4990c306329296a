//! Writing to an output that perhaps nobody reads.
//!
//! A write to a full pipe waits until somebody reads from it, which may be never: a pager that was left open, or a
//! script that reads one line. What a program says about its work must not keep it from that work.

use std::io;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use rustix::fs::{FileType, fstat};
use rustix::io::{Errno, ReadWriteFlags, pwritev2, retry_on_intr, write};
use rustix::net::{SendFlags, send};

use crate::poll::{Watched, wait_for_any};

/// How long a program waits for the reader of a line that it prints, before it goes on with its work.
pub const LINE_TIME_MAX: Duration = Duration::from_secs(1);

/// The most bytes that a pipe with any room takes at once (PIPE_BUF).
const ATOMIC_BYTES: usize = 4096;

/// The offset that stands for the current place.
const AT_CURRENT_PLACE: u64 = u64::MAX;

/// Writes all of this, if the output takes it within this time. Longer texts than a pipe takes at once may be cut.
///
/// Where the output is a pipe or a socket, this never waits longer, whoever else writes there. With other outputs, it
/// waits for room before it writes.
///
/// # Errors
///
/// [`TimedOut`](io::ErrorKind::TimedOut) if the output has no room for so long; otherwise as write(2).
pub fn write_within(output: &impl AsFd, mut bytes: &[u8], time: Duration) -> io::Result<()> {
    let end = Instant::now() + time;
    let kind = FileType::from_raw_mode(fstat(output)?.st_mode);
    while !bytes.is_empty() {
        let mut room = [Watched::for_use(output, false, true)];
        if !wait_for_any(&mut room, Some(end.saturating_duration_since(Instant::now())))? {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "nobody reads it"));
        }
        match write_at_once(output, kind, &bytes[..bytes.len().min(ATOMIC_BYTES)]) {
            Ok(written) => bytes = &bytes[written..],
            // Another process was faster.
            Err(Errno::AGAIN) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(())
}

/// Writes what an output of this kind takes now.
fn write_at_once(output: &impl AsFd, kind: FileType, bytes: &[u8]) -> Result<usize, Errno> {
    let written = match kind {
        FileType::Fifo => retry_on_intr(|| {
            pwritev2(output, &[io::IoSlice::new(bytes)], AT_CURRENT_PLACE, ReadWriteFlags::NOWAIT)
        }),
        FileType::Socket => retry_on_intr(|| send(output, bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL)),
        _ => Err(Errno::OPNOTSUPP),
    };
    match written {
        // Files have no such flag, nor have pipes of older kernels.
        Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => retry_on_intr(|| write(output, bytes)),
        written => written,
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, pipe};
    use std::thread;

    use super::*;

    const LONG: Duration = Duration::from_secs(20);

    #[test]
    fn an_output_that_nobody_reads_is_given_up() {
        let (mut reader, writer) = pipe().unwrap();
        let mut filled = 0;
        let error = loop {
            match write_within(&writer, &[7; ATOMIC_BYTES], Duration::from_millis(10)) {
                Ok(()) => filled += ATOMIC_BYTES,
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        let reading = thread::spawn(move || {
            let mut read = Vec::new();
            reader.read_to_end(&mut read).map(|_| read)
        });
        write_within(&writer, b"and more", LONG).unwrap();
        drop(writer);
        let read = reading.join().unwrap().unwrap();
        assert_eq!((read.len(), &read[filled..]), (filled + 8, &b"and more"[..]));
    }

    #[test]
    fn two_that_write_to_one_pipe_never_wait_for_its_reader() {
        let (reader, writer) = pipe().unwrap();
        let write = || while write_within(&writer, &[7; 100], Duration::from_millis(10)).is_ok() {};
        thread::scope(|scope| {
            scope.spawn(write);
            scope.spawn(write);
        });
        drop(reader);
    }

    #[test]
    fn files_and_sockets_take_what_is_written() {
        let mut file = tempfile();
        write_within(&file, &[7; 10_000], LONG).unwrap();
        io::Seek::rewind(&mut file).unwrap();
        let mut read = Vec::new();
        file.read_to_end(&mut read).unwrap();
        assert_eq!(read, [7; 10_000]);

        let (sender, mut receiver) = std::os::unix::net::UnixStream::pair().unwrap();
        write_within(&sender, b"to a socket", LONG).unwrap();
        drop(sender);
        let mut text = String::new();
        receiver.read_to_string(&mut text).unwrap();
        assert_eq!(text, "to a socket");
    }

    #[test]
    fn a_reader_that_has_gone_is_an_error() {
        let (reader, writer) = pipe().unwrap();
        drop(reader);
        let error = write_within(&writer, b"to nobody", LONG).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
    }

    /// A file that has no name.
    fn tempfile() -> std::fs::File {
        use rustix::fs::{MemfdFlags, memfd_create};
        memfd_create("written", MemfdFlags::CLOEXEC).unwrap().into()
    }
}
