//! The slot of a caller, given and taken by threads that really run.

use std::thread;

use super::turn_slot::{Turn, TurnSlot};

type Slot = TurnSlot<u64, ()>;

fn number(turn: Turn<u64, ()>) -> u64 {
    match turn {
        Turn::Answered(number) => number,
        Turn::Read(()) => panic!("nobody passes the reader's role on"),
    }
}

#[test]
fn a_turn_is_taken_once() {
    let slot = Slot::default();
    assert!(slot.take().is_none());
    slot.give(Turn::Answered(1));
    assert!(slot.is_given());
    assert_eq!(slot.take().map(number), Some(1));
    assert!(!slot.is_given() && slot.take().is_none());
    slot.give(Turn::Answered(2));
    assert_eq!(number(slot.sleep()), 2);
}

#[test]
fn no_turn_is_lost_however_the_caller_sleeps() {
    const TURNS: u64 = 20_000;
    let slot = Slot::default();
    thread::scope(|scope| {
        scope.spawn(|| (0..TURNS).for_each(|turn| assert_eq!(number(slot.sleep()), turn)));
        for turn in 0..TURNS {
            // Sometimes the caller sleeps already, and sometimes it is about to.
            while slot.is_given() {
                thread::yield_now();
            }
            slot.give(Turn::Answered(turn));
        }
    });
}
