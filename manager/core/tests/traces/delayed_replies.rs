//! Replies that long work delays: they come when that work is done, whatever others ask for meanwhile. It delays
//! nothing else.

use protocol::{ObjectId, Reply, Request, RequestId, SessionId};

use crate::requests::{SECOND, all, any, event, on_thread, permits, semaphore, wait_at_most};
use crate::steps::STEPS_MAX;
use crate::world::World;

/// So many waiters that no input comes to all of them.
const MANY: u64 = 20_000;

/// An event that two sessions set and clear as often as they can; each set has all its waiters examined in vain.
struct Bother {
    session: SessionId,
    event: ObjectId,
    under_way: Option<RequestId>,
}

fn set(id: ObjectId) -> Request<'static> {
    Request::EventSet { id, reason: None }
}

impl Bother {
    fn new(world: &mut World, waiter: SessionId, never: ObjectId) -> Bother {
        let session = world.session("bother");
        let id = world.event(session, "bother");
        for _ in 0..MANY {
            world.block(waiter, all(&[event(id), event(never)]));
        }
        Bother { session, event: id, under_way: None }
    }

    /// Sets the event anew as soon as the core takes that.
    fn go_on(&mut self, world: &mut World) -> bool {
        if let Some(request) = self.under_way
            && world.answer(self.session, request).is_none()
        {
            return false;
        }
        self.under_way = None;
        let clear = Request::EventClear { id: self.event };
        if world.holds_back(self.session, &clear) {
            return false;
        }
        world.done(self.session, clear);
        self.under_way = Some(world.send(self.session, set(self.event)));
        true
    }
}

#[test]
fn an_answer_does_not_wait_for_what_others_ask_for_later() {
    let mut world = World::new();
    let (a, waiter) = (world.session("a"), world.session("waiter"));
    let never = world.event(a, "never");
    let mut bothers = [(); 3].map(|()| {
        let waiter = world.session("waiter");
        Bother::new(&mut world, waiter, never)
    });
    let id = world.event(a, "event");
    let waits: Vec<RequestId> =
        (0..MANY).map(|_| world.block(waiter, any(&[event(id), event(never)]))).collect();
    world.forget_steps();
    for bother in &mut bothers {
        bother.go_on(&mut world);
    }
    let request = world.send(a, set(id));
    let (mut slices, mut again) = (0, 0);
    let reply = loop {
        world.slice();
        slices += 1;
        assert!(slices < 100, "the answer waits for the work of others");
        if let Some(reply) = world.answer(a, request) {
            break reply;
        }
        again += bothers.iter_mut().map(|bother| u32::from(bother.go_on(&mut world))).sum::<u32>();
    };
    assert_eq!(reply, Reply::Done);
    assert_eq!(world.granted(), waits, "it comes after those whom the set let through");
    assert!(again > 0, "others asked for more meanwhile");
    assert!(world.steps_most() <= STEPS_MAX, "{} steps", world.steps_most());
}

#[test]
fn an_answer_waits_for_a_wait_queue_that_a_later_request_has_examined_again() {
    let mut world = World::new();
    let (a, b, waiter) = (world.session("a"), world.session("b"), world.session("waiter"));
    let s = world.open(a, None, semaphore(0));
    let waits: Vec<RequestId> = (0..2 * MANY).map(|_| world.block(waiter, any(&[permits(s, 1)]))).collect();
    let release = |permits: u64| Request::SemaphoreRelease { id: s, permits };
    let first = world.send(a, release(MANY));
    world.slice();
    let second = world.send(b, release(MANY));
    assert_eq!([world.answer(a, first), world.answer(b, second)], [None, None]);
    assert!(world.work() > 1);
    assert_eq!([world.answer(a, first), world.answer(b, second)], [Some(Reply::Done), Some(Reply::Done)]);
    assert_eq!(world.granted(), waits);
}

#[test]
fn a_wait_times_out_while_work_is_left_that_does_not_come_to_it() {
    let mut world = World::new();
    let (a, b) = (world.session("a"), world.session("b"));
    let (id, never) = (world.event(a, "event"), world.event(a, "never"));
    for _ in 0..MANY {
        world.block(a, any(&[event(id), event(never)]));
    }
    let other = world.block(b, wait_at_most(SECOND, event(never)));
    let concerned = world.block(b, on_thread(2, wait_at_most(SECOND, event(id))));
    let request = world.send(b, set(id));
    world.jump(SECOND);
    world.slice();
    assert_eq!(world.answer(b, request), None, "work is left");
    assert_eq!(world.answer(b, other), Some(Reply::TimedOut { reacquired: None }));
    assert_eq!(world.answer(b, concerned), None);
    world.work();
    world.taken(b, concerned);
    assert_eq!(world.answer(b, request), Some(Reply::Done));
}
