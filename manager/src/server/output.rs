//! What waits to be sent to one peer.

use std::collections::VecDeque;
use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use protocol::FrameError;
use rustix::io::Errno;
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, send, sendmsg};

/// The capacity that an empty output keeps, so that idle connections cost little and busy ones do not allocate.
const KEPT_BYTES_MAX: usize = 2048;

/// How many bytes may lie around that were sent already, before the rest is moved to the front.
const SENT_BYTES_MAX: usize = 256 << 10;

/// The bytes before a frame's body, which tell its length.
const LENGTH_BYTES: usize = 4;

/// Frames on their way to one peer.
#[derive(Debug, Default)]
pub(crate) struct Output {
    /// Whole frames, of which the first may be sent in part.
    bytes: Vec<u8>,
    /// How many of the bytes were sent.
    sent: usize,
    /// Descriptors that go with the byte at this place, in order.
    enclosed: VecDeque<(usize, Arc<OwnedFd>)>,
}

/// How far a [`send`](Output::send) came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sent {
    /// Everything is with the kernel.
    All,
    /// The peer has to read before more can be sent.
    Part,
    /// The peer will not read any more; what was left is thrown away.
    Broken,
}

impl Output {
    /// Adds a frame, by a function that appends it or leaves its argument as it was.
    pub(crate) fn append(
        &mut self,
        frame: impl FnOnce(&mut Vec<u8>) -> Result<(), FrameError>,
    ) -> Result<(), FrameError> {
        frame(&mut self.bytes)
    }

    /// Adds a frame as [`append`](Self::append) does, and encloses a descriptor with its first byte.
    pub(crate) fn append_with(
        &mut self,
        descriptor: Arc<OwnedFd>,
        frame: impl FnOnce(&mut Vec<u8>) -> Result<(), FrameError>,
    ) -> Result<(), FrameError> {
        let place = self.bytes.len();
        frame(&mut self.bytes)?;
        self.enclosed.push_back((place, descriptor));
        Ok(())
    }

    /// How many descriptors wait to be sent.
    pub(crate) fn enclosed(&self) -> usize {
        self.enclosed.len()
    }

    /// How many bytes wait to be sent.
    pub(crate) fn pending(&self) -> usize {
        self.bytes.len() - self.sent
    }

    /// Sends what the kernel takes at once: in one call, and in one more for each descriptor that is enclosed.
    pub(crate) fn send(&mut self, socket: BorrowedFd<'_>) -> Sent {
        while self.pending() > 0 {
            match self.send_once(socket) {
                Ok(bytes) => {
                    self.sent += bytes;
                    if self.enclosed.is_empty() {
                        break;
                    }
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN | Errno::NOBUFS | Errno::NOMEM) => break,
                Err(_) => {
                    *self = Output::default();
                    return Sent::Broken;
                }
            }
        }
        if self.pending() > 0 {
            self.forget_sent();
            return Sent::Part;
        }
        self.bytes.clear();
        self.sent = 0;
        if self.bytes.capacity() > KEPT_BYTES_MAX {
            self.bytes = Vec::new();
        }
        Sent::All
    }

    /// Sends once: up to the next descriptor, or from it on.
    fn send_once(&mut self, socket: BorrowedFd<'_>) -> rustix::io::Result<usize> {
        // The flag, since the program around an embedded manager may have made SIGPIPE deadly.
        let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
        match self.enclosed.front() {
            None => send(socket, &self.bytes[self.sent..], flags),
            Some((place, _)) if *place > self.sent => send(socket, &self.bytes[self.sent..*place], flags),
            Some((_, descriptor)) => {
                let end = self.enclosed.get(1).map_or(self.bytes.len(), |(place, _)| *place);
                let bytes = &self.bytes[self.sent..end];
                // Peers that do not read may use up what descriptors a user can have on the way. Who is not to blame
                // gets its answer without one.
                let sent = match send_with(socket, bytes, descriptor.as_fd(), flags) {
                    Err(Errno::TOOMANYREFS) => send(socket, bytes, flags),
                    sent => sent,
                };
                sent.inspect(|_| drop(self.enclosed.pop_front()))
            }
        }
    }

    /// Throws away what the peer has seen nothing of, so that a last frame can follow what it has seen in part.
    pub(crate) fn keep_begun_frame(&mut self) {
        let (start, end) = self.begun_frame();
        // What is enclosed goes with the beginning of a frame, and so with what is thrown away.
        self.enclosed.clear();
        self.bytes.truncate(end);
        self.bytes.drain(..start);
        self.bytes.shrink_to_fit();
        self.sent -= start;
    }

    /// Moves what is not sent to the front once that pays.
    fn forget_sent(&mut self) {
        if self.sent > SENT_BYTES_MAX && self.sent > self.bytes.len() / 2 {
            let (start, _) = self.begun_frame();
            self.bytes.drain(..start);
            self.sent -= start;
            self.enclosed.iter_mut().for_each(|(place, _)| *place -= start);
        }
    }

    /// Where the frame begins and ends that is sent in part. It is empty if the last byte sent ended a frame.
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

/// Sends bytes, and a descriptor with the first of them.
fn send_with(
    socket: BorrowedFd<'_>,
    bytes: &[u8],
    descriptor: BorrowedFd<'_>,
    flags: SendFlags,
) -> rustix::io::Result<usize> {
    let descriptors = [descriptor];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut enclosed = SendAncillaryBuffer::new(&mut space);
    let fits = enclosed.push(SendAncillaryMessage::ScmRights(&descriptors));
    debug_assert!(fits, "there is space for one descriptor");
    sendmsg(socket, &[IoSlice::new(bytes)], &mut enclosed, flags)
}

#[cfg(test)]
mod tests {
    use std::io::{ErrorKind, IoSliceMut, Read};
    use std::os::unix::net::UnixStream;

    use protocol::{FrameBuffer, append_frame, decode};
    use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};

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
        let text = "x".repeat(100_000);
        let count = 40;
        let mut output = output(&vec![text.as_str(); count]);
        let mut received = Vec::new();
        let mut piece = [0; 65_536];
        loop {
            let sent = output.send(sender.as_fd());
            match receiver.read(&mut piece) {
                Ok(bytes) => received.extend_from_slice(&piece[..bytes]),
                Err(error) if error.kind() == ErrorKind::WouldBlock && sent == Sent::All => break,
                Err(error) => panic!("{error}"),
            }
            assert!(output.sent <= 2 * SENT_BYTES_MAX + output.bytes.len() / 2);
        }
        assert_eq!(texts(&received), vec![text; count]);
        assert_eq!(output.bytes.capacity(), 0, "a large buffer is given back");
    }

    /// Receives once: the bytes, and how many descriptors came with them.
    fn receive(receiver: &UnixStream) -> (Vec<u8>, usize) {
        let (mut bytes, mut space) = ([0; 100], [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(4))]);
        let mut enclosed = RecvAncillaryBuffer::new(&mut space);
        let mut slices = [IoSliceMut::new(&mut bytes)];
        let received = recvmsg(receiver, &mut slices, &mut enclosed, RecvFlags::empty()).unwrap();
        let count = enclosed.drain().map(|message| match message {
            RecvAncillaryMessage::ScmRights(descriptors) => descriptors.count(),
            _ => 0,
        });
        (bytes[..received.bytes].to_vec(), count.sum())
    }

    #[test]
    fn a_descriptor_comes_with_the_first_byte_of_its_frame() {
        let (sender, receiver) = UnixStream::pair().unwrap();
        let descriptor: Arc<OwnedFd> = Arc::new(sender.try_clone().unwrap().into());
        let mut output = output(&["one"]);
        for text in ["two", "three"] {
            let appended = output.append_with(Arc::clone(&descriptor), |bytes| append_frame(bytes, text));
            appended.unwrap();
        }
        output.append(|bytes| append_frame(bytes, "four")).unwrap();
        assert_eq!(output.send(sender.as_fd()), Sent::All);
        drop((output, descriptor));
        let (bytes, count) = receive(&receiver);
        assert_eq!((texts(&bytes), count), (vec!["one".into(), "two".into()], 1));
        let (bytes, count) = receive(&receiver);
        assert_eq!((texts(&bytes), count), (vec!["three".into(), "four".into()], 1));
    }

    #[test]
    fn a_peer_that_is_gone_is_noticed() {
        let (sender, receiver) = UnixStream::pair().unwrap();
        drop(receiver);
        let mut output = output(&["text"]);
        assert_eq!(output.send(sender.as_fd()), Sent::Broken);
        assert_eq!(output.pending(), 0);
    }
}
