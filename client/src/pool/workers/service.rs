//! Workers for a pool that other programs submit to.

use client_core::Operation;
use client_core::operations::EventSet;
use protocol::{OpenMode, Spec};

use crate::objects::reference::Reference;
use crate::pool::workers::start::{self, available_cores};
use crate::pool::workers::supervisor::{Ended, Supervisor};
use crate::{Event, Manager, Result};

/// Worker processes, copies of this program, that serve a pool by its name.
///
/// Other programs submit to it with [`Pool::open`](crate::Pool::open), and name the functions of this program with
/// [`named`](crate::task::named). Several programs may serve one pool, if all know the same functions.
///
/// Its workers [leave](Self::leave) on request, after the tasks that they run. Dropping the service ends them at once,
/// and does not affect the pool and its other workers: a task that one of the ended workers was running fails with
/// [`Error::is_worker_died`](crate::Error::is_worker_died), and tasks in the queue go on waiting. The same happens when
/// the service gives up because workers keep dying before they are ready.
#[derive(Debug)]
pub struct Service {
    /// Declared first, so that the workers end before the reference to the pool is dropped.
    supervisor: Supervisor,
    /// Keeps the pool alive as long as it is served.
    _reference: Reference,
    /// Setting it makes the workers leave.
    leave: Event,
    processes: usize,
}

impl Service {
    /// Opens or makes the pool of this name, and starts this many workers for it; by default, one for each core.
    ///
    /// # Errors
    ///
    /// The name is not valid, or an object of another kind has it; the program has not called `rallypoint::init` first
    /// thing in `main`; the number of processes is zero, or over 1,024
    /// ([`is_bad_argument`](crate::Error::is_bad_argument)).
    pub fn start(manager: &Manager, name: &str, processes: Option<usize>) -> Result<Service> {
        let processes = processes.unwrap_or_else(available_cores);
        start::check_can_start(processes)?;
        let link = manager.link();
        let reference = Reference::open(link, Some(name), Spec::Pool, OpenMode::OpenOrCreate)?;
        let leave = manager.anonymous_event()?;
        let options = start::WorkerOptions::of_service(leave.reference().id());
        let supervisor =
            start::supervise(link, reference.id(), processes, options, start::FailureScope::Service)?;
        Ok(Service { supervisor, _reference: reference, leave, processes })
    }

    /// How many workers should run.
    pub fn processes(&self) -> usize {
        self.processes
    }

    /// Waits until all workers are ready. Returns false if the service has ended instead; [`join`](Self::join) says
    /// how.
    pub fn wait_ready(&self) -> bool {
        self.supervisor.wait_ready(self.processes)
    }

    /// Makes the workers take no more tasks, and leave once the tasks that they run have ended. Does not wait for them.
    /// Tasks in the queue remain for other workers.
    ///
    /// # Errors
    ///
    /// The manager is gone ([`is_manager_gone`](crate::Error::is_manager_gone)), and so are the workers. A manager that
    /// does not answer is no error: the workers leave when it goes on.
    pub fn leave(&self) -> Result<()> {
        let reference = self.leave.reference();
        reference.link()?.send(EventSet { id: reference.id(), reason: None }.into_request())
    }

    /// Ends the workers, even in the middle of tasks. Does not wait for their end.
    pub fn terminate(&self) {
        self.supervisor.terminate();
    }

    /// Waits until all workers have ended: they have [left](Self::leave), the pool was closed, they were terminated or
    /// cannot be started, or the manager is gone.
    pub fn join(&self) -> Ended {
        self.supervisor.join()
    }
}
