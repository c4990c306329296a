//! A process that acquires, waits and gives back as a test tells it to, one order after the other.
//!
//! Proxies travel to it inside its orders, and a test keeps its own until an order is done. What it holds, it holds
//! on a pile: orders that give back are about what was taken last.

use std::env;
use std::io::{self, Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::time::Duration;

use client::{
    Condition, Error, Event, Lock, LockGuard, Manager, Permit, RLock, Result, Semaphore, Taken, WokenBy,
    wait_all, wait_any,
};
use protocol::{HolderInfo, ObjectInfo, ObjectState, Reply, Request, Selector};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::Signal;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::support::helper;
use crate::support::{ManagerProgram, PATIENCE, eventually, kill, state};

/// How long an order may take: the longest is thousands of round trips.
const REPORT_TIME_MAX: Timespec = Timespec { tv_sec: 60, tv_nsec: 0 };

/// The helper that is one.
pub(crate) const ACTOR: &str = "actor";

/// What an actor can be told to do.
#[derive(Serialize, Deserialize)]
pub(crate) enum Order {
    /// Acquires a lock.
    Acquire(Lock, Option<Duration>),
    /// Acquires a reentrant lock.
    AcquireAgain(RLock, Option<Duration>),
    /// Acquires the lock of a condition.
    Enter(Condition),
    /// Acquires permits.
    Take(Semaphore, u64, Option<Duration>),
    /// Drops the guard.
    Drop,
    /// Gives the lock back, and waits until that is done.
    Release,
    /// Keeps the lock without a guard.
    Keep,
    /// Gives a lock back for which there is no guard.
    ReleaseKept(Lock),
    /// Takes a lock from its holder.
    ForceRelease(Lock),
    /// Takes a reentrant lock from its holder.
    ForceReleaseAgain(RLock),
    /// Gives the lock back and waits for an event.
    ReleaseAndWait(Event),
    /// Acquires a lock, unless an event is set.
    AcquireUnless(Lock, Event),
    /// Acquires all of these locks in one step.
    AcquireAll(Vec<Lock>),
    /// Waits for a condition with the guard.
    Wait(Condition, Option<Duration>),
    /// Waits for a condition until an event is set.
    WaitFor(Condition, Event, Option<Duration>),
    /// Waits for a condition or an event.
    WaitOr(Condition, Event, Option<Duration>),
    /// Notifies so many, or all.
    Notify(Condition, Option<usize>),
    /// Takes turns with another actor, so many times: waits until one event is set, clears it, and sets the other.
    Rally { condition: Condition, mine: Event, theirs: Event, rounds: u32 },
    /// Adds one to a number in a file, so many times, each with the lock held.
    Count { lock: Lock, file: String, rounds: u32 },
    /// Drops the permits.
    DropPermits,
    /// Gives the permits back, and waits until that is done.
    ReleasePermits,
    /// Lets the permits go without giving them back.
    Forget,
    /// Adds permits.
    Add(Semaphore, u64),
    /// Whether the guard has something to give back.
    IsHeld,
}

/// What came of an order.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Report {
    /// It is done.
    Done,
    /// Yes or no.
    Flag(bool),
    /// So many.
    Count(u64),
    /// It holds this now, or its timeout has ended.
    Held(Option<Held>),
    /// It holds all of these now.
    All(Vec<Held>),
    /// The event was set.
    Set,
    /// The condition was notified, and its lock is held again.
    Notified(Held),
    /// The condition was not notified in time, and its lock is held again.
    TimedOut(Held),
}

/// What is held.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Held {
    /// The token of a lock, or 0.
    pub(crate) token: u64,
    /// The depth of a lock, or the number of permits.
    pub(crate) depth: u64,
    /// Who left it behind: the process, and the whole sentence.
    pub(crate) abandoned: Option<(u32, String)>,
}

/// An actor, which ends with its test.
pub(crate) struct Actor {
    child: Child,
    orders: Option<ChildStdin>,
    reports: ChildStdout,
}

impl Actor {
    /// Starts one that is connected to this manager.
    pub(crate) fn start(program: &ManagerProgram) -> Actor {
        let mut command = helper::command(ACTOR);
        command.arg(&program.socket).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (orders, reports) = (child.stdin.take(), child.stdout.take().unwrap());
        let mut actor = Actor { child, orders, reports };
        assert_eq!(actor.report(), Ok(Report::Done));
        actor
    }

    /// Gives an order.
    pub(crate) fn tell(&mut self, order: Order) {
        let mut bytes = Vec::new();
        protocol::append_frame(&mut bytes, &order).unwrap();
        self.orders.as_mut().unwrap().write_all(&bytes).unwrap();
    }

    /// What came of the order before.
    pub(crate) fn report(&mut self) -> Result<Report> {
        let mut files = [PollFd::new(&self.reports, PollFlags::IN)];
        let readable = poll(&mut files, Some(&REPORT_TIME_MAX));
        assert_eq!(readable, Ok(1), "the actor does not come to an end with what it was told");
        read(&mut self.reports).expect("the actor has ended")
    }

    /// Gives an order, and waits until it is done.
    pub(crate) fn ask(&mut self, order: Order) -> Result<Report> {
        self.tell(order);
        self.report()
    }

    /// Gives an order that is bound to be done.
    pub(crate) fn does(&mut self, order: Order) {
        assert_eq!(self.ask(order), Ok(Report::Done));
    }

    /// Gives an order by which it gets hold of something, at once or when the wait is over.
    pub(crate) fn takes(&mut self, order: Order) -> Held {
        self.tell(order);
        self.has_taken()
    }

    /// What it holds by the order before.
    pub(crate) fn has_taken(&mut self) -> Held {
        match self.report() {
            Ok(Report::Held(Some(held))) => held,
            report => panic!("it was to take something: {report:?}"),
        }
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

    /// Kills it, and waits until it is gone. Returns which process it was.
    pub(crate) fn kill(mut self) -> u32 {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.process()
    }

    /// Lets it end in order, which drops what it holds. Returns which process it was.
    pub(crate) fn end(mut self) -> u32 {
        self.orders = None;
        assert!(self.child.wait().unwrap().success());
        self.process()
    }
}

impl Drop for Actor {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Everything about the object of this name.
pub(crate) fn inspect(manager: &Manager, name: &str) -> ObjectInfo {
    match manager.link().call(Request::Inspect { object: Selector::Name(name) }) {
        Ok(Reply::Object(information)) => *information,
        reply => panic!("{reply:?}"),
    }
}

/// Who holds the lock of this name.
pub(crate) fn holder(manager: &Manager, name: &str) -> Option<HolderInfo> {
    match inspect(manager, name).state {
        ObjectState::Lock { holder, .. } => holder,
        other => panic!("{other:?} is no lock"),
    }
}

/// Waits until so many requests wait for the object of this name.
pub(crate) fn until_waiting(manager: &Manager, name: &str, count: u32) {
    eventually("they wait", || inspect(manager, name).waiting == count);
}

/// What an actor does: connects to the manager at the socket that is its argument, and follows orders until there are
/// no more.
pub(crate) fn perform() -> Result<()> {
    let (mut orders, mut reports) = (io::stdin().lock(), io::stdout().lock());
    // Held, so that the connection stays when no proxy is left.
    let _manager = Manager::connect_to(env::args_os().nth(2).expect("the socket is an argument"))?;
    let mut pile = Pile::default();
    let mut outcome = Ok(Report::Done);
    loop {
        let mut bytes = Vec::new();
        protocol::append_frame(&mut bytes, &outcome).unwrap();
        reports.write_all(&bytes).and_then(|()| reports.flush()).unwrap();
        let Some(order) = read(&mut orders) else { return Ok(()) };
        outcome = pile.follow(order);
    }
}

/// What an actor holds.
#[derive(Default)]
struct Pile {
    guards: Vec<LockGuard>,
    permits: Vec<Permit>,
}

impl Pile {
    fn follow(&mut self, order: Order) -> Result<Report> {
        match order {
            Order::Acquire(lock, None) => return Ok(self.guard(lock.acquire().map(Some)?)),
            Order::Acquire(lock, Some(timeout)) => return Ok(self.guard(lock.acquire_timeout(timeout)?)),
            Order::AcquireAgain(lock, None) => return Ok(self.guard(lock.acquire().map(Some)?)),
            Order::AcquireAgain(lock, Some(timeout)) => return Ok(self.guard(lock.acquire_timeout(timeout)?)),
            Order::Enter(condition) => return Ok(self.guard(condition.acquire().map(Some)?)),
            Order::Take(semaphore, permits, None) => {
                return Ok(self.permit(Some(semaphore.acquire(permits)?)));
            }
            Order::Take(semaphore, permits, Some(timeout)) => {
                return Ok(self.permit(semaphore.acquire_timeout(permits, timeout)?));
            }
            Order::Drop => drop(self.pop()),
            Order::Release => self.pop().release()?,
            Order::Keep => self.pop().keep(),
            Order::ReleaseKept(lock) => lock.release()?,
            Order::ForceRelease(lock) => lock.force_release()?,
            Order::ForceReleaseAgain(lock) => lock.force_release()?,
            Order::ReleaseAndWait(event) => {
                let taken = self.pop().release_and_wait(&event, None)?;
                return Ok(if let Some(Taken::Event(_)) = taken { Report::Set } else { Report::Done });
            }
            Order::AcquireUnless(lock, event) => {
                let (_, taken) = wait_any(&[&event, &lock], None)?.expect("there is no timeout");
                return Ok(self.taken(taken));
            }
            Order::AcquireAll(locks) => return self.acquire_all(&locks),
            Order::Wait(condition, timeout) => {
                let is_notified = condition.wait(self.top(), timeout)?;
                return Ok(if is_notified { self.notified() } else { self.timed_out() });
            }
            Order::WaitFor(condition, event, timeout) => {
                return condition.wait_for(self.top(), timeout, || event.is_set()).map(Report::Flag);
            }
            Order::WaitOr(condition, event, timeout) => {
                return Ok(match condition.wait_or(self.top(), &[&event], timeout)? {
                    WokenBy::Notified => self.notified(),
                    WokenBy::Other(_, taken) => self.taken(taken),
                    WokenBy::TimedOut => self.timed_out(),
                });
            }
            Order::Notify(condition, count) => {
                let woken = match count {
                    Some(1) => condition.notify_one()?,
                    Some(count) => condition.notify(count)?,
                    None => condition.notify_all()?,
                };
                return Ok(Report::Count(woken as u64));
            }
            Order::Rally { condition, mine, theirs, rounds } => rally(&condition, &mine, &theirs, rounds)?,
            Order::Count { lock, file, rounds } => count(&lock, &file, rounds)?,
            Order::DropPermits => drop(self.permits.pop().expect("it holds permits")),
            Order::ReleasePermits => self.permits.pop().expect("it holds permits").release()?,
            Order::Forget => self.permits.pop().expect("it holds permits").forget()?,
            Order::Add(semaphore, permits) => semaphore.release(permits)?,
            Order::IsHeld => return Ok(Report::Flag(self.top().is_held())),
        }
        Ok(Report::Done)
    }

    fn guard(&mut self, guard: Option<LockGuard>) -> Report {
        let report = Report::Held(guard.as_ref().map(held));
        self.guards.extend(guard);
        report
    }

    fn permit(&mut self, permit: Option<Permit>) -> Report {
        let report = Report::Held(permit.as_ref().map(|permit| Held {
            token: 0,
            depth: permit.permits(),
            abandoned: permit.abandoned().map(|left| (left.process, left.to_string())),
        }));
        self.permits.extend(permit);
        report
    }

    fn taken(&mut self, taken: Taken) -> Report {
        match taken {
            Taken::Lock(guard) => self.guard(Some(guard)),
            Taken::Permit(permit) => self.permit(Some(permit)),
            Taken::Event(_) => Report::Set,
            other => panic!("nobody waits for {other:?}"),
        }
    }

    fn acquire_all(&mut self, locks: &[Lock]) -> Result<Report> {
        let targets: Vec<&dyn client::Waitable> = locks.iter().map(|lock| lock as _).collect();
        let all = wait_all(&targets, None)?.expect("there is no timeout");
        let mut held_now = Vec::new();
        for taken in all {
            let Taken::Lock(guard) = taken else { panic!("{taken:?} is no lock") };
            held_now.push(held(&guard));
            self.guards.push(guard);
        }
        Ok(Report::All(held_now))
    }

    fn notified(&mut self) -> Report {
        Report::Notified(held(self.top()))
    }

    fn timed_out(&mut self) -> Report {
        Report::TimedOut(held(self.top()))
    }

    fn top(&mut self) -> &mut LockGuard {
        self.guards.last_mut().expect("it holds a lock")
    }

    fn pop(&mut self) -> LockGuard {
        self.guards.pop().expect("it holds a lock")
    }
}

fn held(guard: &LockGuard) -> Held {
    Held {
        token: guard.token(),
        depth: guard.depth().into(),
        abandoned: guard.abandoned().map(|left| (left.process, left.to_string())),
    }
}

fn rally(condition: &Condition, mine: &Event, theirs: &Event, rounds: u32) -> Result<()> {
    for round in 0..rounds {
        let mut guard = condition.acquire()?;
        if !condition.wait_for(&mut guard, PATIENCE, || mine.is_set())? {
            return Err(other(&format!("it was not this one's turn in round {round}")));
        }
        mine.clear()?;
        theirs.set()?;
        condition.notify_all()?;
    }
    Ok(())
}

/// Without the lock, additions of others would be lost.
fn count(lock: &Lock, file: &str, rounds: u32) -> Result<()> {
    for _ in 0..rounds {
        let _guard = lock.acquire()?;
        let number: u32 = std::fs::read_to_string(file).unwrap().parse().unwrap();
        std::fs::write(file, (number + 1).to_string()).unwrap();
    }
    Ok(())
}

fn other(text: &str) -> Error {
    Error::new(client::internal::ErrorKind::Other, text)
}

/// The next value, or none at the end of the stream.
fn read<T: DeserializeOwned>(input: &mut impl Read) -> Option<T> {
    let mut length = [0; 4];
    input.read_exact(&mut length).ok()?;
    let mut bytes = vec![0; u32::from_le_bytes(length) as usize];
    input.read_exact(&mut bytes).ok()?;
    Some(postcard::from_bytes(&bytes).unwrap())
}
