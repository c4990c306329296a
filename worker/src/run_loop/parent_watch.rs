//! Ties a worker to the process that started it: when that process ends, in whatever way, the worker ends, and so does
//! everything that its tasks have started.
//!
//! A thread watches the parent and the manager, and kills the worker's process group when one of them has ended. Until
//! the thread runs, the kernel kills the worker together with its parent. From then on the kernel only continues the
//! worker if it was stopped, since a process that the kernel kills cannot kill others.

use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use client::internal::{LEAVING, READY, RETIRING};
use sys::poll::{Watched, wait_for_any};
use sys::process::{self, Process};
use sys::{Signal, process_group};

use crate::isolation::streams::take_stdin;

/// Has the kernel kill this process when the thread that started it ends.
pub(crate) fn end_with_parent(parent: u32) -> io::Result<()> {
    process::signal_at_death_of_parent(Signal::KILL)?;
    // If the parent ended before that call, this process has another parent by now.
    match process::parent() {
        Some(now) if now == parent => Ok(()),
        _ => Err(io::Error::other(format!("process {parent}, which started this one, has ended"))),
    }
}

/// A worker's connection to the supervisor that started it, and the watch over that process.
#[derive(Debug)]
pub(crate) struct ParentWatch {
    supervisor: UnixStream,
    /// Whether this process ends in order, so that the end of its connection to the manager is expected.
    is_leaving: Arc<AtomicBool>,
}

impl ParentWatch {
    /// Takes the connection, which is this process's standard input.
    pub(crate) fn take() -> io::Result<ParentWatch> {
        Ok(ParentWatch { supervisor: UnixStream::from(take_stdin()?), is_leaving: Arc::default() })
    }

    /// The connection to the supervisor, to receive from.
    pub(crate) fn supervisor(&self) -> &UnixStream {
        &self.supervisor
    }

    /// Reports to the supervisor that this worker is ready for tasks.
    pub(crate) fn report_ready(&self) -> io::Result<()> {
        (&self.supervisor).write_all(&[READY])
    }

    /// Reports to the supervisor that this worker ends because the pool is closed.
    pub(crate) fn report_leaving(&self) {
        self.report_end(LEAVING);
    }

    /// Reports to the supervisor that this worker ends and another one is to take its place.
    pub(crate) fn report_retiring(&self) {
        self.report_end(RETIRING);
    }

    fn report_end(&self, notice: u8) {
        self.is_leaving.store(true, Ordering::SeqCst);
        // If this fails, the supervisor is gone, and does not wait for this worker.
        let _ = (&self.supervisor).write_all(&[notice]);
    }

    /// From now on, ends this process, and what it has started, when its parent or its manager has ended.
    ///
    /// A thread watches a descriptor of each, since the process may be in the middle of a task.
    pub(crate) fn start(&self, parent: u32, manager: OwnedFd) -> io::Result<()> {
        let parent = Process::open(parent)?;
        let supervisor = OwnedFd::from(self.supervisor.try_clone()?);
        let is_leaving = Arc::clone(&self.is_leaving);
        let watch = move || {
            // If the thread cannot watch for the end, it has to assume it.
            let _ = wait_for_any(
                &mut [
                    Watched::to_read(&parent),
                    Watched::for_hang_up(&supervisor),
                    Watched::for_hang_up(&manager),
                ],
                None,
            );
            if !is_leaving.load(Ordering::SeqCst) {
                end();
            }
        };
        std::thread::Builder::new().name("parent watch".to_owned()).spawn(watch)?;
        // The parent still runs, or the kernel would have killed this process. If it ends now, the thread sees it.
        process::signal_at_death_of_parent(Signal::CONT)?;
        Ok(())
    }
}

/// Ends this process at once, and what it started, in the middle of whatever it does.
fn end() -> ! {
    // A worker leads its own group, and the other processes in it are those that its tasks have started.
    if process_group::is_led_by_this_process() {
        let _ = process_group::signal_own(Signal::KILL);
    }
    let _ = process::signal(std::process::id(), Signal::KILL);
    std::process::abort();
}
