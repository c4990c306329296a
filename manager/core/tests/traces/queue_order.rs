//! Queues: the order of items that come back, and the room that the items of one wait need together.

use protocol::{Code, Limits};

use crate::words::{JOINABLE, any, get, put, queue, wait_for};
use crate::world::World;

#[test]
fn items_that_come_back_one_by_one_are_in_the_order_in_which_they_were_put() {
    for spec in [queue(None), JOINABLE] {
        let mut world = World::new();
        let (a, b, c) = (world.session("a"), world.session("b"), world.session("c"));
        let q = world.open(c, None, spec);
        [b"1", b"2", b"3"].iter().for_each(|item| world.put(c, q, *item));
        world.send(a, wait_for(get(q)));
        world.send(b, wait_for(get(q)));
        world.kill(a);
        world.kill(b);
        let items = [(); 3].map(|()| world.get(c, q));
        assert_eq!(items, [b"1", b"2", b"3"]);
    }
}

#[test]
fn all_items_of_one_wait_need_room() {
    let limits = Limits { tasks_max: 1, ..Limits::default() };
    let mut world = World::with_limits(limits);
    let a = world.session("a");
    let (q, other) = (world.open(a, None, queue(None)), world.open(a, None, queue(None)));
    let (code, _) = world.refused(a, any(&[put(q, b"1"), put(other, b"2")]));
    assert_eq!(code, Code::LimitReached);
    world.put(a, q, b"1");
}
