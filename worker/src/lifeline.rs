//! What ties a worker to the process that started it: it ends when that ends, however that ends, and so does what its
//! tasks have started.
//!
//! A thread watches the parent and the manager, and kills the worker's process group when one of them has ended. Until
//! it does, the kernel is asked to kill the worker with its parent. From then on the kernel is asked for less: to wake
//! the worker up in case it was stopped, since whoever is killed can not kill others.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use client::internal::{LEAVING, READY, RETIRING};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::{Errno, fcntl_dupfd_cloexec};
use rustix::process::{
    Pid, PidfdFlags, Signal, getpgrp, getpid, getppid, kill_current_process_group, kill_process, pidfd_open,
    set_parent_process_death_signal,
};
use rustix::stdio::{dup2_stdin, stdin};

/// The lowest descriptor that is not one of the standard streams.
const FIRST_FREE: i32 = 3;

/// Asks the kernel to kill this process when the thread that started it ends.
pub(crate) fn end_with_parent(parent: u32) -> io::Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    // It may have ended before it was asked, and then this process has another parent.
    match getppid() {
        Some(now) if now.as_raw_nonzero().get().cast_unsigned() == parent => Ok(()),
        _ => Err(io::Error::other(format!("process {parent}, which started this one, has ended"))),
    }
}

/// Takes what this process was given as its standard input, and leaves an empty one to the program.
pub(crate) fn take_stdin() -> io::Result<OwnedFd> {
    let given = fcntl_dupfd_cloexec(stdin(), FIRST_FREE)?;
    dup2_stdin(File::open("/dev/null")?)?;
    Ok(given)
}

/// A worker's line to the supervisor that started it.
#[derive(Debug)]
pub(crate) struct Lifeline {
    supervisor: UnixStream,
    /// Whether this process ends in order, so that the end of its connection says nothing.
    is_leaving: Arc<AtomicBool>,
}

impl Lifeline {
    /// Takes hold of the line, which is the standard input.
    pub(crate) fn take() -> io::Result<Lifeline> {
        Ok(Lifeline { supervisor: UnixStream::from(take_stdin()?), is_leaving: Arc::default() })
    }

    /// The line itself, to receive on.
    pub(crate) fn supervisor(&self) -> &UnixStream {
        &self.supervisor
    }

    /// Tells the supervisor that this worker can work.
    pub(crate) fn tell_ready(&self) -> io::Result<()> {
        (&self.supervisor).write_all(&[READY])
    }

    /// Tells the supervisor that this worker ends because the pool is closed.
    pub(crate) fn leave(&self) {
        self.part(LEAVING);
    }

    /// Tells the supervisor that this worker ends so that another one takes its place.
    pub(crate) fn retire(&self) {
        self.part(RETIRING);
    }

    fn part(&self, farewell: u8) {
        self.is_leaving.store(true, Ordering::SeqCst);
        // If nobody hears this, nobody waits for it either.
        let _ = (&self.supervisor).write_all(&[farewell]);
    }

    /// From now on, ends this process, and what it has started, when its parent or its manager has ended.
    ///
    /// Each is watched by a descriptor of its own, since the process may be in the middle of a task.
    pub(crate) fn watch(&self, parent: u32, manager: OwnedFd) -> io::Result<()> {
        let parent = Pid::from_raw(parent.cast_signed()).ok_or(Errno::INVAL)?;
        let parent = pidfd_open(parent, PidfdFlags::empty())?;
        let supervisor = OwnedFd::from(self.supervisor.try_clone()?);
        let is_leaving = Arc::clone(&self.is_leaving);
        let watch = move || {
            let hung_up = PollFlags::RDHUP;
            wait_for_any(&mut [
                PollFd::new(&parent, PollFlags::IN),
                PollFd::new(&supervisor, hung_up),
                PollFd::new(&manager, hung_up),
            ]);
            if !is_leaving.load(Ordering::SeqCst) {
                end();
            }
        };
        std::thread::Builder::new().name("lifeline".to_owned()).spawn(watch)?;
        // The parent runs: if it had ended, the kernel would have killed this process. If it ends now, it is seen.
        set_parent_process_death_signal(Some(Signal::CONT))?;
        Ok(())
    }
}

fn wait_for_any(watched: &mut [PollFd<'_>]) {
    loop {
        match poll(watched, None) {
            Ok(0) | Err(Errno::INTR) => {}
            // If the end can not be seen coming, it has to be taken to be here.
            Ok(_) | Err(_) => return,
        }
    }
}

/// Ends this process at once, and what it started, in the middle of whatever it does.
fn end() -> ! {
    // A worker leads its own group, in which there is nobody else but what its tasks have started.
    if getpgrp() == getpid() {
        let _ = kill_current_process_group(Signal::KILL);
    }
    let _ = kill_process(getpid(), Signal::KILL);
    std::process::abort();
}
