//! Writes the inputs that the fuzz targets start from: `cargo run --example seeds -- FOLDER`.
//!
//! The worked examples of `PROTOCOL.md` are frames of every form, and the requests among them make scripts for the
//! core. The fuzzer finds what they lack by mutating them.

use std::path::Path;
use std::{env, fs, io};

use protocol::{Envelope, LockChoice, ObjectId, OpenMode, Request, RequestId, Spec, append_frame, decode};
use uuid::Uuid;

/// The ids that the worked examples have for most objects.
const OBJECT: ObjectId = ObjectId(Uuid::from_u128(0x0011_2233_4455_6677_8899_aabb_ccdd_eeff));
const OTHER: ObjectId = ObjectId(Uuid::from_u128(0xffee_ddcc_bbaa_9988_7766_5544_3322_1100));

/// The id of a lock that a condition has for itself.
const LOCK: ObjectId = ObjectId(Uuid::from_u128(1));

/// The length before the body of a frame.
const LENGTH_BYTES: usize = 4;

/// A step of the core's target that begins a session.
const BEGIN: u8 = 0;

/// A step that restores a state from a snapshot.
const RESTORE: u8 = 4;

/// A step that lets the first session end without a goodbye.
const DIE: u8 = 2;

/// A step that lets the second session die and leave a call record.
const DIE_WITH_RECORD: u8 = 0x16;

/// A step that sends a request from the first session, 1 ms after the step before; and from the second one, at once.
const REQUESTS: [u8; 2] = [0xc5, 0x15];

/// The frames of the worked examples.
fn frames() -> Vec<Vec<u8>> {
    let page = include_str!("../../protocol/PROTOCOL.md");
    let blocks = page.split("```text\nframe: ").skip(1).filter_map(|block| block.split("```").next());
    blocks.map(|block| block.lines().skip(1).flat_map(bytes).collect()).collect()
}

/// The bytes at the beginning of a line; two spaces end them.
fn bytes(line: &str) -> Vec<u8> {
    let digits = line.split("  ").next().unwrap_or_default();
    digits.split_whitespace().map(|pair| u8::from_str_radix(pair, 16).expect("the page has bytes")).collect()
}

/// The parameters of an object of each kind.
fn specs() -> [Spec; 10] {
    [
        Spec::Event { auto_reset: false },
        Spec::Event { auto_reset: true },
        Spec::Pool,
        Spec::Lock,
        Spec::RLock,
        Spec::Condition { over: LockChoice::Own { id: LOCK, is_reentrant: true } },
        Spec::Semaphore { permits: 1, is_bounded: true },
        Spec::Barrier { parties: 2 },
        Spec::Latch { count: 2 },
        Spec::Queue { capacity: Some(1), is_joinable: true },
    ]
}

/// The body of a request that opens an object without a name.
fn open(id: ObjectId, spec: Spec) -> Vec<u8> {
    let body = Request::Open { id, name: None, spec, mode: OpenMode::CreateNew };
    let mut frame = Vec::new();
    append_frame(&mut frame, &Envelope { request: RequestId(1), received: 0, body }).expect("it is small");
    frame.split_off(LENGTH_BYTES)
}

/// A step of the core's target by which a session sends a request.
fn step(sender: usize, body: &[u8]) -> Vec<u8> {
    [&[REQUESTS[sender]], body].concat()
}

fn write(folder: &Path, target: &str, seeds: impl IntoIterator<Item = Vec<u8>>) -> io::Result<()> {
    let folder = folder.join(target);
    fs::create_dir_all(&folder)?;
    for (number, seed) in seeds.into_iter().enumerate() {
        fs::write(folder.join(format!("seed-{number:03}")), seed)?;
    }
    Ok(())
}

fn main() -> io::Result<()> {
    let folder = env::args_os().nth(1).expect("usage: seeds FOLDER");
    let folder = Path::new(&folder);
    let frames = frames();
    let bodies: Vec<Vec<u8>> = frames.iter().map(|frame| frame[LENGTH_BYTES..].to_vec()).collect();

    let pieces = [1, 3, 64, 255];
    let stream = frames.concat();
    write(folder, "frames", pieces.map(|piece| [&[piece], stream.as_slice()].concat()))?;
    write(folder, "messages", bodies.clone())?;

    // Two objects of a kind are opened, then two sessions send all requests in turn, and both of them die.
    let requests: Vec<_> = bodies.into_iter().filter(|body| decode::<Envelope<'_>>(body).is_ok()).collect();
    let scripts = specs().map(|spec| {
        let opens = [OBJECT, OTHER].map(|id| open(id, spec)).map(|body| step(0, &body)).concat();
        let turns = requests.iter().flat_map(|body| [step(0, body), step(1, body)].concat()).collect();
        // Of the batch, whose call 0 has returned nothing, and the next has begun.
        let record = [OBJECT.0.as_bytes().as_slice(), &[0, 1, 2, 1, 0]].concat();
        [vec![BEGIN, BEGIN], opens, vec![RESTORE], turns, vec![DIE_WITH_RECORD], record, vec![DIE]].concat()
    });
    write(folder, "core", scripts)
}
