//! Call records that say anything at all, left by workers that end. They hurt the calls of their own session at most.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU64, Ordering};

use protocol::shared_memory::call_record::{BATCH, BEGUN, BYTES, ENDED, FIRST, RESULTS, WORDS};
use protocol::{
    CallsGrant, CallsResult, Chunk, Grant, Kind, Outcome, Reply, Request, SharedMemory, Spec, Target,
};
use sys::shared_memory::{Access, SharedWords};

use super::raw_client::{RawClient, done, end_call, object, open_anonymous, open_batch, wait_for};
use super::running_manager::RunningManager;

const POOL: u128 = 1;
const BATCH_ID: u128 = 2;
const STOP: u128 = 3;
const CALLS: usize = 2_000;

/// Numbers that are right, nearly right, or nothing that anybody would count.
const NUMBERS: [u64; 6] = [0, 1, 2, 1 << 32, u64::MAX - 1, u64::MAX];

/// What the calls of a worker that behaves return.
const MINE: &[u8] = &[4, b'm', b'i', b'n', b'e'];

fn grant_of(reply: Reply) -> Grant {
    match reply {
        Reply::Taken(taken) => taken.grants[0].clone(),
        other => panic!("nothing was taken: {other:?}"),
    }
}

/// Calls for a worker, one or several.
fn take_calls(peer: &mut RawClient) -> CallsGrant {
    match grant_of(peer.call(wait_for(Target::Calls { pool: object(POOL), most: 4 }, None))) {
        Grant::Calls(granted) => granted,
        other => panic!("not calls: {other:?}"),
    }
}

/// The results that there are within a moment.
fn results(owner: &mut RawClient) -> Vec<CallsResult> {
    match owner.call(wait_for(Target::Results { batch: object(BATCH_ID) }, Some(10_000_000))) {
        Reply::TimedOut { .. } => Vec::new(),
        reply => match grant_of(reply) {
            Grant::Results(results) => results.results,
            other => panic!("not results: {other:?}"),
        },
    }
}

/// A session for a worker of the pool, and its call record.
fn worker(manager: &RunningManager) -> (RawClient, SharedWords<AtomicU64>) {
    let mut peer = manager.session();
    done(&mut peer, Request::Attach { id: object(POOL), kind: Kind::Pool, epoch: manager.epoch });
    let descriptor = share(&mut peer);
    let file = File::from(descriptor.try_clone().unwrap());
    // A worker that takes the memory away would hurt the manager that reads it.
    assert!(file.set_len(0).is_err() && file.set_len(1 << 30).is_err());
    let words = SharedWords::map(descriptor, (WORDS * 8) as u64, Access::Write).unwrap();
    (peer, words)
}

fn share(peer: &mut RawClient) -> OwnedFd {
    let (reply, mut descriptors) =
        peer.call_for_descriptors(Request::Share { memory: SharedMemory::CallRecord });
    assert!(matches!(reply, Reply::Shared { .. }), "{reply:?}");
    descriptors.pop().expect("the memory comes with the answer")
}

/// Has this worker end what is left of the batch, and returns how each call ended.
fn end_the_rest(owner: &mut RawClient, witness: &mut RawClient) -> Vec<Option<Outcome>> {
    let mut ends = vec![None; CALLS];
    let mut left = CALLS;
    while left > 0 {
        while has_calls(owner) {
            let granted = take_calls(witness);
            (granted.first..granted.first + u64::from(granted.calls)).for_each(|call| end(witness, call));
        }
        for result in results(owner) {
            for call in result.first..result.first + u64::from(result.calls) {
                let twice = ends[call as usize].replace(result.outcome.clone()).is_some();
                assert!(!twice, "call {call} ended twice");
                left -= 1;
            }
        }
    }
    ends
}

#[test]
fn no_record_hurts_the_manager_or_calls_of_others() {
    let manager = RunningManager::start();
    let mut owner = manager.session();
    done(&mut owner, open_anonymous(POOL, Spec::Pool));
    done(&mut owner, open_batch(BATCH_ID, POOL, STOP, "f"));
    let arguments = vec![0; CALLS];
    let chunk = Chunk { arguments: &arguments, carries: Vec::new(), calls: CALLS as u32 };
    done(&mut owner, Request::BatchAdd { id: object(BATCH_ID), chunks: vec![chunk], last: true });

    // A worker that behaves has its calls all the while.
    let (mut witness, record) = worker(&manager);
    let kept = take_calls(&mut witness);

    let own = object(BATCH_ID).0.into_bytes();
    let ids = [own, [0; 16], [0xff; 16], object(POOL).0.into_bytes()];
    let results_of = [[0; 8], [1, 7, 0, 0, 1, 8, 1, 9], [0xff; 8], [3, 1, 1, 1, 0x80, 0x80, 0x80, 0x80]];
    let mut rounds = 0_usize;
    for (id, first, ended) in each(&ids, &NUMBERS, &NUMBERS) {
        let (mut hostile, record) = worker(&manager);
        let granted = take_calls(&mut hostile);
        // Small numbers count from the calls that it was granted, so that some of these records are as good as true.
        let about = |number: u64| if number < 3 { granted.first + number } else { number };
        let (high, low) = id.split_at(8);
        rounds += 1;
        let (begun, bytes) = (NUMBERS[rounds % 6], NUMBERS[rounds / 6 % 6].wrapping_mul(8));
        let word = u64::from_ne_bytes(results_of[rounds % 4]);
        record[RESULTS..].iter().for_each(|place| place.store(word, Ordering::Release));
        for (place, value) in [
            (BATCH, u64::from_ne_bytes(high.try_into().unwrap())),
            (BATCH + 1, u64::from_ne_bytes(low.try_into().unwrap())),
            (FIRST, about(first)),
            (ENDED, about(ended)),
            (BEGUN, about(begun)),
            (BYTES, bytes),
        ] {
            record[place].store(value, Ordering::Release);
        }
    }
    assert_eq!(rounds, ids.len() * NUMBERS.len() * NUMBERS.len());

    // One that claims to have ended the calls of the witness.
    let (mut liar, lies) = worker(&manager);
    let granted = take_calls(&mut liar);
    assert!(granted.first > kept.first);
    for (place, value) in [
        (BATCH, u64::from_ne_bytes(own[..8].try_into().unwrap())),
        (BATCH + 1, u64::from_ne_bytes(own[8..].try_into().unwrap())),
        (FIRST, kept.first),
        (ENDED, kept.first + 1),
        (BEGUN, kept.first + 1),
        (BYTES, 8),
    ] {
        lies[place].store(value, Ordering::Release);
    }
    drop(liar);

    // All is well with the witness, which then does what is left.
    end(&mut witness, kept.first);
    drop(record);
    let ends = end_the_rest(&mut owner, &mut witness);
    assert!(matches!(&ends[kept.first as usize], Some(Outcome::Returned(bytes)) if bytes.as_bytes() == MINE));
}

/// All combinations of one of each.
fn each<'a>(
    ids: &'a [[u8; 16]],
    firsts: &'a [u64],
    endeds: &'a [u64],
) -> impl Iterator<Item = ([u8; 16], u64, u64)> {
    ids.iter().flat_map(move |&id| {
        firsts.iter().flat_map(move |&first| endeds.iter().map(move |&ended| (id, first, ended)))
    })
}

/// Whether some calls wait for a worker.
fn has_calls(owner: &mut RawClient) -> bool {
    match owner.call(Request::BatchProgress { id: object(BATCH_ID) }) {
        Reply::Progress(progress) => progress.waiting > 0,
        other => panic!("no progress: {other:?}"),
    }
}

fn end(peer: &mut RawClient, call: u64) {
    done(peer, end_call(BATCH_ID, call, Outcome::Returned(MINE), &[]));
}

#[test]
fn a_termination_keeps_the_results_in_the_record_of_a_worker_that_lives() {
    let manager = RunningManager::start();
    let mut owner = manager.session();
    done(&mut owner, open_anonymous(POOL, Spec::Pool));
    done(&mut owner, open_batch(BATCH_ID, POOL, STOP, "f"));
    let chunk = Chunk { arguments: &[0; 4], carries: Vec::new(), calls: 4 };
    done(&mut owner, Request::BatchAdd { id: object(BATCH_ID), chunks: vec![chunk], last: true });
    let (mut peer, record) = worker(&manager);
    let granted = take_calls(&mut peer);
    let id = object(BATCH_ID).0.into_bytes();
    let (id, _) = id.as_chunks::<8>();
    for (index, word) in [
        (FIRST, granted.first),
        (RESULTS, u64::from_ne_bytes([4, b'm', b'i', b'n', b'e', 0, 0, 0])),
        (BYTES, MINE.len() as u64),
        (ENDED, granted.first + 1),
        (BEGUN, granted.first + 1),
        (BATCH, u64::from_ne_bytes(id[0])),
        (BATCH + 1, u64::from_ne_bytes(id[1])),
    ] {
        record[index].store(word, Ordering::Release);
    }
    done(&mut owner, Request::PoolTerminate { id: object(POOL), reason: "enough" });
    let results = results(&mut owner);
    assert!(
        matches!(&results[0].outcome, Outcome::Returned(result) if result.as_bytes() == MINE),
        "{results:?}"
    );
    assert_eq!(results.iter().map(|result| result.calls).sum::<u32>(), 4);
}
