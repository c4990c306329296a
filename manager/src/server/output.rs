//! The output for one peer, until the system takes it.

use std::collections::VecDeque;
use std::io;
use std::mem;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use protocol::FrameError;
use rustix::io::Errno;
use transport::Stream;

/// The capacity that an empty output keeps, so that idle connections cost little and busy ones do not allocate.
const KEPT_BYTES_MAX: usize = 2048;

/// The most descriptors that wait for one client, which asks for one at a time.
pub(super) const UNSENT_MAX: usize = 8;

/// How many bytes of frames go into one buffer; the frame that fills it may be longer. Several buffers do not have to
/// move as they grow, are half empty together no more than one is, and are free as soon as they were sent.
const FULL_BYTES: usize = 64 << 10;

/// The bytes before a frame's body, which tell its length.
const LENGTH_BYTES: usize = 4;

/// Frames on their way to one peer.
#[derive(Debug, Default)]
pub(crate) struct Output {
    /// Whole frames: the last ones.
    bytes: Vec<u8>,
    /// How many bytes of the first buffer were sent.
    sent: usize,
    /// What few connections need.
    more: Option<Box<More>>,
}

/// What is on its way to a peer besides the last frames.
#[derive(Debug, Default)]
struct More {
    /// Full buffers of whole frames, which come before the last ones.
    full: VecDeque<Vec<u8>>,
    /// How many bytes these are.
    full_bytes: usize,
    /// Descriptors, each with the place of the byte that it goes with, counted from the first byte of the first buffer,
    /// in order.
    enclosed: VecDeque<(usize, Arc<OwnedFd>)>,
}

/// How far a [`send`](Output::send) came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SendOutcome {
    /// Everything is with the kernel.
    All,
    /// The peer has to read before more can be sent.
    Part,
    /// The peer will not read any more; the rest is dropped.
    Broken,
}

impl Output {
    /// Adds a frame, by a function that appends it or leaves its argument as it was.
    pub(crate) fn append(
        &mut self,
        frame: impl FnOnce(&mut Vec<u8>) -> Result<(), FrameError>,
    ) -> Result<(), FrameError> {
        if self.bytes.len() >= FULL_BYTES {
            let mut full = mem::take(&mut self.bytes);
            full.shrink_to_fit();
            let more = self.more.get_or_insert_default();
            more.full_bytes += full.len();
            more.full.push_back(full);
        }
        frame(&mut self.bytes)
    }

    /// Adds a frame as [`append`](Self::append) does, and encloses a descriptor with its first byte.
    pub(crate) fn append_with(
        &mut self,
        descriptor: Arc<OwnedFd>,
        frame: impl FnOnce(&mut Vec<u8>) -> Result<(), FrameError>,
    ) -> Result<(), FrameError> {
        let place = self.buffered();
        self.append(frame)?;
        self.more.get_or_insert_default().enclosed.push_back((place, descriptor));
        Ok(())
    }

    /// How many descriptors wait to be sent.
    pub(crate) fn enclosed(&self) -> usize {
        self.more.as_ref().map_or(0, |more| more.enclosed.len())
    }

    /// How many bytes wait to be sent.
    pub(crate) fn pending(&self) -> usize {
        self.buffered() - self.sent
    }

    /// How much memory it takes while it is not empty: what was sent stays for a while, and room that it never used
    /// takes none.
    pub(crate) fn buffered(&self) -> usize {
        self.bytes.len() + self.more.as_ref().map_or(0, |more| more.full_bytes)
    }

    /// Sends what the kernel takes at once: in one call for each buffer, and in one more for each enclosed descriptor.
    pub(crate) fn send(&mut self, stream: &dyn Stream) -> SendOutcome {
        while self.pending() > 0 {
            let is_last = self.more.is_none();
            match self.send_once(stream) {
                Ok(bytes) => {
                    self.sent += bytes;
                    self.forget_sent();
                    if is_last {
                        break;
                    }
                }
                Err(error) if is_for_now(&error) => break,
                Err(_) => {
                    *self = Output::default();
                    return SendOutcome::Broken;
                }
            }
        }
        if self.pending() > 0 {
            return SendOutcome::Part;
        }
        self.bytes.clear();
        self.sent = 0;
        if self.bytes.capacity() > KEPT_BYTES_MAX {
            self.bytes = Vec::new();
        }
        SendOutcome::All
    }

    /// Sends once: up to the end of the first buffer or the next descriptor, or from that on.
    fn send_once(&mut self, stream: &dyn Stream) -> io::Result<usize> {
        let Some(more) = &mut self.more else { return stream.write(&self.bytes[self.sent..]) };
        let first = more.full.front().unwrap_or(&self.bytes);
        let mut places = more.enclosed.iter().map(|(place, _)| *place).chain([first.len()]);
        let place = places.next().unwrap_or(first.len());
        if place > self.sent {
            return stream.write(&first[self.sent..place.min(first.len())]);
        }
        let end = places.next().unwrap_or(first.len()).min(first.len());
        let bytes = &first[self.sent..end];
        let Some((_, descriptor)) = more.enclosed.front() else { return stream.write(bytes) };
        let sent = match stream.write_with_descriptor(bytes, descriptor.as_fd()) {
            // Peers that do not read may use up the descriptors that a user can have on the way. Then a peer that is
            // not to blame gets its answer without one.
            Err(error) if Errno::from_io_error(&error) == Some(Errno::TOOMANYREFS) => stream.write(bytes),
            sent => sent,
        };
        // The system has taken the descriptor.
        sent.inspect(|_| drop(more.enclosed.pop_front()))
    }

    /// Drops every frame that the peer has seen nothing of, so that a last frame can follow the one it has seen in
    /// part.
    pub(crate) fn keep_begun_frame(&mut self) {
        // A descriptor goes with the beginning of a frame, and so with a frame that is dropped.
        if let Some(mut more) = self.more.take()
            && let Some(first) = more.full.pop_front()
        {
            self.bytes = first;
        }
        let (start, end) = self.begun_frame();
        self.bytes.truncate(end);
        self.bytes.drain(..start);
        self.bytes.shrink_to_fit();
        self.sent -= start;
    }

    /// Drops the first buffer if it was sent and others follow, and what is no longer needed.
    fn forget_sent(&mut self) {
        let Some(more) = &mut self.more else { return };
        if let Some(first) = more.full.front().map(Vec::len).filter(|bytes| *bytes == self.sent) {
            more.full.pop_front();
            more.full_bytes -= first;
            more.enclosed.iter_mut().for_each(|(place, _)| *place -= first);
            self.sent = 0;
        }
        if more.full.is_empty() && more.enclosed.is_empty() {
            self.more = None;
        }
    }

    /// Where the frame that was sent in part begins and ends, in the only buffer. It is empty if the last byte sent
    /// ended a frame.
    fn begun_frame(&self) -> (usize, usize) {
        let mut start = 0;
        loop {
            let Some(length) = self.bytes[start..].first_chunk::<LENGTH_BYTES>() else {
                return (start, start);
            };
            let end = start + LENGTH_BYTES + u32::from_le_bytes(*length) as usize;
            if start == self.sent {
                return (start, start);
            }
            if end > self.sent {
                return (start, end);
            }
            start = end;
        }
    }
}

/// Whether an error says only that the system takes nothing for now.
fn is_for_now(error: &io::Error) -> bool {
    let errno = Errno::from_io_error(error);
    matches!(errno, Some(Errno::AGAIN | Errno::NOBUFS | Errno::NOMEM))
}

#[cfg(test)]
mod tests {
    use std::io::{ErrorKind, Read};
    use std::os::unix::net::UnixStream;

    use protocol::{FrameBuffer, append_frame, decode};

    use transport::ReadMode;

    use super::*;

    fn output(texts: &[&str]) -> Output {
        let mut output = Output::default();
        for text in texts {
            output.append(|bytes| append_frame(bytes, text)).unwrap();
        }
        output
    }

    fn texts(mut bytes: &[u8]) -> Vec<String> {
        let mut buffer = FrameBuffer::new(1 << 20);
        let mut found = Vec::new();
        while !bytes.is_empty() {
            let space = buffer.space();
            let count = space.len().min(bytes.len());
            space[..count].copy_from_slice(&bytes[..count]);
            bytes = &bytes[count..];
            buffer.filled(count);
            while let Some(body) = buffer.next_body().unwrap() {
                found.push(decode::<String>(body).unwrap());
            }
        }
        assert!(!buffer.is_mid_frame());
        found
    }

    #[test]
    fn a_last_frame_follows_the_one_that_was_begun() {
        let whole = output(&["one", "two", "three"]).bytes;
        // Each frame has 4 bytes of length, 1 byte for the length of the text, and the text.
        for sent in 0..=whole.len() {
            let mut output = output(&["one", "two", "three"]);
            output.sent = sent;
            output.keep_begun_frame();
            output.append(|bytes| append_frame(bytes, "last")).unwrap();
            let seen = [&whole[..sent], &output.bytes[output.sent..]].concat();
            let mut expected = ["one", "two", "three"][..sent.div_ceil(8).min(3)].to_vec();
            expected.push("last");
            assert_eq!(texts(&seen), expected, "after {sent} bytes");
        }
    }

    #[test]
    fn everything_arrives_however_slowly_it_is_read() {
        let (sender, mut receiver) = UnixStream::pair().unwrap();
        receiver.set_nonblocking(true).unwrap();
        let sender = <Box<dyn Stream>>::from(sender);
        let text = "x".repeat(100_000);
        let count = 40;
        let mut output = output(&vec![text.as_str(); count]);
        let mut received = Vec::new();
        let mut piece = [0; 65_536];
        loop {
            let sent = output.send(&*sender);
            match receiver.read(&mut piece) {
                Ok(bytes) => received.extend_from_slice(&piece[..bytes]),
                Err(error) if error.kind() == ErrorKind::WouldBlock && sent == SendOutcome::All => break,
                Err(error) => panic!("{error}"),
            }
            assert!(output.sent < FULL_BYTES + text.len());
        }
        assert_eq!(texts(&received), vec![text; count]);
        assert_eq!(output.bytes.capacity(), 0, "a large buffer is given back");
    }

    #[test]
    fn frames_that_are_not_read_take_little_more_memory_than_they_have_bytes() {
        for (length, count) in [(10, 100_000), (1000, 5000), (FULL_BYTES, 50), (1 << 20, 5)] {
            let text = "x".repeat(length);
            let output = output(&vec![text.as_str(); count]);
            let more = output.more.as_ref().unwrap();
            let taken: usize = more.full.iter().map(Vec::capacity).sum();
            assert_eq!(more.full.iter().map(Vec::len).sum::<usize>() + output.bytes.len(), output.buffered());
            assert!(taken + output.bytes.capacity() <= output.buffered() + 2 * (FULL_BYTES + length));
        }
    }

    /// Receives once: the bytes, and how many descriptors came with them.
    fn receive(receiver: &dyn Stream) -> (Vec<u8>, usize) {
        let (mut bytes, mut descriptors) = ([0; 100], Vec::new());
        let received = receiver
            .read_with_descriptors(
                &mut bytes,
                &mut |descriptor| descriptors.push(descriptor),
                ReadMode::Blocking,
            )
            .unwrap();
        (bytes[..received].to_vec(), descriptors.len())
    }

    #[test]
    fn a_descriptor_comes_with_the_first_byte_of_its_frame() {
        let (sender, receiver) = UnixStream::pair().unwrap();
        let descriptor: Arc<OwnedFd> = Arc::new(sender.try_clone().unwrap().into());
        let (sender, receiver) = (<Box<dyn Stream>>::from(sender), <Box<dyn Stream>>::from(receiver));
        let mut output = output(&["one"]);
        for text in ["two", "three"] {
            let appended = output.append_with(Arc::clone(&descriptor), |bytes| append_frame(bytes, text));
            appended.unwrap();
        }
        output.append(|bytes| append_frame(bytes, "four")).unwrap();
        assert_eq!(output.send(&*sender), SendOutcome::All);
        drop((output, descriptor));
        let (bytes, count) = receive(&*receiver);
        assert_eq!((texts(&bytes), count), (vec!["one".into(), "two".into()], 1));
        let (bytes, count) = receive(&*receiver);
        assert_eq!((texts(&bytes), count), (vec!["three".into(), "four".into()], 1));
    }

    #[test]
    fn a_peer_that_is_gone_is_noticed() {
        let (sender, receiver) = UnixStream::pair().unwrap();
        drop(receiver);
        let mut output = output(&["text"]);
        assert_eq!(output.send(&*<Box<dyn Stream>>::from(sender)), SendOutcome::Broken);
        assert_eq!(output.pending(), 0);
    }
}
