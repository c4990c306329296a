//! What a worker writes to its standard error while it starts: passed on, and the end of it kept.
//!
//! A worker that can not start says why there, if anywhere: as the words of the dynamic linker, of an initializer that
//! panicked, or of a program that never meant to be a worker. A worker that has started gets the pool's own standard
//! error, and nothing stands in between any more.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use crate::sync::lock;

/// How many bytes are kept.
const BYTES_MAX: usize = 4 << 10;

/// How long to wait for the last of them when the worker has ended. What it started may still hold the stream.
const PATIENCE: Duration = Duration::from_millis(200);

/// Listens to a worker's standard error until nobody can write to it any more.
#[derive(Debug)]
pub(crate) struct StderrTail {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    heard: Mutex<Heard>,
    ended: Condvar,
}

#[derive(Debug, Default)]
struct Heard {
    bytes: VecDeque<u8>,
    /// Whether there were more.
    is_cut: bool,
    /// Whether no more come.
    is_over: bool,
}

impl StderrTail {
    /// Begins to listen. It is a thread of its own that passes on what it hears: whoever reads this program's standard
    /// error slowly holds up the worker that writes, and not its supervisor.
    pub(crate) fn of(stream: impl Read + Send + 'static) -> io::Result<StderrTail> {
        let shared = Arc::new(Shared::default());
        let heard = Arc::clone(&shared);
        let thread = std::thread::Builder::new().name("worker's stderr".to_owned()).stack_size(64 << 10);
        thread.spawn(move || {
            heard.listen(stream);
            lock(&heard.heard).is_over = true;
            heard.ended.notify_all();
        })?;
        Ok(StderrTail { shared })
    }

    /// The end of what was written, as text. The worker has ended.
    pub(crate) fn text(&self) -> String {
        let heard =
            self.shared.ended.wait_timeout_while(lock(&self.shared.heard), PATIENCE, |heard| !heard.is_over);
        let (mut heard, _) = heard.unwrap_or_else(PoisonError::into_inner);
        let is_cut = heard.is_cut;
        let text = String::from_utf8_lossy(heard.bytes.make_contiguous());
        // What is left of a line tells less than it confuses.
        let whole = if is_cut { text.split_once('\n').map(|(_, rest)| rest) } else { None };
        whole.unwrap_or(&text).trim().to_owned()
    }
}

impl Shared {
    fn listen(&self, mut stream: impl Read) {
        let mut bytes = [0; BYTES_MAX];
        loop {
            let count = match stream.read(&mut bytes) {
                Ok(0) => return,
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(_) => return,
            };
            self.keep(&bytes[..count]);
            // Nobody may listen to this program either.
            let _ = io::stderr().write_all(&bytes[..count]);
        }
    }

    fn keep(&self, bytes: &[u8]) {
        let mut heard = lock(&self.heard);
        heard.bytes.extend(bytes);
        let excess = heard.bytes.len().saturating_sub(BYTES_MAX);
        heard.bytes.drain(..excess);
        heard.is_cut |= excess > 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_what_was_written_is_kept() {
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
