//! The process of a remote client: it follows orders until there are no more.

use std::any::Any;
use std::env;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use client::internal::{ErrorKind, PendingAnswer};
use client::{Barrier, Error, Event, EventMirror, Latch, LockGuard, Manager, Permit, Queue, Result};

use super::framing::{CONNECT_LATER, read, write};
use super::order::ClientOrder;
use super::report::ClientReport;
use crate::support::{apply, helper};

mod events;
mod guards;
mod rendezvous;

/// A remote client: connects to the manager at the socket that is its argument, or to the default one, and follows
/// orders until there are no more.
#[apply(helper)]
pub(crate) fn follow_orders() -> Result<()> {
    let (mut orders, mut reports) = (io::stdin().lock(), io::stdout().lock());
    let mut process = match connect() {
        Ok(manager) => ClientProcess { manager, ..ClientProcess::default() },
        Err(error) => {
            write(&mut reports, &Err::<ClientReport, Error>(error));
            return Ok(());
        }
    };
    write(&mut reports, &Ok::<ClientReport, Error>(ClientReport::Done));
    while let Some(order) = read(&mut orders) {
        if matches!(order, ClientOrder::Panic) {
            // This panics without printing a message.
            resume_unwind(Box::new("on purpose"));
        }
        let outcome = catch_unwind(AssertUnwindSafe(|| process.follow(order)));
        write(&mut reports, &outcome.unwrap_or_else(|panic| Ok(panicked(&*panic))));
    }
    Ok(())
}

/// Connects to the manager at the socket that is the argument, or to the default one. None if the first proxy is to
/// connect.
fn connect() -> Result<Option<Manager>> {
    match env::args_os().nth(2) {
        None => Manager::connect().map(Some),
        Some(argument) if argument == CONNECT_LATER => Ok(None),
        Some(socket) => Manager::connect_to(socket).map(Some),
    }
}

fn panicked(panic: &(dyn Any + Send)) -> ClientReport {
    ClientReport::Panicked(panic.downcast_ref::<String>().cloned().unwrap_or_default())
}

/// What a remote client holds and uses, in the order in which it is dropped.
#[derive(Default)]
struct ClientProcess {
    guards: Vec<LockGuard>,
    permits: Vec<Permit>,
    event: Option<Event>,
    mirror: Option<EventMirror>,
    wait: Option<PendingAnswer>,
    queue: Option<Queue<u64>>,
    pair: Option<(Event, Event)>,
    barrier: Option<Barrier>,
    latch: Option<Latch>,
    /// This keeps the connection when no proxy is left.
    manager: Option<Manager>,
}

impl ClientProcess {
    fn follow(&mut self, order: ClientOrder) -> Result<ClientReport> {
        match order {
            ClientOrder::Event(order) => self.follow_event(order),
            ClientOrder::Lock(order) => self.follow_lock(order),
            ClientOrder::Condition(order) => self.follow_condition(order),
            ClientOrder::Semaphore(order) => self.follow_semaphore(order),
            ClientOrder::Queue(order) => self.follow_queue(order),
            ClientOrder::Barrier(order) => self.follow_barrier(order),
            ClientOrder::Latch(order) => self.follow_latch(order),
            ClientOrder::Panic => unreachable!("it ends the process"),
        }
    }

    fn manager(&self) -> &Manager {
        self.manager.as_ref().expect("it has connected at its start")
    }
}

/// An error of a remote client's own.
fn failure(text: impl ToString) -> Error {
    Error::new(ErrorKind::Other, text.to_string())
}
