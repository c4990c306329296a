//! Forked children: they use their copies of proxies, and do not disturb their parent.
//!
//! A helper forks, in which no threads run but its own: in the test program, another thread, which is not copied, could
//! hold any lock of the standard library. This file is unsafe because of `fork`, which nothing safe can offer.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use client::{Event, Manager, Result};
use rustix::process::{Pid, WaitOptions, waitpid};

use crate::support::helper;
use crate::support::{PATIENCE, RunningProgram, apply, eventually, is_alive, socket_of, test};

/// How many children a helper has, one after the other: each starts at another moment of what the threads do.
const CHILDREN: usize = 50;

/// How many threads make calls all the time while their process is copied.
const CALLERS: usize = 3;

#[apply(test)]
fn children_of_children_use_copies_in_sessions_of_their_own() {
    comes_to_a_good_end(use_copies);
}

#[apply(test)]
fn what_a_child_drops_its_parent_keeps() {
    comes_to_a_good_end(drop_copies);
}

/// Runs a helper that panics, fails or hangs if something is wrong.
fn comes_to_a_good_end(helper: impl Fn() -> Result<()>) {
    let mut parent = RunningProgram::start(&mut helper::command(helper));
    eventually("it has no more children to wait for", || !is_alive(parent.process()));
    assert_eq!(parent.wait(), Some(0), "{}", parent.line());
}

/// Runs the first helper.
#[apply(helper)]
pub(crate) fn use_copies() -> Result<()> {
    amid_calls(|manager, asked| {
        for _ in 0..CHILDREN {
            let (by_child, by_grandchild) = (manager.anonymous_event()?, manager.anonymous_event()?);
            let mirror = by_child.mirror()?;
            let child = in_child(|| {
                assert!(!mirror.is_set()?, "the child uses the memory that its parent has mapped");
                by_child.set()?;
                assert!(mirror.wait(PATIENCE)?);
                let own = manager.anonymous_event()?;
                own.set()?;
                let grandchild = in_child(|| {
                    by_grandchild.set()?;
                    Ok(own.is_set()? && !asked.is_set()?)
                });
                let is_own_session = setter(&by_grandchild)? == Some(grandchild);
                Ok(is_own_session && own.is_set()? && !asked.is_set()?)
            });
            assert_eq!(setter(&by_child)?, Some(child), "the manager knows it by its own process");
            assert!(by_grandchild.is_set()? && mirror.is_set()?);
        }
        Ok(())
    })
}

/// Runs the second helper.
#[apply(helper)]
pub(crate) fn drop_copies() -> Result<()> {
    amid_calls(|busy_manager, _| {
        for number in 0..CHILDREN {
            let shared = busy_manager.anonymous_event()?;
            // Nothing else keeps this manager, so the child drops the last of everything.
            let mut manager = Some(Manager::start()?);
            let mut event = Some(manager.as_ref().expect("it was just made").anonymous_event()?);
            in_child(|| {
                // Half of the children have a session of their own by then, and half have only what they inherited.
                if number % 2 == 0 {
                    event.as_ref().map(Event::set).transpose()?;
                    shared.set()?;
                }
                drop((event.take(), manager.take()));
                Ok(true)
            });
            assert!(
                manager.as_ref().is_some_and(|manager| socket_of(manager).exists()),
                "others still find it"
            );
            let is_set = event.as_ref().map(Event::is_set).transpose()?;
            assert_eq!(is_set, Some(number % 2 == 0), "both the manager and the event live");
            assert_eq!(shared.is_set()?, number % 2 == 0);
        }
        Ok(())
    })
}

/// Does something while threads of this process call and wait all the time, and checks that they do not notice.
fn amid_calls(happens: impl FnOnce(&Manager, &Event) -> Result<()>) -> Result<()> {
    let manager = Manager::start()?;
    let (asked, awaited) = (manager.anonymous_event()?, manager.anonymous_event()?);
    let has_happened = AtomicBool::new(false);
    thread::scope(|scope| {
        let call = || -> Result<()> {
            while !has_happened.load(Ordering::Relaxed) {
                assert!(!asked.is_set()?);
            }
            Ok(())
        };
        let callers = [(); CALLERS].map(|()| scope.spawn(call));
        let waiter = scope.spawn(|| awaited.wait(None));
        let outcome = catch_unwind(AssertUnwindSafe(|| happens(&manager, &asked)));
        has_happened.store(true, Ordering::Relaxed);
        awaited.set()?;
        for caller in callers {
            caller.join().expect("it gets the answer to its own request")?;
        }
        let cause = waiter.join().expect("it does not panic")?;
        assert_eq!(cause.map(|cause| cause.process), Some(process::id()));
        outcome.expect("the line above tells what")
    })
}

/// The process that set an event.
fn setter(event: &Event) -> Result<Option<u32>> {
    Ok(event.cause()?.map(|cause| cause.process))
}

/// Runs a closure in a forked child, and expects it to return true there. Returns the child's process id.
#[allow(unsafe_code)]
fn in_child(comes_true: impl FnOnce() -> Result<bool>) -> u32 {
    // SAFETY: the child has one thread, and leaves undone what other threads were doing. It uses nothing of theirs but
    // the client, which is under test, and the allocator, which the C library prepares for a fork.
    let process = unsafe { libc::fork() };
    if process == 0 {
        // SAFETY: it changes nothing in memory. Nobody handles the signal, so it ends a child that hangs.
        unsafe { libc::alarm(PATIENCE.as_secs() as u32) };
        let status = match catch_unwind(AssertUnwindSafe(comes_true)) {
            Ok(Ok(true)) => 0,
            Ok(Ok(false)) => 1,
            Ok(Err(_)) => 2,
            Err(_) => 3,
        };
        // SAFETY: it ends the process at once, and runs nothing that the parent still has to run.
        unsafe { libc::_exit(status) };
    }
    let child = Pid::from_raw(process).expect("a process can be copied");
    let ended = waitpid(Some(child), WaitOptions::empty()).expect("it is this one's child");
    let (_, status) = ended.expect("it was waited for");
    // 1: it returned false; 2: a call failed; 3: it panicked; none: it was too slow.
    assert_eq!(status.exit_status(), Some(0), "how the child ended");
    process.cast_unsigned()
}
