//! Frames: a length, and a body of that many bytes.
//!
//! The length is a little-endian `u32` that counts the body alone. The body is one message in postcard's format,
//! and nothing after it. [`FrameBuffer`] collects what a socket brings and yields bodies; it never reserves memory for
//! bytes that have not come.

use alloc::vec::Vec;
use core::fmt;
use core::ops::Range;

use postcard::ser_flavors::Flavor;
use serde::{Deserialize, Serialize};

use crate::limits::FRAME_BYTES_MAX;

/// The bytes before the body of a frame.
const LENGTH_BYTES: usize = 4;

/// The capacity that an empty buffer may keep. A larger one, left by a rare large frame, is freed.
const IDLE_BYTES_MAX: usize = 256 << 10;

/// The reason why bytes are not a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameError {
    /// The length is over the limit that applies here.
    TooLong {
        /// The length that the peer announced, or that a message to be sent would have.
        bytes: usize,
        /// The limit.
        bytes_max: usize,
    },
    /// The body does not decode as the message that belongs here, or bytes are left after it.
    Malformed,
    /// The first frame does not begin with Rallypoint's magic: the peer speaks something else.
    Foreign,
}

impl fmt::Display for FrameError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FrameError::TooLong { bytes, bytes_max } => {
                write!(formatter, "a frame of {bytes} bytes is over the limit of {bytes_max}")
            }
            FrameError::Malformed => formatter.write_str("a frame's body is not a message of this protocol"),
            FrameError::Foreign => formatter.write_str("the peer does not speak Rallypoint's protocol"),
        }
    }
}

impl core::error::Error for FrameError {}

/// Appends `message` as one frame to `output`. On an error `output` is as it was.
pub fn append_frame<T: Serialize + ?Sized>(output: &mut Vec<u8>, message: &T) -> Result<(), FrameError> {
    append_frame_with(output, &[], Some(message))
}

/// Appends a frame whose body is `prefix` followed by `message`.
pub(crate) fn append_frame_with<T: Serialize + ?Sized>(
    output: &mut Vec<u8>,
    prefix: &[u8],
    message: Option<&T>,
) -> Result<(), FrameError> {
    let start = output.len();
    output.extend_from_slice(&[0; LENGTH_BYTES]);
    output.extend_from_slice(prefix);
    if let Some(message) = message {
        // Writing to a growing vector cannot fail, and no message here refuses to be serialized.
        postcard::serialize_with_flavor(message, Appender(output)).map_err(|_| FrameError::Malformed)?;
    }
    let bytes = output.len() - start - LENGTH_BYTES;
    if bytes > FRAME_BYTES_MAX {
        output.truncate(start);
        return Err(FrameError::TooLong { bytes, bytes_max: FRAME_BYTES_MAX });
    }
    let length = (bytes as u32).to_le_bytes();
    output[start..start + LENGTH_BYTES].copy_from_slice(&length);
    Ok(())
}

/// Where postcard writes a message: the end of a vector. What postcard has for that copies byte by byte.
struct Appender<'a>(&'a mut Vec<u8>);

impl Flavor for Appender<'_> {
    type Output = ();

    #[inline]
    fn try_extend(&mut self, bytes: &[u8]) -> postcard::Result<()> {
        // Most are numbers below 128.
        match bytes {
            [byte] => self.0.push(*byte),
            bytes => self.0.extend_from_slice(bytes),
        }
        Ok(())
    }

    #[inline]
    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        self.0.push(byte);
        Ok(())
    }

    fn finalize(self) -> postcard::Result<()> {
        Ok(())
    }
}

/// Reads one message from the whole of a frame's body.
pub fn decode<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, FrameError> {
    let mut deserializer = postcard::Deserializer::from_bytes(body);
    // A message is large, and is moved as few times as can be.
    let message = T::deserialize(&mut deserializer).map_err(|_| FrameError::Malformed);
    match deserializer.finalize() {
        Ok([]) => message,
        _ => Err(FrameError::Malformed),
    }
}

/// Collects what arrives and yields the bodies of whole frames.
///
/// Use it in turns: [`space`](Self::space) to read into, [`filled`](Self::filled) with how much came, then
/// [`next_body`](Self::next_body) until it has no more.
///
/// ```
/// use protocol::{FrameBuffer, append_frame, decode};
///
/// let mut sent = Vec::new();
/// append_frame(&mut sent, "hello").unwrap();
///
/// let mut buffer = FrameBuffer::new(1024);
/// buffer.space()[..sent.len()].copy_from_slice(&sent);
/// buffer.filled(sent.len());
/// let body = buffer.next_body().unwrap().unwrap();
/// assert_eq!(decode::<&str>(body), Ok("hello"));
/// assert_eq!(buffer.next_body(), Ok(None));
/// ```
#[derive(Debug)]
pub struct FrameBuffer {
    /// Bytes; those before `start` are consumed, those from `end` on are free space.
    bytes: Vec<u8>,
    /// The index of the first byte that is not consumed.
    start: usize,
    /// The index at which free space begins.
    end: usize,
    /// The largest body that is taken.
    body_bytes_max: usize,
}

impl FrameBuffer {
    /// The free space that [`space`](Self::space) gives at least.
    const SPACE_BYTES_MIN: usize = 4096;

    /// An empty buffer that refuses bodies of more than `body_bytes_max` bytes. It reserves nothing yet.
    pub fn new(body_bytes_max: usize) -> FrameBuffer {
        FrameBuffer { bytes: Vec::new(), start: 0, end: 0, body_bytes_max }
    }

    /// Takes bodies up to this size from now on, as after a handshake.
    pub fn set_body_bytes_max(&mut self, body_bytes_max: usize) {
        self.body_bytes_max = body_bytes_max;
    }

    /// Returns free space to read into. It grows with what has come, never with what is announced.
    pub fn space(&mut self) -> &mut [u8] {
        if self.start == self.end {
            self.start = 0;
            self.end = 0;
        }
        if self.bytes.len() - self.end < Self::SPACE_BYTES_MIN && self.start > 0 {
            self.bytes.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        if self.bytes.len() - self.end < Self::SPACE_BYTES_MIN {
            let grown = (self.bytes.len() * 2).max(2 * Self::SPACE_BYTES_MIN);
            let grown = grown.min(self.bytes.len().max(self.missing_to()) + Self::SPACE_BYTES_MIN);
            self.bytes.reserve_exact(grown - self.bytes.len());
            self.bytes.resize(grown, 0);
        }
        &mut self.bytes[self.end..]
    }

    /// How large the buffer has to be for the frame that has come in part. There is no end to be seen if its length has
    /// not come, or whole frames wait to be taken.
    fn missing_to(&self) -> usize {
        let come = &self.bytes[self.start..self.end];
        match come.first_chunk::<LENGTH_BYTES>().map(|length| u32::from_le_bytes(*length) as usize) {
            Some(bytes) if bytes <= self.body_bytes_max && come.len() < LENGTH_BYTES + bytes => {
                LENGTH_BYTES + bytes
            }
            _ => usize::MAX / 2,
        }
    }

    /// How much memory it takes.
    pub fn capacity(&self) -> usize {
        self.bytes.capacity()
    }

    /// Takes the first `bytes` bytes of [`space`](Self::space) as read.
    ///
    /// # Panics
    ///
    /// If there was less space.
    pub fn filled(&mut self, bytes: usize) {
        assert!(bytes <= self.bytes.len() - self.end, "more was filled than there was space");
        self.end += bytes;
    }

    /// Returns the body of the next frame, or none while it is not whole.
    pub fn next_body(&mut self) -> Result<Option<&[u8]>, FrameError> {
        Ok(self.next_range()?.map(|range| &self.bytes[range]))
    }

    /// Has the last body, of this many bytes, come again as the next. Call it before anything else is read.
    pub fn put_back(&mut self, body_bytes: usize) {
        self.start -= LENGTH_BYTES + body_bytes;
    }

    fn next_range(&mut self) -> Result<Option<Range<usize>>, FrameError> {
        let Some(length) = self.bytes[self.start..self.end].first_chunk::<LENGTH_BYTES>() else {
            return Ok(None);
        };
        let bytes = u32::from_le_bytes(*length) as usize;
        if bytes > self.body_bytes_max {
            return Err(FrameError::TooLong { bytes, bytes_max: self.body_bytes_max });
        }
        let body = self.start + LENGTH_BYTES;
        if self.end - body < bytes {
            return Ok(None);
        }
        self.start = body + bytes;
        Ok(Some(body..self.start))
    }

    /// Whether a frame has begun to arrive and is not whole.
    pub fn is_mid_frame(&self) -> bool {
        self.start < self.end
    }

    /// Frees the memory that a rare large frame needed. Call it between turns.
    pub fn shrink(&mut self) {
        if self.start == self.end && self.bytes.len() > IDLE_BYTES_MAX {
            *self = FrameBuffer::new(self.body_bytes_max);
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::String;

    use super::*;

    fn feed(buffer: &mut FrameBuffer, bytes: &[u8]) {
        for piece in bytes.chunks(FrameBuffer::SPACE_BYTES_MIN) {
            buffer.space()[..piece.len()].copy_from_slice(piece);
            buffer.filled(piece.len());
        }
    }

    #[test]
    fn frames_come_back_whole_however_they_are_cut() {
        let mut sent = Vec::new();
        let texts: Vec<String> = [0, 1, 700, 3, 5000].iter().map(|&length| "x".repeat(length)).collect();
        for text in &texts {
            append_frame(&mut sent, text).unwrap();
        }
        for cut in [1, 2, 3, 7, 64, 511, 4096] {
            let mut buffer = FrameBuffer::new(8192);
            let mut received = Vec::new();
            for piece in sent.chunks(cut) {
                feed(&mut buffer, piece);
                while let Some(body) = buffer.next_body().unwrap() {
                    received.push(decode::<String>(body).unwrap());
                }
            }
            assert_eq!(received, texts, "cut into pieces of {cut}");
            assert!(!buffer.is_mid_frame());
        }
    }

    #[test]
    fn a_body_that_is_put_back_comes_again() {
        let mut sent = Vec::new();
        ["first", "second"].iter().for_each(|text| append_frame(&mut sent, text).unwrap());
        let mut buffer = FrameBuffer::new(100);
        feed(&mut buffer, &sent);
        let first = buffer.next_body().unwrap().unwrap().to_vec();
        buffer.put_back(first.len());
        assert_eq!(buffer.next_body(), Ok(Some(&first[..])));
        let second = buffer.next_body().unwrap().unwrap().to_vec();
        buffer.put_back(second.len());
        assert!(buffer.is_mid_frame());
        assert_eq!(decode::<&str>(buffer.next_body().unwrap().unwrap()), Ok("second"));
    }

    #[test]
    fn an_announced_length_reserves_nothing_and_is_checked_at_once() {
        let mut buffer = FrameBuffer::new(FRAME_BYTES_MAX);
        feed(&mut buffer, &(FRAME_BYTES_MAX as u32).to_le_bytes());
        assert_eq!(buffer.next_body(), Ok(None));
        assert!(buffer.bytes.len() <= 2 * FrameBuffer::SPACE_BYTES_MIN);

        let mut buffer = FrameBuffer::new(100);
        feed(&mut buffer, &101_u32.to_le_bytes());
        assert_eq!(buffer.next_body(), Err(FrameError::TooLong { bytes: 101, bytes_max: 100 }));
    }

    #[test]
    fn a_large_frame_needs_little_more_memory_than_it_has_bytes() {
        for bytes in [5_000, (1 << 20) - 10, 1 << 20, (1 << 20) + 5_000, FRAME_BYTES_MAX] {
            let mut buffer = FrameBuffer::new(FRAME_BYTES_MAX);
            feed(&mut buffer, &(bytes as u32).to_le_bytes());
            feed(&mut buffer, &alloc::vec![7; bytes]);
            assert_eq!(buffer.next_body().unwrap().map(<[u8]>::len), Some(bytes));
            let most = bytes + 3 * FrameBuffer::SPACE_BYTES_MIN;
            assert!(buffer.capacity() <= most, "{} bytes for {bytes}", buffer.capacity());
        }
    }

    #[test]
    fn surplus_and_missing_bytes_are_malformed() {
        assert_eq!(decode::<u8>(&[7]), Ok(7));
        assert_eq!(decode::<u8>(&[7, 8]), Err(FrameError::Malformed));
        assert_eq!(decode::<u8>(&[]), Err(FrameError::Malformed));
    }

    #[test]
    fn a_message_over_the_limit_leaves_the_output_alone() {
        let mut output = alloc::vec![1, 2, 3];
        let large = "x".repeat(FRAME_BYTES_MAX);
        assert!(matches!(append_frame(&mut output, &large), Err(FrameError::TooLong { .. })));
        assert_eq!(output, [1, 2, 3]);
    }

    #[test]
    fn a_large_frame_does_not_keep_its_memory() {
        let mut sent = Vec::new();
        append_frame(&mut sent, &"x".repeat(2 * IDLE_BYTES_MAX)).unwrap();
        let mut buffer = FrameBuffer::new(FRAME_BYTES_MAX);
        feed(&mut buffer, &sent);
        assert!(buffer.next_body().unwrap().is_some());
        buffer.shrink();
        assert_eq!(buffer.bytes.capacity(), 0);
    }
}
