//! A process that does with an event what a test tells it to, one order after the other.
//!
//! A wait is two orders, `Begin` and `Finish`: when the first is done, the manager has the wait, so that a test can
//! go on to whatever is to happen meanwhile.

use std::env;
use std::io::{self, Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use client::internal::Pending;
use client::{Cause, Error, Event, EventMirror, Latch, Manager, Result};
use protocol::{Grant, Reply, Request, Target, ThreadId, WaitMode};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::Signal;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::support::helper;
use crate::support::{ManagerProgram, PATIENCE, eventually, kill, state};

/// How long an order may take: the longest is thousands of round trips.
const REPORT_TIME_MAX: Timespec = Timespec { tv_sec: 60, tv_nsec: 0 };

/// What a puppet can be told to do. All but `Rally`, `Serve` and `CountDown` is about the event that it opened or took
/// last.
#[derive(Serialize, Deserialize)]
pub(crate) enum Order {
    /// Opens an event, or makes it.
    Open { name: String, auto_reset: bool },
    /// Takes an event whose proxy these bytes are, in postcard.
    Take(Vec<u8>),
    /// Sets the event.
    Set { reason: Option<String> },
    /// Clears the event.
    Clear,
    /// Asks whether the event is set.
    IsSet,
    /// Waits for the event.
    Wait { timeout: Option<Duration> },
    /// Begins to wait for the event.
    Begin,
    /// Ends the wait that was begun.
    Finish,
    /// Asks for the event's mirror.
    Mirror,
    /// Waits at the mirror.
    Watch { timeout: Duration },
    /// Waits for the event in so many threads, and tells how each of the waits ended.
    Crowd { threads: usize },
    /// Waits for one event and sets the other, so many times.
    Rally { mine: Event, theirs: Event, rounds: u32 },
    /// Counts a latch down to zero, in one batch after the other.
    CountDown { latch: Latch },
    /// Sets one event and waits for the other in one step, so many times.
    Serve { mine: Event, theirs: Event, rounds: u32 },
}

/// What came of an order.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Report {
    /// It is done.
    Done,
    /// The event is set, or is not.
    Flag(bool),
    /// The wait has ended, by this cause or by its timeout.
    Waited(Option<Setter>),
    /// The waits of a crowd have ended so.
    Crowd(Vec<Result<Option<Setter>>>),
}

/// Who set an event, and why.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Setter {
    pub(crate) process: u32,
    pub(crate) program: String,
    pub(crate) reason: Option<String>,
}

/// A puppet, which ends with its test.
pub(crate) struct Puppet {
    child: Child,
    orders: ChildStdin,
    reports: ChildStdout,
}

impl Puppet {
    /// Starts one that is connected to this manager.
    pub(crate) fn start(program: &ManagerProgram) -> Puppet {
        Puppet::start_with(helper::command("puppet").arg(&program.socket)).unwrap()
    }

    /// Starts one that has opened an event.
    pub(crate) fn with_event(program: &ManagerProgram, name: &str, auto_reset: bool) -> Puppet {
        let mut puppet = Puppet::start(program);
        assert_eq!(puppet.ask(&Order::Open { name: name.to_owned(), auto_reset }), Ok(Report::Done));
        puppet
    }

    /// Starts one with this command, and returns when it has connected, or could not.
    pub(crate) fn start_with(command: &mut Command) -> Result<Puppet> {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (orders, reports) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let mut puppet = Puppet { child, orders, reports };
        assert_eq!(puppet.report()?, Report::Done);
        Ok(puppet)
    }

    /// Gives an order.
    pub(crate) fn tell(&mut self, order: &Order) {
        write(&mut self.orders, order);
    }

    /// What came of the order before.
    pub(crate) fn report(&mut self) -> Result<Report> {
        let mut files = [PollFd::new(&self.reports, PollFlags::IN)];
        let readable = poll(&mut files, Some(&REPORT_TIME_MAX));
        assert_eq!(readable, Ok(1), "the puppet does not come to an end with what it was told");
        read(&mut self.reports).expect("the puppet has ended")
    }

    /// Gives an order, and waits until it is done.
    pub(crate) fn ask(&mut self, order: &Order) -> Result<Report> {
        self.tell(order);
        self.report()
    }

    /// Has it wait for its event; when this returns, the manager has the wait.
    pub(crate) fn begin_wait(&mut self) {
        assert_eq!(self.ask(&Order::Begin), Ok(Report::Done));
        self.tell(&Order::Finish);
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

    /// Has it go on after [`stop`](Self::stop).
    pub(crate) fn go_on(&self) {
        kill(self.process(), Signal::CONT);
    }

    /// Kills it, and waits until it is gone.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Puppet {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a puppet does: connects to the manager at the socket that is its argument, or else to the usual one, and
/// follows orders until there are no more.
pub(crate) fn perform() -> Result<()> {
    let (mut orders, mut reports) = (io::stdin().lock(), io::stdout().lock());
    let connected = env::args_os().nth(2).map_or_else(Manager::connect, Manager::connect_to);
    let mut stage = match connected {
        Ok(manager) => Stage { manager, event: None, mirror: None, wait: None },
        Err(error) => {
            write(&mut reports, &Err::<Report, Error>(error));
            return Ok(());
        }
    };
    write(&mut reports, &Ok::<Report, Error>(Report::Done));
    while let Some(order) = read(&mut orders) {
        write(&mut reports, &stage.follow(order));
    }
    Ok(())
}

/// What a puppet has in its hands.
struct Stage {
    manager: Manager,
    event: Option<Event>,
    mirror: Option<EventMirror>,
    wait: Option<Pending>,
}

impl Stage {
    fn follow(&mut self, order: Order) -> Result<Report> {
        match order {
            Order::Open { name, auto_reset } => {
                self.event = Some(self.manager.event_options().auto_reset(auto_reset).open_or_create(&name)?);
            }
            Order::Take(bytes) => self.event = Some(client::decode(&bytes)?),
            Order::Set { reason: None } => self.event().set()?,
            Order::Set { reason: Some(reason) } => self.event().set_because(&reason)?,
            Order::Clear => self.event().clear()?,
            Order::IsSet => return self.event().is_set().map(Report::Flag),
            Order::Wait { timeout } => return wait(self.event(), timeout).map(Report::Waited),
            Order::Begin => self.begin()?,
            Order::Finish => return self.finish(),
            Order::Mirror => self.mirror = Some(self.event().mirror()?),
            Order::Watch { timeout } => {
                let mirror = self.mirror.as_ref().expect("a mirror was asked for");
                return mirror.wait(timeout).map(Report::Flag);
            }
            Order::Crowd { threads } => return Ok(Report::Crowd(self.crowd(threads))),
            Order::Rally { mine, theirs, rounds } => rally(&mine, &theirs, rounds)?,
            Order::CountDown { latch } => self.count_down(&latch)?,
            Order::Serve { mine, theirs, rounds } => serve(&mine, &theirs, rounds)?,
        }
        Ok(Report::Done)
    }

    fn event(&self) -> &Event {
        self.event.as_ref().expect("an event was opened or taken")
    }

    fn begin(&mut self) -> Result<()> {
        let reference = self.event().reference();
        let body = Request::Wait {
            mode: WaitMode::Any,
            targets: [Target::Event { id: reference.id() }].into(),
            timeout_ns: None,
            thread: ThreadId(1),
        };
        self.wait = Some(reference.link()?.begin(body)?);
        // The requests of a connection are carried out in order: once this is answered, the wait is there.
        self.event().is_set().map(drop)
    }

    fn finish(&mut self) -> Result<Report> {
        match self.wait.take().expect("a wait was begun").wait()? {
            Reply::Taken(mut taken) => match taken.grants.pop() {
                Some(Grant::Event(cause)) => Ok(Report::Waited(Some(setter(cause.into())))),
                grant => Err(other(format!("a wait for an event gave {grant:?}"))),
            },
            reply => Err(other(format!("a wait was answered with {reply:?}"))),
        }
    }

    fn count_down(&self, latch: &Latch) -> Result<()> {
        while latch.count()? > 0 {
            self.manager
                .batch(|batch| drop((0..5_000).map(|_| batch.count_down(latch)).collect::<Vec<_>>()))?;
        }
        Ok(())
    }

    fn crowd(&self, threads: usize) -> Vec<Result<Option<Setter>>> {
        let begin = |_| {
            let event = self.event().clone();
            thread::spawn(move || wait(&event, None))
        };
        let waiting: Vec<JoinHandle<_>> = (0..threads).map(begin).collect();
        waiting.into_iter().map(|thread| thread.join().unwrap()).collect()
    }
}

fn wait(event: &Event, timeout: Option<Duration>) -> Result<Option<Setter>> {
    event.wait(timeout).map(|cause| cause.map(setter))
}

fn rally(mine: &Event, theirs: &Event, rounds: u32) -> Result<()> {
    for round in 0..rounds {
        if mine.wait(PATIENCE)?.is_none() {
            return Err(other(format!("nobody has set the event in round {round}")));
        }
        theirs.set()?;
    }
    Ok(())
}

fn serve(mine: &Event, theirs: &Event, rounds: u32) -> Result<()> {
    for round in 0..rounds {
        if theirs.set_and_wait(mine, PATIENCE)?.is_none() {
            return Err(other(format!("nobody has set the event in round {round}")));
        }
    }
    Ok(())
}

fn setter(cause: Cause) -> Setter {
    Setter {
        process: cause.process,
        program: cause.program.to_string(),
        reason: cause.reason.map(|reason| reason.to_string()),
    }
}

fn other(what: impl ToString) -> Error {
    Error::new(client::internal::ErrorKind::Other, what.to_string())
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
