//! The run loop: takes a task, runs it, reports how it ended, and takes the next.

mod initialize;
mod parent_watch;
mod prefetch;

use std::fmt;
use std::sync::Arc;

use client::internal::operations::{Attach, TaskEnd};
use client::internal::{Assignment, Carried, ChunkError, Link, Operation, Reference, enter_task};
use client::{Error, Result};
use protocol::limits::{FAILURE_BYTES_MAX, PAYLOAD_BYTES_MAX};
use protocol::{Failure, FailureKind, Grant, Kind, Outcome, Target, TaskGrant, shortened};
use rustix::stdio::dup2_stderr;

use crate::error::failed;
use crate::isolation::{fork, panics, streams};
use crate::registry::{HandOver, Registry};
use parent_watch::ParentWatch;
use prefetch::PrefetchedTasks;

/// The most bytes that a frame has for each carried proxy.
const CARRIED_BYTES: usize = 17;

/// Why a worker ended in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WorkerEnd {
    /// The pool is closed or removed, or the program that started this worker stops serving it.
    Left,
    /// It has run as many tasks as it may.
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
    let (assignment, stderr) = Assignment::receive(parent_watch.supervisor())?;
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
    let end = run_tasks(registry, &link, &pool, &assignment)?;
    log::info!("this worker ends: {end}");
    match end {
        WorkerEnd::Left => parent_watch.report_leaving(),
        // If its task ended before the signal came, this is an end in order as well: another worker takes its place.
        WorkerEnd::Retired | WorkerEnd::Terminated => parent_watch.report_retiring(),
    }
    // When the link is dropped, it sends its goodbye, which is the last message.
    Ok(end)
}

/// Runs tasks until no more will come.
fn run_tasks(
    registry: &Registry,
    link: &Arc<Link>,
    pool: &Reference,
    assignment: &Assignment,
) -> Result<WorkerEnd> {
    let Assignment { tasks_max, leave, .. } = *assignment;
    let prefetched = PrefetchedTasks::new(link);
    let mut rest = tasks_max.unwrap_or(u32::MAX);
    while rest > 0 {
        if let Some(task) = prefetched.next(link)? {
            run_task(registry, link, &prefetched, &task)?;
            // Without a limit, it never counts down.
            rest -= u32::from(tasks_max.is_some());
            continue;
        }
        // The first target that is ready is taken, so a worker that is to leave takes no more tasks.
        let leave = leave.map(|id| Target::Event { id });
        let tasks = Target::Tasks { pool: pool.id(), most: prefetched.request_count(rest) };
        match pool.wait_any(leave.into_iter().chain([tasks]).collect(), None) {
            Ok(Some(Grant::Tasks(tasks))) => prefetched.add(tasks),
            Ok(Some(Grant::Event(_))) => return Ok(WorkerEnd::Left),
            Ok(other) => return Err(failed(&format!("a wait for tasks gave {other:?}"))),
            Err(error) if is_over(&error) => return Ok(WorkerEnd::Left),
            Err(error) if error.is_cancelled() => return Ok(WorkerEnd::Terminated),
            Err(error) => return Err(error),
        }
    }
    Ok(WorkerEnd::Retired)
}

/// Whether a pool has no more tasks and accepts none. If it was removed during a task, it does not exist any more.
fn is_over(error: &Error) -> bool {
    error.is_closed() || error.is_removed() || error.is_no_such_object()
}

/// Runs one task, and reports its outcome: before the next one starts if that is prefetched, otherwise together with
/// the request for more.
fn run_task(
    registry: &Registry,
    link: &Arc<Link>,
    prefetched: &PrefetchedTasks,
    task: &TaskGrant,
) -> Result<()> {
    log::debug!("task {} of batch {} calls `{}`", task.task, task.batch, task.function);
    let mut reported = None;
    let failure = {
        let _scope = enter_task(link, task.stop);
        call(registry, task, &mut |results, carried| {
            reported = Some(report_results(link, task, results, carried));
        })
    };
    streams::reopen_closed();
    match (reported, failure) {
        (Some(reported), _) => reported?,
        (None, Some((kind, text))) => report_failure(link, task, kind, &text)?,
        (None, None) => unreachable!("a function that does not fail hands its results over"),
    }
    if prefetched.has_more() { link.flush() } else { Ok(()) }
}

/// Calls the function of a task. Returns how the call failed, if it did.
fn call(registry: &Registry, task: &TaskGrant, hand_over: HandOver<'_>) -> Option<(FailureKind, String)> {
    let Some(function) = registry.find(&task.function) else {
        return Some((FailureKind::UnknownFunction, unknown(&task.function, registry)));
    };
    let outcome = panics::catch(|| function(task.arguments.as_bytes(), hand_over));
    fork::end_if_forked();
    match outcome {
        Ok(Ok(())) => None,
        Ok(Err(error @ ChunkError::Encode(_))) => {
            Some((FailureKind::BadEncoding, format!("its result: {error}")))
        }
        Ok(Err(error)) => Some((error.failure_kind(), format!("its arguments: {error}"))),
        Err(panic) => Some((FailureKind::Panicked, panic)),
    }
}

fn report_results(link: &Link, task: &TaskGrant, results: &[u8], carried: Carried) -> Result<()> {
    let carries = match carried.of(link.epoch()) {
        Ok(carries) => carries,
        Err(error) => {
            return report_failure(link, task, FailureKind::BadEncoding, &format!("its result: {error}"));
        }
    };
    let bytes = results.len() + carries.len() * CARRIED_BYTES;
    if bytes > PAYLOAD_BYTES_MAX {
        let text =
            format!("it takes {bytes} bytes; at most {PAYLOAD_BYTES_MAX} travel, for all calls of a chunk");
        return report_failure(link, task, FailureKind::TooLarge, &text);
    }
    let (batch, task) = (task.batch, task.task);
    link.queue(TaskEnd { batch, task, outcome: Outcome::Returned(results), carries }.into_request())
}

fn report_failure(link: &Link, task: &TaskGrant, kind: FailureKind, text: &str) -> Result<()> {
    let text = &text[..text.floor_char_boundary(FAILURE_BYTES_MAX)];
    let (batch, task) = (task.batch, task.task);
    let outcome = Outcome::Failed(Failure { kind, text });
    link.queue(TaskEnd { batch, task, outcome, carries: Vec::new() }.into_request())
}

fn unknown(function: &str, registry: &Registry) -> String {
    let names: Vec<String> = registry.names().iter().map(|name| format!("`{name}`")).collect();
    let names = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
    format!("there is no function `{}`; those registered are {names}", shortened(function))
}

#[cfg(test)]
mod tests {
    use protocol::{ObjectId, Payload};
    use uuid::Uuid;

    use super::*;

    fn registry() -> Registry {
        Registry::new()
            .named("double", |number: u32| 2 * number)
            .named("fail", |text: String| -> () { panic!("{text}") })
    }

    /// The encoded results, or how the call failed.
    fn run(function: &str, arguments: &[u8]) -> std::result::Result<Vec<u8>, (FailureKind, String)> {
        let batch = ObjectId(Uuid::nil());
        let task = TaskGrant {
            batch,
            task: 0,
            function: function.into(),
            arguments: Payload::from(arguments),
            stop: batch,
            retry: 0,
        };
        let mut handed_over = Vec::new();
        match call(&registry(), &task, &mut |results, _| handed_over = results.to_vec()) {
            None => Ok(handed_over),
            Some(failure) => Err(failure),
        }
    }

    #[test]
    fn a_task_returns_or_fails_with_a_reason() {
        assert_eq!(run("double", &[2, 3, 4]), Ok(vec![2, 6, 8]));

        let (kind, text) = run("halve", &[1, 3]).unwrap_err();
        assert_eq!(kind, FailureKind::UnknownFunction);
        assert_eq!(text, "there is no function `halve`; those registered are `double`, `fail`");

        let (kind, text) = run("double", &[1, 3, 3]).unwrap_err();
        assert_eq!((kind, text.as_str()), (FailureKind::BadEncoding, "its arguments: 1 bytes are left over"));

        let (kind, text) = run("fail", &[1, 2, b'n', b'o']).unwrap_err();
        assert_eq!(kind, FailureKind::Panicked);
        assert!(text.starts_with("no"), "{text}");
    }
}
