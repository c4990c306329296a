//! Results of many calls.

use manager_core::{BlobArrival, Input};
use protocol::limits::{BLOB_BYTES_MIN, CALLS_PER_GRANT_MAX};
use protocol::{
    BlobId, CallsOutcome, Grant, ObjectId, Outcome, Reply, Request, RequestId, SessionId, Spec, Target,
};

use crate::requests::any;
use crate::timed_core::{TimedCore, TimedScenario};

pub(crate) const SCENARIOS: &[(&str, TimedScenario)] = &[
    ("calls are granted, run, and their results taken", |world| {
        let (a, b) = (world.session(), world.session());
        let pool = world.open(a, Spec::Pool);
        let batch = world.batch(a, pool);
        world.add(a, batch, 2_000_000);
        world.begin();
        let mut first = 0;
        while first < 2_000_000 {
            world.send(b, any(1, [Target::Calls { pool, most: CALLS_PER_GRANT_MAX as u32 }]));
            let Some(Reply::Taken(taken)) = &world.last else { panic!("calls are granted") };
            let Grant::Calls(grant) = &taken.grants[0] else { panic!("they are calls") };
            let calls = grant.calls;
            // An end for each, so that each is a result of its own.
            let end = |_| CallsOutcome { calls: 1, outcome: Outcome::Returned(&[0][..]) };
            let ends = (0..calls).map(end).collect();
            world.send(b, Request::CallsEnd { batch, first, ends, carries: Vec::new() });
            first += u64::from(calls);
        }
        take_results(world, a, batch, 100);
    }),
    ("results are taken that are blobs", |world| {
        let (a, b) = (world.session(), world.session());
        let pool = world.open(a, Spec::Pool);
        let batch = world.batch(a, pool);
        end_with_blobs(world, (a, b), pool, batch, 60_000);
        world.begin();
        take_results(world, a, batch, 40);
    }),
    ("a session dies that has many blobs", |world| {
        let (a, b) = (world.session(), world.session());
        let pool = world.open(a, Spec::Pool);
        let batch = world.batch(a, pool);
        end_with_blobs(world, (a, b), pool, batch, 60_000);
        world.kill(b);
        world.begin();
        world.kill(a);
    }),
];

/// Has a session take results as often.
fn take_results(world: &mut TimedCore, session: SessionId, batch: ObjectId, times: u32) {
    for _ in 0..times {
        world.carry_out(session, any(1, [Target::Results { batch }]));
    }
}

/// Adds this many calls, and has another session end each with a blob.
fn end_with_blobs(
    world: &mut TimedCore,
    (owner, worker): (SessionId, SessionId),
    pool: ObjectId,
    batch: ObjectId,
    calls: u64,
) {
    world.add(owner, batch, calls as usize);
    for first in 0..calls {
        world.take_calls(worker, pool, 1);
        let blob = whole_blob(world, worker);
        let outcome = Outcome::ReturnedBlob { blob, bytes: 0 };
        let ends = [CallsOutcome { calls: 1, outcome }].into_iter().collect();
        world.send(worker, Request::CallsEnd { batch, first, ends, carries: Vec::new() });
        assert_eq!(world.last, Some(Reply::Done));
        world.send(worker, Request::BlobClose { blob });
    }
}

/// A blob whose memory has come.
fn whole_blob(world: &mut TimedCore, session: SessionId) -> BlobId {
    let bytes = BLOB_BYTES_MIN;
    world.send(session, Request::BlobOpen { bytes });
    let Some(Reply::BlobOpened { blob, .. }) = world.last else { panic!("there is room for it") };
    let received = world.received(session);
    let request = RequestId(u64::from(u32::MAX) + blob.0);
    let arrival = BlobArrival { request, received, blob, bytes, refusal: None };
    world.apply(Input::BlobArrived { session, arrival });
    assert_eq!(world.last, Some(Reply::Done));
    blob
}
