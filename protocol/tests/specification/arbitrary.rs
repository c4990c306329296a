//! Random bytes: decoding never panics, and what decodes is a message like any other.
//!
//! The seed is printed; `RALLYPOINT_SEED=… cargo test -p rallypoint-protocol` runs the same bytes again.

use std::time::{SystemTime, UNIX_EPOCH};

use protocol::{Answer, Envelope, FrameBuffer, Greeting, Hello, append_frame, decode};
use serde::{Deserialize, Serialize};

use crate::{examples, samples};

/// How many inputs are tried.
const ROUNDS: u32 = 100_000;

/// Small and deterministic: the splitmix64 sequence.
struct SplitMix(u64);

impl SplitMix {
    fn from_environment() -> SplitMix {
        let seed = match std::env::var("RALLYPOINT_SEED") {
            Ok(text) => text.parse().expect("RALLYPOINT_SEED is a number"),
            Err(_) => SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64,
        };
        println!("RALLYPOINT_SEED={seed}");
        SplitMix(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    /// A byte; small ones, which are numbers of variants and short lengths, and extreme ones come often.
    fn byte(&mut self) -> u8 {
        match self.below(4) {
            0 => self.below(40) as u8,
            1 => [0x00, 0x01, 0x7f, 0x80, 0xff][self.below(5)],
            _ => self.next() as u8,
        }
    }

    fn bytes(&mut self) -> Vec<u8> {
        (0..self.below(64)).map(|_| self.byte()).collect()
    }

    fn mutate(&mut self, bytes: &mut Vec<u8>) {
        let at = self.below(bytes.len() + 1);
        match self.below(4) {
            0 => bytes.truncate(at),
            1 => bytes.insert(at, self.byte()),
            2 => drop(bytes.splice(at.., self.bytes())),
            _ if at < bytes.len() => bytes[at] = self.byte(),
            _ => bytes.extend_from_within(at / 2..),
        }
    }
}

/// The bodies of messages of all kinds: the worked examples, and one for each variant.
fn bodies() -> Vec<Vec<u8>> {
    let examples = examples::messages().into_values().map(|message| message.frame()[4..].to_vec());
    let samples = samples::all().into_iter().filter_map(|sample| {
        // What stands before and after the sample in the smallest message with it.
        let (before, after): (&[u8], &[u8]) = match sample.owner {
            "Request" => (&[1, 0], &[]),
            "Target" => (&[1, 0, 4, 0, 1], &[0, 0]),
            "Reply" => (&[1], &[]),
            "Grant" => (&[1, 4, 0, 1], &[0]),
            _ => return None,
        };
        Some([before, &sample.bytes, after].concat())
    });
    examples.chain(samples).collect()
}

/// If the bytes are a message of this type, what the crate writes for it must read as the same message.
fn check<'a, T: Deserialize<'a> + Serialize + PartialEq + std::fmt::Debug>(
    body: &'a [u8],
    scratch: &'a mut Vec<u8>,
) {
    if let Ok(message) = decode::<T>(body) {
        append_frame(scratch, &message).unwrap();
        assert_eq!(decode::<T>(&scratch[4..]), Ok(message));
    }
}

fn check_all(body: &[u8]) {
    check::<Envelope<'_>>(body, &mut Vec::new());
    check::<Answer>(body, &mut Vec::new());
    let mut scratch = Vec::new();
    if let Ok(hello) = Hello::decode(body) {
        hello.append(&mut scratch).unwrap();
        assert_eq!(Hello::decode(&scratch[4..]), Ok(hello));
    }
    scratch.clear();
    if let Ok(greeting) = Greeting::decode(body) {
        greeting.append(&mut scratch).unwrap();
        assert_eq!(Greeting::decode(&scratch[4..]), Ok(greeting));
    }
}

#[test]
fn undamaged_messages_come_back_as_they_were_sent() {
    for body in bodies() {
        let is_envelope = decode::<Envelope<'_>>(&body).is_ok();
        let is_answer = decode::<Answer>(&body).is_ok();
        let is_handshake = Hello::decode(&body).is_ok() || Greeting::decode(&body).is_ok();
        assert!(is_envelope || is_answer || is_handshake, "{body:02x?}");
        check_all(&body);
    }
}

#[test]
fn random_bytes_do_no_harm() {
    let mut random = SplitMix::from_environment();
    for _ in 0..ROUNDS {
        check_all(&random.bytes());
    }
}

#[test]
fn damaged_messages_do_no_harm() {
    let mut random = SplitMix::from_environment();
    let bodies = bodies();
    for _ in 0..ROUNDS {
        let mut body = bodies[random.below(bodies.len())].clone();
        for _ in 0..=random.below(3) {
            random.mutate(&mut body);
        }
        check_all(&body);
    }
}

#[test]
fn a_damaged_stream_yields_bodies_or_an_error_and_ends() {
    let mut random = SplitMix::from_environment();
    let stream: Vec<_> = examples::messages().values().flat_map(examples::Message::frame).collect();
    for _ in 0..ROUNDS / 100 {
        let mut damaged = stream.clone();
        random.mutate(&mut damaged);
        let mut buffer = FrameBuffer::new(1024);
        for piece in damaged.chunks(1 + random.below(64)) {
            buffer.space()[..piece.len()].copy_from_slice(piece);
            buffer.filled(piece.len());
            while let Ok(Some(body)) = buffer.next_body() {
                check_all(body);
            }
        }
    }
}
