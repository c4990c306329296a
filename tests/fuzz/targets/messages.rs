//! Decoding: no bytes make it panic, and what decodes is encoded as a message that reads as the same one.

#![no_main]

use std::fmt::Debug;

use libfuzzer_sys::fuzz_target;
use protocol::{Answer, Envelope, FrameError, Greeting, Hello, append_frame, decode};
use serde::{Deserialize, Serialize};

/// The length before the body of a frame.
const LENGTH_BYTES: usize = 4;

fn check<'a, T: Deserialize<'a> + Serialize + PartialEq + Debug>(body: &'a [u8], scratch: &'a mut Vec<u8>) {
    if let Ok(message) = decode::<T>(body) {
        append_frame(scratch, &message).unwrap();
        assert_eq!(decode::<T>(&scratch[LENGTH_BYTES..]), Ok(message));
    }
}

/// As [`check`], for the first frames, which have functions of their own.
fn check_first<T: PartialEq + Debug>(
    body: &[u8],
    decode: impl Fn(&[u8]) -> Result<T, FrameError>,
    append: impl Fn(&T, &mut Vec<u8>) -> Result<(), FrameError>,
) {
    if let Ok(message) = decode(body) {
        let mut frame = Vec::new();
        append(&message, &mut frame).unwrap();
        assert_eq!(decode(&frame[LENGTH_BYTES..]), Ok(message));
    }
}

fuzz_target!(|body: &[u8]| {
    check::<Envelope<'_>>(body, &mut Vec::new());
    check::<Answer>(body, &mut Vec::new());
    check_first(body, Hello::decode, Hello::append);
    check_first(body, Greeting::decode, Greeting::append);
});
