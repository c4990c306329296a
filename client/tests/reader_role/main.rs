//! The hand-over of the reader's role between threads, in every order in which their steps can follow each other.
//!
//! The files under test are those of the client, compiled here against the locks, words and threads of the model
//! checker loom instead of the system's. It runs each test again and again until it has seen every order with few
//! preemptions, and fails if a thread would sleep forever.

#[allow(dead_code, unreachable_pub)]
mod connection;
mod sync;

use std::collections::VecDeque;
use std::sync::Arc;

use client_core::DisconnectReason;
use loom::sync::{Condvar, Mutex};
use loom::thread;
use protocol::RequestId;

use crate::connection::callers::Callers;
use crate::connection::turn_slot::{Turn, TurnSlot};

/// How often one thread may interrupt another in a run. Real faults need few interruptions; each further one multiplies
/// the time.
const PREEMPTIONS_MAX: usize = 2;

/// The answer to a caller: the number of its request, or none if the connection has ended.
type RoleAnswer = Option<u64>;

/// The input of the reader. The thread that has it has the role.
#[derive(Debug)]
struct ReaderRole;

/// A connection whose manager answers each request as soon as it is sent.
struct Connection {
    callers: Callers<RoleAnswer, ReaderRole>,
    wire: Mutex<Wire>,
    came: Condvar,
}

/// The answers on their way from the manager.
#[derive(Default)]
struct Wire {
    answers: VecDeque<RequestId>,
    is_closed: bool,
}

impl Connection {
    fn new() -> Arc<Connection> {
        let (wire, came) = (Mutex::new(Wire::default()), Condvar::new());
        Arc::new(Connection { callers: Callers::new(ReaderRole), wire, came })
    }

    /// One call, as the client makes it.
    fn call(&self, number: u64) -> RoleAnswer {
        let (request, slot) = (RequestId(number), Arc::default());
        if self.callers.enter(request, &slot).is_err() {
            return None;
        }
        self.send(request);
        self.finish(request, &slot)
    }

    fn send(&self, request: RequestId) {
        self.wire.lock().unwrap().answers.push_back(request);
        self.came.notify_one();
    }

    fn finish(&self, request: RequestId, slot: &TurnSlot<RoleAnswer, ReaderRole>) -> RoleAnswer {
        self.callers.wait(request, slot, |_| self.read_one())
    }

    /// Like a receive that waits, and brings one answer or the end.
    fn read_one(&self) {
        let mut wire = self.wire.lock().unwrap();
        while wire.answers.is_empty() && !wire.is_closed {
            wire = self.came.wait(wire).unwrap();
        }
        let answer = wire.answers.pop_front();
        drop(wire);
        self.hand_out(answer);
    }

    /// Like a receive that does not wait, by a caller that only looks whether its answer has come.
    fn read_what_has_come(&self) {
        if let Some(reader) = self.callers.take_reader() {
            loop {
                let Some(answer) = self.wire.lock().unwrap().answers.pop_front() else { break };
                self.hand_out(Some(answer));
            }
            self.callers.pass_on(reader);
        }
    }

    fn hand_out(&self, answer: Option<RequestId>) {
        match answer {
            Some(request) => drop(self.callers.give(request, Some(request.0))),
            None => self.callers.end(DisconnectReason::Closed, || None),
        }
    }

    fn close(&self) {
        self.wire.lock().unwrap().is_closed = true;
        self.came.notify_one();
    }
}

fn explore(test: impl Fn() + Send + Sync + 'static) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(PREEMPTIONS_MAX);
    model.check(test);
}

#[test]
fn callers_that_ask_together_all_get_their_answers() {
    explore(|| {
        let connection = Connection::new();
        let other = Arc::clone(&connection);
        let other = thread::spawn(move || assert_eq!(other.call(1), Some(1)));
        assert_eq!(connection.call(2), Some(2));
        other.join().unwrap();
        assert!(connection.callers.take_reader().is_some(), "the role is free when all have their answers");
    });
}

#[test]
fn the_role_goes_on_from_caller_to_caller() {
    explore(|| {
        let connection = Connection::new();
        let others = [1, 2].map(|number| {
            let connection = Arc::clone(&connection);
            thread::spawn(move || assert_eq!(connection.call(number), Some(number)))
        });
        assert_eq!(connection.call(3), Some(3));
        others.into_iter().for_each(|other| other.join().unwrap());
    });
}

#[test]
fn a_caller_that_only_looks_leaves_the_role_to_one_that_sleeps() {
    explore(|| {
        let connection = Connection::new();
        let sleeper = Arc::clone(&connection);
        let sleeper = thread::spawn(move || assert_eq!(sleeper.call(1), Some(1)));
        let slot = Arc::default();
        connection.callers.enter(RequestId(2), &slot).unwrap();
        connection.send(RequestId(2));
        connection.read_what_has_come();
        match slot.take() {
            Some(Turn::Answered(answer)) => assert_eq!(answer, Some(2)),
            Some(Turn::Read(_)) => panic!("it does not sleep"),
            None => assert_eq!(connection.finish(RequestId(2), &slot), Some(2)),
        }
        sleeper.join().unwrap();
    });
}

#[test]
fn a_caller_that_gives_up_takes_nothing_with_it() {
    explore(|| {
        let connection = Connection::new();
        let sleeper = Arc::clone(&connection);
        let sleeper = thread::spawn(move || assert_eq!(sleeper.call(1), Some(1)));
        let slot = Arc::default();
        connection.callers.enter(RequestId(2), &slot).unwrap();
        connection.send(RequestId(2));
        connection.callers.abandon(RequestId(2));
        sleeper.join().unwrap();
    });
}

#[test]
fn the_end_wakes_everyone() {
    explore(|| {
        let connection = Connection::new();
        let others = [1, 2].map(|number| {
            let connection = Arc::clone(&connection);
            thread::spawn(move || {
                let slot = Arc::default();
                if connection.callers.enter(RequestId(number), &slot).is_ok() {
                    assert_eq!(connection.finish(RequestId(number), &slot), None, "nothing was sent");
                }
            })
        });
        connection.close();
        others.into_iter().for_each(|other| other.join().unwrap());
    });
}
