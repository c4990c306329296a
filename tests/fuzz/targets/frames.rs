//! Framing: however a stream is cut into reads, it yields the same bodies and ends with the same error.

#![no_main]

use libfuzzer_sys::fuzz_target;
use protocol::{FrameBuffer, FrameError};

/// Small, so that the fuzzer soon finds frames over the limit.
const BODY_BYTES_MAX: usize = 1024;

/// The bodies in a stream that is read in pieces of at most this many bytes, the error that ended it, and whether a
/// frame was left unfinished.
fn read(stream: &[u8], piece_bytes: usize) -> (Vec<Vec<u8>>, Option<FrameError>, bool) {
    let mut buffer = FrameBuffer::new(BODY_BYTES_MAX);
    let mut bodies = Vec::new();
    for piece in stream.chunks(piece_bytes) {
        let space = buffer.space();
        assert!(space.len() >= piece.len(), "there is room for a whole read");
        space[..piece.len()].copy_from_slice(piece);
        buffer.filled(piece.len());
        loop {
            match buffer.next_body() {
                Ok(Some(body)) => bodies.push(body.to_vec()),
                Ok(None) => break,
                Err(error) => return (bodies, Some(error), true),
            }
        }
        buffer.shrink();
    }
    let is_mid_frame = buffer.is_mid_frame();
    (bodies, None, is_mid_frame)
}

fuzz_target!(|bytes: &[u8]| {
    let Some((&cut, stream)) = bytes.split_first() else { return };
    assert_eq!(read(stream, usize::from(cut).max(1)), read(stream, 4096));
});
