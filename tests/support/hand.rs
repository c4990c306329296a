//! A process that does with a queue, a barrier or a latch what a test tells it to, one order after the other.
//!
//! It blocks in an order as any program would. A test that wants to go on when it does asks the manager who waits.

use std::io::{self, Read, Write};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::time::Duration;

use client::{Barrier, Error, Event, Latch, Lock, Manager, Passed, Queue, Result};
use protocol::ObjectId;
use rustix::process::Signal;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::support::helper;
use crate::support::{eventually, kill, state};

/// The argument that makes this program one.
pub(crate) const HAND: &str = "hand";

/// What a hand can be told to do, with the object of the kind that it took last.
#[derive(Serialize, Deserialize)]
pub(crate) enum Order {
    /// Takes a queue.
    Queue(Queue<u64>),
    /// Takes a barrier.
    Barrier(Barrier),
    /// Takes a latch.
    Latch(Latch),
    /// Acquires a lock, and keeps it.
    Lock(Lock),
    /// Puts an item.
    Put(u64),
    /// Puts an item, if there is room in time.
    PutTimeout(u64, Duration),
    /// Gets an item.
    Get,
    /// Gets an item, if one comes in time.
    GetTimeout(Duration),
    /// Gets an item that carries two events, sets both, and keeps them.
    GetPair(Queue<(Event, Event)>),
    /// Gets all items until the queue is closed.
    Drain,
    /// Says that an item is finished.
    TaskDone,
    /// Gets an item in another thread, which says that it is finished.
    GetAndFinishInThread,
    /// Panics, and ends by that.
    Panic,
    /// Waits until all items are finished.
    Join,
    /// Waits at the barrier.
    Pass(Option<Duration>),
    /// Waits at the barrier, with an action.
    PassWith(Action),
    /// Breaks the barrier.
    Abort(String),
    /// Counts the latch down.
    CountDown(u64),
    /// Waits for the latch.
    Open(Option<Duration>),
    /// Counts the latch down, and waits for it.
    CountDownAndOpen,
}

/// What a party does for all others.
#[derive(Serialize, Deserialize)]
pub(crate) enum Action {
    /// Counts the latch down.
    CountDown,
    /// Fails.
    Fail(String),
    /// Panics.
    Panic(String),
    /// Sets the first event and waits for the second.
    Hold(Event, Event),
}

/// What came of an order.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Report {
    /// It is done.
    Done,
    /// It is, or is not.
    Flag(bool),
    /// An item, or none in time.
    Item(Option<u64>),
    /// All items.
    Items(Vec<u64>),
    /// What is left of a latch.
    Left(u64),
    /// The place among the parties of a barrier.
    Passed { index: u32, leads: bool },
    /// The order panicked, with this text.
    Panicked(String),
}

/// A hand, which ends with its test.
pub(crate) struct Hand {
    child: Child,
    /// None when it is told no more.
    orders: Option<ChildStdin>,
    reports: ChildStdout,
}

impl Hand {
    /// Starts one, and has it take something.
    pub(crate) fn with(order: &Order) -> Hand {
        let mut command = helper::command(HAND);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (orders, reports) = (child.stdin.take(), child.stdout.take().unwrap());
        let mut hand = Hand { child, orders, reports };
        assert_eq!(hand.ask(order), Ok(Report::Done));
        hand
    }

    /// Gives an order.
    pub(crate) fn tell(&mut self, order: &Order) {
        write(self.orders.as_mut().unwrap(), order);
    }

    /// What came of the order before.
    pub(crate) fn report(&mut self) -> Result<Report> {
        read(&mut self.reports).expect("the hand has ended")
    }

    /// Gives an order, and waits until it is done.
    pub(crate) fn ask(&mut self, order: &Order) -> Result<Report> {
        self.tell(order);
        self.report()
    }

    /// The process id.
    pub(crate) fn process(&self) -> u32 {
        self.child.id()
    }

    /// Stops it, so that it does nothing until it is continued or killed.
    pub(crate) fn stop(&self) {
        kill(self.process(), Signal::STOP);
        let folder = format!("/proc/{}", self.process());
        eventually("it is stopped", || state(folder.as_ref()) == Some('T'));
    }

    /// Kills it, and waits until it is gone.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Has it end by a panic, and waits until it is gone.
    pub(crate) fn panic(mut self) {
        self.tell(&Order::Panic);
        assert!(!self.child.wait().unwrap().success());
    }

    /// Has it leave in order, and waits until it is gone.
    pub(crate) fn leave(mut self) {
        self.orders = None;
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Hand {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits until so many wait for an object.
pub(crate) fn until_waiting(manager: &Manager, object: ObjectId, count: u32) {
    eventually("they wait", || manager.inspect_id(object).unwrap().waiting == count);
}

/// What a hand does: follows orders until there are no more.
pub(crate) fn perform() -> Result<()> {
    let (mut orders, mut reports) = (io::stdin().lock(), io::stdout().lock());
    let mut grip = Grip::default();
    while let Some(order) = read(&mut orders) {
        if matches!(order, Order::Panic) {
            // As `panic!` does, but without a text on the screen.
            resume_unwind(Box::new("on purpose"));
        }
        let outcome = catch_unwind(AssertUnwindSafe(|| grip.follow(order)));
        let panicked = |panic: Box<dyn std::any::Any + Send>| {
            Ok(Report::Panicked(panic.downcast_ref::<String>().cloned().unwrap_or_default()))
        };
        write(&mut reports, &outcome.unwrap_or_else(panicked));
    }
    Ok(())
}

/// What a hand has taken.
#[derive(Default)]
struct Grip {
    queue: Option<Queue<u64>>,
    barrier: Option<Barrier>,
    latch: Option<Latch>,
    lock: Option<client::LockGuard>,
    pair: Option<(Event, Event)>,
}

impl Grip {
    fn follow(&mut self, order: Order) -> Result<Report> {
        match order {
            Order::Queue(queue) => self.queue = Some(queue),
            Order::Barrier(barrier) => self.barrier = Some(barrier),
            Order::Latch(latch) => self.latch = Some(latch),
            Order::Lock(lock) => self.lock = Some(lock.acquire()?),
            Order::Put(item) => self.queue().put(&item)?,
            Order::PutTimeout(item, time) => return self.queue().put_timeout(&item, time).map(Report::Flag),
            Order::Get => return self.queue().get().map(|item| Report::Item(Some(item))),
            Order::GetTimeout(time) => return self.queue().get_timeout(time).map(Report::Item),
            Order::GetPair(queue) => {
                let (first, second) = &*self.pair.insert(queue.get()?);
                first.set()?;
                second.set()?;
            }
            Order::Drain => return self.queue().iter().collect::<Result<_>>().map(Report::Items),
            Order::TaskDone => self.queue().task_done()?,
            Order::GetAndFinishInThread => {
                let get = || self.queue().get().and_then(|item| self.queue().task_done().map(|()| item));
                let item = std::thread::scope(|scope| scope.spawn(get).join().unwrap());
                return item.map(|item| Report::Item(Some(item)));
            }
            Order::Panic => unreachable!("it ends the hand"),
            Order::Join => return self.queue().join(None).map(Report::Flag),
            Order::Pass(timeout) => return self.barrier().wait(timeout).map(passed),
            Order::PassWith(action) => {
                return self.barrier().wait_with(None, || self.act(action)).map(passed);
            }
            Order::Abort(reason) => self.barrier().abort(&reason)?,
            Order::CountDown(count) => return self.latch().count_down_by(count).map(Report::Left),
            Order::Open(timeout) => return self.latch().wait(timeout).map(Report::Flag),
            Order::CountDownAndOpen => return self.latch().count_down_and_wait(None).map(Report::Flag),
        }
        Ok(Report::Done)
    }

    fn act(&self, action: Action) -> Result<()> {
        match action {
            Action::CountDown => self.latch().count_down().map(drop),
            Action::Fail(text) => Err(Error::new(client::internal::ErrorKind::Other, text)),
            // As `panic!` does, but without a text on the screen.
            Action::Panic(text) => resume_unwind(Box::new(text)),
            Action::Hold(runs, end) => {
                runs.set()?;
                end.wait(None).map(drop)
            }
        }
    }

    fn queue(&self) -> &Queue<u64> {
        self.queue.as_ref().expect("a queue was taken")
    }

    fn barrier(&self) -> &Barrier {
        self.barrier.as_ref().expect("a barrier was taken")
    }

    fn latch(&self) -> &Latch {
        self.latch.as_ref().expect("a latch was taken")
    }
}

fn passed(passed: Passed) -> Report {
    Report::Passed { index: passed.index, leads: passed.leads }
}

fn write<T: Serialize>(output: &mut impl Write, value: &T) {
    let mut bytes = Vec::new();
    protocol::append_frame(&mut bytes, value).unwrap();
    output.write_all(&bytes).and_then(|()| output.flush()).unwrap();
}

/// The next value, or none at the end of the stream.
fn read<T: DeserializeOwned>(input: &mut impl Read) -> Option<T> {
    let mut length = [0; 4];
    input.read_exact(&mut length).ok()?;
    let mut bytes = vec![0; u32::from_le_bytes(length) as usize];
    input.read_exact(&mut bytes).ok()?;
    Some(postcard::from_bytes(&bytes).unwrap())
}
