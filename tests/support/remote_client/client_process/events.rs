//! Orders about events.

use std::thread::{self, JoinHandle};
use std::time::Duration;

use client::{Event, Latch, Result};
use protocol::{Grant, Reply, Request, Target, ThreadId, WaitMode};

use super::{ClientProcess, failure};
use crate::support::PATIENCE;
use crate::support::remote_client::{ClientReport, EventOrder, Setter};

impl ClientProcess {
    pub(super) fn follow_event(&mut self, order: EventOrder) -> Result<ClientReport> {
        match order {
            EventOrder::Open { name, auto_reset } => {
                let options = self.manager().event_options().auto_reset(auto_reset);
                self.event = Some(options.open_or_create(&name)?);
            }
            EventOrder::Take(bytes) => self.event = Some(client::decode(&bytes)?),
            EventOrder::Set { reason: None } => self.event().set()?,
            EventOrder::Set { reason: Some(reason) } => self.event().set_because(&reason)?,
            EventOrder::Clear => self.event().clear()?,
            EventOrder::IsSet => return self.event().is_set().map(ClientReport::Flag),
            EventOrder::Wait { timeout } => return wait(self.event(), timeout).map(ClientReport::Waited),
            EventOrder::Begin => self.begin_wait()?,
            EventOrder::Finish => return self.finish_wait(),
            EventOrder::Mirror => self.mirror = Some(self.event().mirror()?),
            EventOrder::Watch { timeout } => {
                let mirror = self.mirror.as_ref().expect("a mirror was asked for");
                return mirror.wait(timeout).map(ClientReport::Flag);
            }
            EventOrder::Crowd { threads } => return Ok(ClientReport::Crowd(self.wait_in_crowd(threads))),
            EventOrder::Rally { mine, theirs, rounds } => rally(&mine, &theirs, rounds)?,
            EventOrder::CountDown { latch } => self.count_down_to_zero(&latch)?,
            EventOrder::Serve { mine, theirs, rounds } => serve(&mine, &theirs, rounds)?,
        }
        Ok(ClientReport::Done)
    }

    fn event(&self) -> &Event {
        self.event.as_ref().expect("an event was opened or taken")
    }

    fn begin_wait(&mut self) -> Result<()> {
        let reference = self.event().reference();
        let body = Request::Wait {
            mode: WaitMode::Any,
            targets: [Target::Event { id: reference.id() }].into(),
            timeout_ns: None,
            thread: ThreadId(1),
        };
        self.wait = Some(reference.link()?.begin(body)?);
        // The manager carries out the requests of a connection in order: once it answers this one, it has the wait.
        self.event().is_set().map(drop)
    }

    fn finish_wait(&mut self) -> Result<ClientReport> {
        match self.wait.take().expect("a wait was begun").wait()? {
            Reply::Taken(mut taken) => match taken.grants.pop() {
                Some(Grant::Event(cause)) => {
                    Ok(ClientReport::Waited(Some(Setter::from(client::EventCause::from(cause)))))
                }
                grant => Err(failure(format!("a wait for an event gave {grant:?}"))),
            },
            reply => Err(failure(format!("a wait was answered with {reply:?}"))),
        }
    }

    fn wait_in_crowd(&self, threads: usize) -> Vec<Result<Option<Setter>>> {
        let begin = |_| {
            let event = self.event().clone();
            thread::spawn(move || wait(&event, None))
        };
        let waiting: Vec<JoinHandle<_>> = (0..threads).map(begin).collect();
        waiting.into_iter().map(|thread| thread.join().unwrap()).collect()
    }

    fn count_down_to_zero(&self, latch: &Latch) -> Result<()> {
        while latch.count()? > 0 {
            self.manager().pipeline(|pipeline| {
                drop((0..5_000).map(|_| pipeline.count_down(latch)).collect::<Vec<_>>());
            })?;
        }
        Ok(())
    }
}

fn wait(event: &Event, timeout: Option<Duration>) -> Result<Option<Setter>> {
    event.wait(timeout).map(|cause| cause.map(Setter::from))
}

fn rally(mine: &Event, theirs: &Event, rounds: u32) -> Result<()> {
    for round in 0..rounds {
        if mine.wait(PATIENCE)?.is_none() {
            return Err(failure(format!("nobody has set the event in round {round}")));
        }
        theirs.set()?;
    }
    Ok(())
}

fn serve(mine: &Event, theirs: &Event, rounds: u32) -> Result<()> {
    for round in 0..rounds {
        if theirs.set_and_wait(mine, PATIENCE)?.is_none() {
            return Err(failure(format!("nobody has set the event in round {round}")));
        }
    }
    Ok(())
}
