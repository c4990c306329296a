//! The tail of what a worker writes to its standard error while it starts. A thread passes all of it on, and keeps the
//! end.
//!
//! If a worker cannot start, the reason appears there, if anywhere: from the dynamic linker, from an initializer that
//! panicked, or from a program that never meant to be a worker. A worker that has started writes to the pool's own
//! standard error, with nothing in between.

use std::collections::VecDeque;
use std::io::{self, Read};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use sys::bounded_write::write_within;

use crate::sync::lock;

/// How many bytes it keeps.
const BYTES_MAX: usize = 4 << 10;

/// How long to wait for the last bytes once the worker has ended. Processes that it started may still hold the stream.
const PATIENCE: Duration = Duration::from_millis(200);

/// How long to wait for whoever reads this program's standard error. What is not written by then is lost there.
const WRITE_TIME_MAX: Duration = Duration::from_secs(60);

/// Reads a worker's standard error until no process can write to it any more.
#[derive(Debug)]
pub(crate) struct StderrTail {
    shared: Arc<SharedTail>,
}

#[derive(Debug, Default)]
struct SharedTail {
    tail: Mutex<Tail>,
    ended: Condvar,
}

#[derive(Debug, Default)]
struct Tail {
    bytes: VecDeque<u8>,
    /// Whether there were more bytes.
    is_cut: bool,
    /// Whether no more bytes come.
    is_over: bool,
}

impl StderrTail {
    /// Starts to read, on a thread of its own: if the reader of this program's standard error is slow, it delays the
    /// worker that writes, and not its supervisor.
    pub(crate) fn of(stream: impl Read + Send + 'static) -> io::Result<StderrTail> {
        let shared = Arc::new(SharedTail::default());
        let writer = Arc::clone(&shared);
        let thread = std::thread::Builder::new().name("worker's stderr".to_owned()).stack_size(64 << 10);
        thread.spawn(move || {
            writer.copy(stream);
            lock(&writer.tail).is_over = true;
            writer.ended.notify_all();
        })?;
        Ok(StderrTail { shared })
    }

    /// The end of what the worker wrote, as text. The worker has ended.
    pub(crate) fn text(&self) -> String {
        let tail =
            self.shared.ended.wait_timeout_while(lock(&self.shared.tail), PATIENCE, |tail| !tail.is_over);
        let (mut tail, _) = tail.unwrap_or_else(PoisonError::into_inner);
        let is_cut = tail.is_cut;
        let text = String::from_utf8_lossy(tail.bytes.make_contiguous());
        // The rest of a line confuses more than it says.
        let whole = if is_cut { text.split_once('\n').map(|(_, rest)| rest) } else { None };
        whole.unwrap_or(&text).trim().to_owned()
    }
}

impl SharedTail {
    fn copy(&self, mut stream: impl Read) {
        let mut bytes = [0; BYTES_MAX];
        loop {
            let count = match stream.read(&mut bytes) {
                Ok(0) => return,
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(_) => return,
            };
            self.keep(&bytes[..count]);
            // The standard error of this program may be closed. Without the lock of `stderr()`, which others would wait
            // for as long as this does.
            let _ = write_within(&io::stderr(), &bytes[..count], WRITE_TIME_MAX);
        }
    }

    fn keep(&self, bytes: &[u8]) {
        let mut tail = lock(&self.tail);
        tail.bytes.extend(bytes);
        let excess = tail.bytes.len().saturating_sub(BYTES_MAX);
        tail.bytes.drain(..excess);
        tail.is_cut |= excess > 0;
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn the_tail_keeps_the_end_of_the_output() {
        let words =
            StderrTail::of(io::Cursor::new([&[b'\n'; 9000], b" bad luck \n".as_slice()].concat())).unwrap();
        assert_eq!(words.text(), "bad luck");
        let long = StderrTail::of(io::repeat(b'\n').take(3000).chain(io::repeat(b'x').take(9000))).unwrap();
        assert_eq!(long.text(), "x".repeat(BYTES_MAX));
        let lines = StderrTail::of(io::Cursor::new("line\n".repeat(4000))).unwrap();
        assert!(lines.text().starts_with("line\nline") && lines.text().len() > BYTES_MAX - 10);
    }

    #[test]
    fn a_stream_that_stays_open_is_not_waited_for() {
        let (reader, mut writer) = io::pipe().unwrap();
        writer.write_all(b"\nhello").unwrap();
        let words = StderrTail::of(reader).unwrap();
        assert_eq!(words.text(), "hello");
    }
}
