//! Many objects, and objects that keep much.

use manager_core::{DeathCause, Holding, Input, SessionEnd};
use protocol::{Grant, LockChoice, OpenMode, Reply, Request, Selector, SessionId, Spec, Target};

use crate::requests::{all, any, semaphore};
use crate::timed_core::TimedScenario;

const LATCH: Spec = Spec::Latch { count: 1 };

pub(crate) const SCENARIOS: &[(&str, TimedScenario)] = &[
    ("objects are made, as many as there may be", |world| {
        let a = world.session();
        world.begin();
        world.open_many(a, 4_000_000, LATCH);
    }),
    ("a session dies that had all objects", |world| {
        let a = world.session();
        world.open_many(a, 4_000_000, LATCH);
        world.begin();
        world.kill(a);
    }),
    ("named objects are made and removed", |world| {
        let a = world.session();
        let mut ids = Vec::new();
        world.begin();
        for number in 0..1_000_000_u64 {
            let name = format!("{:x}", number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
            let id = world.fresh_id();
            let mode = OpenMode::OpenOrCreate;
            world.send(a, Request::Open { id, name: Some(&name), spec: LATCH, mode });
            ids.push(id);
        }
        for id in ids {
            world.send(a, Request::Remove { id });
        }
    }),
    ("objects are listed, and sessions", |world| {
        let a = world.session();
        world.open_many(a, 1_000_000, LATCH);
        for _ in 0..16_000 {
            world.session();
        }
        world.begin();
        world.send(a, Request::ListObjects { after: None });
        world.send(a, Request::ListSessions { after: None });
    }),
    ("a lock ends with as many conditions as it may have", |world| {
        let a = world.session();
        let lock = world.open(a, Spec::Lock);
        world.open_many(a, 20_000, Spec::Condition { over: LockChoice::Given { id: lock } });
        world.begin();
        world.carry_out(a, Request::Remove { id: lock });
    }),
    ("a session dies that holds many locks", |world| {
        let a = world.session();
        for _ in 0..500_000 {
            world.held_lock(a, 1);
        }
        world.begin();
        world.kill(a);
    }),
    ("locks with long lines are released without a request", |world| {
        let (a, b) = (world.session(), world.session());
        let mut holdings = Vec::new();
        for _ in 0..500 {
            let lock = world.held_lock(a, 1);
            let Some(Reply::Taken(taken)) = &world.last else { panic!("it is taken") };
            let Grant::Lock(grant) = &taken.grants[0] else { panic!("it is a lock") };
            holdings.push(Holding { session: a, lock, number: grant.holding });
        }
        let never = world.event(b);
        for holding in &holdings {
            for _ in 0..100 {
                world.send(b, all(1, [Target::Lock { id: holding.lock }, Target::Event { id: never }]));
            }
        }
        world.begin();
        for holding in holdings {
            world.apply(Input::DeferredRelease(holding));
        }
        world.work();
    }),
    ("permits of many dead are taken at once", |world| {
        let a = world.session();
        let semaphore = world.open(a, semaphore(100_000));
        let holders: Vec<_> = (0..100_000).map(|_| world.session()).collect();
        for &holder in &holders {
            world.send(holder, any(1, [Target::Semaphore { id: semaphore, permits: 1 }]));
        }
        for holder in holders {
            world.kill(holder);
        }
        world.begin();
        world.carry_out(a, any(1, [Target::Semaphore { id: semaphore, permits: 90_000 }]));
        world.carry_out(a, Request::Remove { id: semaphore });
    }),
    ("a semaphore is removed of which all sessions hold permits", |world| {
        let a = world.session();
        let semaphore = world.open(a, semaphore(1_000_000));
        for _ in 0..16_384 {
            let b = world.session();
            world.send(b, any(1, [Target::Semaphore { id: semaphore, permits: 1 }]));
        }
        world.begin();
        world.carry_out(a, Request::Remove { id: semaphore });
    }),
    ("all sessions die", |world| {
        let a = world.session();
        let event = world.event(a);
        for _ in 0..16_000 {
            let b = world.session();
            world.send(b, any(1, [Target::Event { id: event }]));
        }
        world.begin();
        for number in 2..16_000 {
            let ending = SessionEnd::Died(DeathCause::Signal(9));
            world.apply(Input::SessionEnded { session: SessionId(number), ending });
        }
        world.work();
    }),
    ("a semaphore is inspected, and a pool", |world| {
        let a = world.session();
        let (semaphore, pool) = (world.open(a, semaphore(1_000_000)), world.open(a, Spec::Pool));
        let batch = world.batch(a, pool);
        world.add(a, batch, 20_000);
        for _ in 0..5_000 {
            let b = world.session();
            world.send(b, any(1, [Target::Semaphore { id: semaphore, permits: 1 }]));
            world.take_calls(b, pool, 1);
        }
        world.begin();
        for id in [semaphore, pool] {
            world.send(a, Request::Inspect { object: Selector::Id(id) });
        }
    }),
];
