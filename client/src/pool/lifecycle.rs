//! The life of a pool: how it is opened, closed, terminated, joined and dropped.

use std::sync::{Arc, Mutex};

use client_core::Operation;
use client_core::operations::{PoolClose, Remove};
use protocol::{OpenMode, Request, Spec};

use crate::objects::reference::Reference;
use crate::pool::results::callbacks::is_calling_back;
use crate::pool::workers::start::{available_cores, terminate};
use crate::pool::workers::supervisor::Ended;
use crate::pool::{Pool, Stage, Workers};
use crate::sync::lock;
use crate::task::{TaskFunction, check_registered, name_fault};
use crate::{Error, ErrorKind, Manager, Result};

impl Pool {
    /// Opens a pool by its name. Its workers belong to other programs, such as `worker --pool NAME`.
    ///
    /// No program needs to serve it yet: tasks wait until workers come. If none comes for some seconds while this
    /// program waits for results, a warning in the log says so. [`close`](Pool::close), [`terminate`](Pool::terminate)
    /// and the drop concern this handle and what was submitted through it, never the workers nor the tasks of others.
    ///
    /// If the pool has an owner, a program that made it [by this name](crate::PoolBuilder::name), it ends with that
    /// program: tasks that have not ended fail with [`Error::is_terminated`], and later calls through this handle with
    /// [`Error::is_no_such_object`]. Open it again then.
    ///
    /// # Errors
    ///
    /// The name is not valid ([`Error::is_bad_name`]), or an object of another kind has it ([`Error::is_wrong_kind`]).
    pub fn open(manager: &Manager, name: &str) -> Result<Pool> {
        let reference = Reference::open(manager.link(), Some(name), Spec::Pool, OpenMode::OpenOrCreate)?;
        Ok(Pool::new_with(reference, available_cores(), Workers::Elsewhere { name: name.into() }))
    }

    pub(crate) fn new_with(reference: Reference, processes: usize, workers: Workers) -> Pool {
        let process = std::process::id();
        Pool {
            reference,
            processes,
            stage: Mutex::new(Stage::Open),
            workers,
            submitted_batches: Arc::default(),
            callback_threads: Arc::default(),
            interrupts: Mutex::default(),
            process,
        }
    }

    /// The process ids of this pool's own workers that are ready, in no order.
    pub fn process_ids(&self) -> Vec<u32> {
        match &self.workers {
            Workers::Own { supervisor, .. } => supervisor.process_ids(),
            Workers::Elsewhere { .. } => Vec::new(),
        }
    }

    /// Takes no more tasks. The workers end once all tasks have ended, including those that other programs submitted by
    /// the pool's name.
    ///
    /// For an opened pool this only closes the handle.
    ///
    /// # Errors
    ///
    /// [`Error::is_manager_gone`].
    pub fn close(&self) -> Result<()> {
        let mut stage = lock(&self.stage);
        if *stage == Stage::Open {
            if let Workers::Own { .. } = self.workers {
                self.reference.run(PoolClose { id: self.reference.id() })?;
            }
            *stage = Stage::Closed;
        }
        Ok(())
    }

    /// Ends the workers, even in the middle of tasks, and fails all tasks that have not ended with
    /// [`Error::is_terminated`].
    ///
    /// Workers get SIGTERM, and SIGKILL if they still run a second later. The signals go to a worker's whole process
    /// group, and so to the commands that it runs. This does not wait for their end: [`join`](Pool::join) does.
    ///
    /// Workers of an opened pool belong to others, and go on. There, only the calls that were submitted through this
    /// handle end: calls that have not started are cancelled ([`Error::is_cancelled`]), and those that run are asked to
    /// stop.
    pub fn terminate(&self) {
        *lock(&self.stage) = Stage::Terminated;
        let reason = "the pool was terminated by its owner";
        match &self.workers {
            Workers::Own { supervisor, .. } => {
                if let Ok(link) = self.reference.link() {
                    terminate(link, self.reference.id(), reason);
                }
                supervisor.terminate();
            }
            Workers::Elsewhere { .. } => {
                let _ =
                    self.reference.link().and_then(|link| self.submitted_batches.ask_to_stop(link, reason));
            }
        }
    }

    /// Waits until all workers have ended, after [`close`](Pool::close) or [`terminate`](Pool::terminate), and all
    /// callbacks have returned.
    ///
    /// For an opened pool it waits for the end of all calls that were submitted through this handle, except for those
    /// whose results were dropped.
    ///
    /// From now on, [`imap`](Pool::imap) and the methods like it draw their input to its end, even if nobody takes
    /// results, as in Python. So take the results of long inputs first.
    ///
    /// # Errors
    ///
    /// The pool is neither closed nor terminated, and so would not end; its workers could not start; or a callback
    /// calls this, and would wait for itself.
    pub fn join(&self) -> Result<()> {
        if *lock(&self.stage) == Stage::Open {
            return Err(Error::new(ErrorKind::Other, "a pool is joined after it was closed or terminated"));
        }
        if is_calling_back() {
            return Err(Error::new(
                ErrorKind::Deadlock,
                "a callback cannot wait for all callbacks to return",
            ));
        }
        let batches = self.submitted_batches.batches();
        batches.iter().for_each(|batch| batch.lift_window());
        let joined = match &self.workers {
            Workers::Own { supervisor, .. } => match supervisor.join() {
                Ended::Left | Ended::Terminated => Ok(()),
                Ended::Broken(reason) => Err(Error::new(ErrorKind::Terminated, reason)),
                Ended::ManagerGone => Err(Error::new(ErrorKind::ManagerGone, "the manager is gone")),
            },
            Workers::Elsewhere { .. } => batches.iter().try_for_each(|batch| batch.wait(None).map(drop)),
        };
        drop(batches);
        self.callback_threads.join();
        joined
    }

    /// Refuses a submission that is known to fail, before anything is sent.
    pub(crate) fn check_may_submit<Arguments>(&self, function: &impl TaskFunction<Arguments>) -> Result<()> {
        self.check_open()?;
        self.check_function(function.name(), function.is_built_apart())
    }

    fn check_open(&self) -> Result<()> {
        match *lock(&self.stage) {
            Stage::Open => Ok(()),
            Stage::Closed => Err(Error::new(ErrorKind::Closed, "the pool is closed and takes no more tasks")),
            Stage::Terminated => {
                Err(Error::new(ErrorKind::Closed, "the pool is terminated and takes no more tasks"))
            }
        }
    }

    fn check_function(&self, name: &str, is_built_apart: bool) -> Result<()> {
        match (&self.workers, is_built_apart) {
            (Workers::Own { .. }, false) => check_registered(name),
            _ => match name_fault(name) {
                Some(fault) => Err(Error::new(ErrorKind::UnknownFunction, fault)),
                None => Ok(()),
            },
        }
    }

    fn send(&self, request: Request<'_>) -> Result<()> {
        self.reference.link()?.send(request)
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        if self.process != std::process::id() {
            return;
        }
        self.terminate();
        if let Workers::Own { supervisor, is_named } = &self.workers {
            supervisor.join();
            if *is_named {
                // This frees the name. If the manager is gone, the name is gone with it.
                let _ = self.send(Remove { id: self.reference.id() }.into_request());
            }
        }
    }
}
