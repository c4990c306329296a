//! How a pool is made.

use std::io;
use std::sync::Arc;

use protocol::{ObjectId, OpenMode, Request, Spec};

use super::assignment::{Assignment, WORKER};
use super::supervisor::{Hooks, Supervisor};
use super::{Pool, Workers};
use crate::internal::copy_of_this_program;
use crate::link::Link;
use crate::reference::Reference;
use crate::task::is_registry_set;
use crate::{Error, ErrorKind, Manager, Result};

/// Makes a [`Pool`] with workers of its own. See [`Pool::builder`].
#[derive(Debug)]
#[must_use = "a builder makes no pool before `start`"]
pub struct PoolBuilder<'a> {
    manager: &'a Manager,
    processes: Option<usize>,
    name: Option<String>,
}

impl<'a> PoolBuilder<'a> {
    pub(super) fn new(manager: &'a Manager) -> PoolBuilder<'a> {
        PoolBuilder { manager, processes: None, name: None }
    }

    /// How many worker processes; as many as this process may use cores if it is not said.
    pub fn processes(mut self, processes: usize) -> PoolBuilder<'a> {
        self.processes = Some(processes);
        self
    }

    /// Gives the pool a name, so that other programs can submit to it with [`Pool::open`].
    ///
    /// The name is free again when the pool is dropped.
    pub fn name(mut self, name: impl Into<String>) -> PoolBuilder<'a> {
        self.name = Some(name.into());
        self
    }

    /// Starts the workers, and returns at once: tasks can be submitted before the first worker is ready.
    ///
    /// Workers are copies of this program. Those that die are replaced; if workers keep dying before they are ready,
    /// all tasks fail with [`Error::is_terminated`] and a text that says how.
    ///
    /// # Errors
    ///
    /// The program has not called `worker::init` first thing in `main`; the number of processes is zero; an object
    /// with this name exists ([`Error::is_already_exists`]).
    pub fn start(self) -> Result<Pool> {
        let processes = self.processes.unwrap_or_else(super::available_cores);
        check_can_start(processes)?;
        let link = self.manager.link();
        let reference = Reference::open(link, self.name.as_deref(), Spec::Pool, OpenMode::CreateNew)?;
        let supervisor = supervise(link, reference.id(), processes)?;
        let is_named = self.name.is_some();
        Ok(Pool::new_with(reference, processes, Workers::Own { supervisor, is_named }))
    }
}

/// Refuses what can be known to fail before anything is started.
pub(super) fn check_can_start(processes: usize) -> Result<()> {
    let text = if processes == 0 {
        "a pool needs at least one process"
    } else if !is_registry_set() {
        "a pool's workers are copies of this program, which must call `worker::init(registry)` first thing in `main`"
    } else {
        return Ok(());
    };
    Err(Error::new(ErrorKind::Other, text))
}

/// Starts workers for a pool: copies of this program. Its tasks fail if none can be started.
pub(super) fn supervise(link: &Arc<Link>, pool: ObjectId, processes: usize) -> Result<Supervisor> {
    let assignment = Assignment {
        socket: link.socket().to_owned(),
        epoch: link.epoch(),
        pool,
        parent: std::process::id(),
    };
    let arguments = assignment.to_arguments();
    // The first is made here, so that what is wrong with this program is an error of the caller.
    copy_of_this_program(WORKER, &arguments)?;
    let command = move || copy_of_this_program(WORKER, &arguments).map_err(io::Error::other);
    let asked = Arc::clone(link);
    let is_manager_gone = move || !asked.is_live();
    let link = Arc::clone(link);
    let broken = move |reason: &str| {
        // If the manager is gone, so are the tasks.
        let _ = link.send(Request::PoolTerminate { id: pool, reason });
    };
    let hooks = Hooks {
        command: Box::new(command),
        is_manager_gone: Box::new(is_manager_gone),
        broken: Box::new(broken),
    };
    Supervisor::start(processes, hooks).map_err(|error| {
        Error::new(ErrorKind::Other, format!("a pool's supervisor can not be started: {error}"))
    })
}
