//! The run loop: takes calls, runs them one after the other, reports how they ended, and takes the next.

mod call_record;
mod granted_calls;
mod initialize;
mod parent_watch;
mod run_calls;

use std::fmt;
use std::sync::Arc;

use client::internal::operations::{Attach, CallsTarget, Either, EventTarget, LargeArguments, TakenCalls};
use client::internal::{Assignment, Link, OwnBlob, ReceivedPayload, Reference, set_worker_index};
use client::{Error, Result};
use protocol::Kind;
use rustix::stdio::dup2_stderr;
use sys::inherited::Inherited;

use crate::error::failed;
use crate::isolation::{fork, panics};
use crate::registry::Registry;
use granted_calls::GrantedCalls;
use parent_watch::ParentWatch;
use run_calls::run_calls;

/// Why a worker ended in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WorkerEnd {
    /// The pool is closed or removed, or the program that started this worker stops serving it.
    Left,
    /// It has run as many calls as it may.
    Retired,
    /// It got a signal that was to stop a task, so the manager grants it no more.
    Terminated,
}

impl fmt::Display for WorkerEnd {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            WorkerEnd::Left => "its pool has no more work for it",
            WorkerEnd::Retired => "it has run as many tasks as it may",
            WorkerEnd::Terminated => "it got a signal to stop a task",
        })
    }
}

/// Works for the pool that this worker is assigned to, until there is nothing more to do.
pub(crate) fn work(registry: &Registry) -> Result<WorkerEnd> {
    let parent_watch = ParentWatch::take().map_err(|error| failed(&error))?;
    let (assignment, index, stderr) = Assignment::receive(parent_watch.supervisor())?;
    set_worker_index(index);
    Inherited { ignored: assignment.ignored, blocked: assignment.blocked }.adopt();
    parent_watch::end_with_parent(assignment.parent).map_err(|error| failed(&error))?;
    panics::note_all();
    fork::note_own_process();

    let link = Link::connect(&assignment.address.parse()?)?;
    // Tasks keep alive the objects that their arguments carry, so a detachment can wait for the next request.
    link.set_lazy_detach(true);
    let pool = Reference::adopt(link.clone(), assignment.pool, Kind::Pool);
    match pool.run(Attach { id: pool.id(), kind: Kind::Pool, epoch: assignment.epoch }) {
        Ok(()) => {}
        Err(error) if error.is_no_such_object() => {
            parent_watch.report_leaving();
            return Ok(WorkerEnd::Left);
        }
        Err(error) => return Err(error),
    }
    let manager = link.descriptor().map_err(|error| failed(&error))?;
    parent_watch.start(assignment.parent, manager).map_err(|error| failed(&error))?;

    if let Some(bytes) = assignment.memory_bytes_max {
        sys::limits::set_memory_bytes_max(bytes).map_err(|error| failed(&error))?;
    }
    if let Some(initializer) = &assignment.initializer {
        initialize::initialize(registry, initializer)?;
    }
    // Until here standard error went to the supervisor, which reports why a worker does not start.
    dup2_stderr(stderr).map_err(|error| failed(&error))?;
    parent_watch.report_ready().map_err(|error| failed(&error))?;

    log::info!("this worker is ready, for pool {}", pool.id());
    let end = take_calls(registry, &link, &pool, &assignment)?;
    log::info!("this worker ends: {end}");
    match end {
        WorkerEnd::Left => parent_watch.report_leaving(),
        // If its call ended before the signal came, this is an end in order as well: another worker takes its place.
        WorkerEnd::Retired | WorkerEnd::Terminated => parent_watch.report_retiring(),
    }
    // When the link is dropped, it sends its goodbye, which is the last message.
    Ok(end)
}

/// Runs calls until no more will come.
fn take_calls(
    registry: &Registry,
    link: &Arc<Link>,
    pool: &Reference,
    assignment: &Assignment,
) -> Result<WorkerEnd> {
    let Assignment { calls_max, leave, .. } = *assignment;
    let granted = GrantedCalls::new(link)?;
    let mut space = Vec::new();
    let mut rest = calls_max.unwrap_or(u32::MAX);
    while rest > 0 {
        // The first target that is ready is taken, so a worker that is to leave takes no more calls.
        let leave = leave.map(|id| EventTarget { id });
        let calls = CallsTarget { pool: pool.id(), most: granted.request_count(rest) };
        match pool.wait_for_either(leave, Some(calls)) {
            Ok(Either::First(_)) => return Ok(WorkerEnd::Left),
            Ok(Either::Second(TakenCalls { calls, large })) => {
                let arguments = large.map(|large| fetch(link, large)).transpose()?;
                let begun = run_calls(registry, link, &granted, &calls, arguments.as_ref(), &mut space)?;
                // Without a limit, it never counts down.
                rest = rest.saturating_sub(calls_max.map_or(0, |_| begun));
            }
            Err(error) if is_over(&error) => return Ok(WorkerEnd::Left),
            Err(error) if error.is_cancelled() => return Ok(WorkerEnd::Terminated),
            Err(error) => return Err(error),
        }
    }
    Ok(WorkerEnd::Retired)
}

/// Gets arguments that did not come with their call, and gives back the reference to their blob.
fn fetch(link: &Arc<Link>, arguments: LargeArguments) -> Result<ReceivedPayload> {
    let LargeArguments { blob: id, bytes } = arguments;
    ReceivedPayload::fetch(&OwnBlob { link: Arc::clone(link), id, bytes })
}

/// Whether a pool has no more tasks and accepts none. If it was removed during a task, it does not exist any more.
fn is_over(error: &Error) -> bool {
    error.is_closed() || error.is_removed() || error.is_no_such_object()
}
