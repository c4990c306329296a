//! The task that this process runs now: whether it must stop, and the event that says so.
//!
//! Every batch has a stop event. A worker's run loop notes here, before it calls a function, which event is the task's,
//! so that a task needs no argument to be stopped. A worker runs one task at a time, so there is one note for the whole
//! process, and threads that a task starts see it too.
//!
//! A task reads in the mirror of that event whether it must stop, if there is a mirror: a hot loop can ask on every
//! turn.

use std::cell::RefCell;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use client_core::Operation;
use client_core::operations::{Attach, EventIsSet, EventTarget, GetEventCause};
use protocol::{Epoch, Kind, ObjectId};

use crate::connection::link::Link;
use crate::objects::mirror::View;
use crate::objects::reference::{Proxy, Reference, wait_for};
use crate::sync::lock;
use crate::{Event, EventCause, Result};

/// The task that runs, if one does.
static CURRENT: Mutex<Option<Current>> = Mutex::new(None);

/// Counts the tasks that begin and end here, so that a thread notices when its knowledge is of another task.
static TURN: AtomicU64 = AtomicU64::new(0);

/// The number of the call that runs, while a task does.
static CALL: AtomicU64 = AtomicU64::new(0);

/// The index of this worker.
static WORKER: AtomicU32 = AtomicU32::new(0);

/// A number that is no turn.
const NO_TURN: u64 = u64::MAX;

thread_local! {
    /// How this thread reads the stop event of the current task without a lock.
    static STOP_VIEW: RefCell<StopView> = const { RefCell::new(StopView { turn: NO_TURN, stop: None, view: None }) };
}

/// The task that runs.
#[derive(Clone, Debug)]
struct Current {
    /// The way to the manager that assigned the task.
    link: Arc<Link>,
    /// The stop event of its batch, which the batch keeps alive.
    stop: ObjectId,
    /// How often its calls were begun before.
    retry: u32,
}

/// The call that a worker runs: which it is of its batch, and where it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CurrentCall {
    number: u64,
    attempt: u32,
    worker: usize,
}

impl CurrentCall {
    /// Its place among the calls of its batch, counted from 0: the place of its arguments in what was submitted, and of
    /// its outcome among the [outcomes](crate::AsyncResult::outcomes).
    #[must_use]
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Which attempt to run it this is: 1 for the first, more if its worker died and the batch allows
    /// [retries](crate::BatchBuilder::retries).
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    /// The index of the worker among those that one program has started for the pool, counted from 0. A worker that
    /// takes the place of another has the index of that one, so no two of them that run at one time have the same.
    #[must_use]
    pub fn worker(&self) -> usize {
        self.worker
    }
}

/// How a thread reads a stop event.
#[derive(Debug)]
struct StopView {
    /// The turn that this belongs to.
    turn: u64,
    /// The stop event of the task in that turn. Its view stays valid for the next task of the same batch.
    stop: Option<ObjectId>,
    /// The place of its flag; none if each read is a round trip.
    view: Option<View>,
}

impl StopView {
    /// Whether the event is set, or was removed; none if it has no mirror.
    fn is_set(&self) -> Option<bool> {
        self.view.as_ref().map(|view| !matches!(view.is_set(), Ok(false)))
    }
}

/// Whether the task that this process runs must stop: its batch was stopped, or the batch that started this one, or
/// its owner has died.
///
/// It is also true when nobody waits for the task any more, because its batch ended in another way or the manager is
/// gone. Outside of a task it is false. All threads of a worker process see the same.
///
/// It costs some nanoseconds: the flag is in memory that the manager shares. Only the first call of a thread for a
/// batch takes round trips, or every call if there is no such memory.
///
/// ```no_run
/// fn search(needle: String, files: Vec<String>) -> Option<String> {
///     for file in files {
///         if client::task::stop_requested() {
///             return None;
///         }
///         if std::fs::read_to_string(&file).is_ok_and(|text| text.contains(&needle)) {
///             return Some(file);
///         }
///     }
///     None
/// }
/// ```
pub fn stop_requested() -> bool {
    let turn = TURN.load(Ordering::Acquire);
    let looked = STOP_VIEW.with_borrow(|known| match &known.view {
        Some(view) if known.turn == turn => Some(view.is_set()),
        _ => None,
    });
    match looked {
        Some(is_set) => !matches!(is_set, Ok(false)),
        None => find_out_whether_to_stop(turn),
    }
}

/// Whether the task must stop, for the first call of a thread, or by a round trip.
#[cold]
fn find_out_whether_to_stop(turn: u64) -> bool {
    let Some(Current { link, stop, .. }) = current() else {
        return false;
    };
    look(&link, stop, turn).unwrap_or_else(|| !matches!(link.run(EventIsSet { id: stop }), Ok(false)))
}

/// Whether a stop event is set, for a worker that is about to begin a call. It takes no round trip, except for the
/// first call of a thread with this event. An event without a mirror counts as not set.
pub fn is_stopped(link: &Arc<Link>, stop: ObjectId) -> bool {
    look(link, stop, NO_TURN).unwrap_or(false)
}

/// Like [`is_stopped`], but it never takes a round trip: an event that this thread has not looked at before counts as
/// not set.
pub fn is_known_stopped(stop: ObjectId) -> bool {
    STOP_VIEW.with_borrow(|known| known.stop == Some(stop) && known.is_set() == Some(true))
}

/// Reads a stop event in the mirror, and remembers the view for this turn. An event that was removed counts as set.
/// Returns none if it has no mirror.
fn look(link: &Arc<Link>, stop: ObjectId, turn: u64) -> Option<bool> {
    let is_known = STOP_VIEW.with_borrow(|known| known.stop == Some(stop));
    if !is_known {
        match link.here_shared().and_then(|link| View::open(link, stop)) {
            Ok(view) => STOP_VIEW.set(StopView { turn, stop: Some(stop), view }),
            Err(_) => return Some(true),
        }
    }
    STOP_VIEW.with_borrow_mut(|known| {
        if turn != NO_TURN {
            known.turn = turn;
        }
        known.is_set()
    })
}

/// Sleeps; in a task, only until it [must stop](stop_requested). Returns whether it slept to the end.
///
/// It does not poll: the thread waits for the stop event, and the manager keeps the time. Outside of a
/// task this is [`std::thread::sleep`], and returns true.
///
/// ```no_run
/// use std::time::Duration;
///
/// fn poll_weather(station: String) {
///     while client::task::sleep(Duration::from_secs(60)) {
///         println!("the sun shines at {station}");
///     }
/// }
/// ```
pub fn sleep(duration: Duration) -> bool {
    let Some(Current { link, stop, .. }) = current() else {
        std::thread::sleep(duration);
        return true;
    };
    matches!(link.run(wait_for(EventTarget { id: stop }, Some(duration))), Ok(None))
}

/// The stop event of the task that this process runs, for waits together with other objects; none outside of a task.
///
/// ```no_run
/// use client::{Event, Taken, wait_any};
///
/// fn react(alarm: Event) -> client::Result<bool> {
///     let stop = client::task::stop_event().expect("this is a task");
///     let alarmed = wait_any(&[&stop, &alarm], None)?;
///     Ok(matches!(alarmed, Some((1, Taken::Event(_)))))
/// }
/// ```
///
/// It is an event like any other. A task that sets it stops its own batch.
pub fn stop_event() -> Option<Event> {
    let Current { link, stop, .. } = current()?;
    let attach = Attach { id: stop, kind: Kind::Event, epoch: link.epoch() };
    // This does not wait for an answer: the task's batch keeps the event until the count has arrived.
    let _ = if link.is_lazy() { link.queue(attach.into_request()) } else { link.run(attach) };
    let link = Arc::clone(link.here_shared().ok()?);
    Event::from_reference(Reference::adopt(link, stop, Kind::Event)).ok()
}

/// Who stopped the task that this process runs, when, and why; none if nobody has, and outside of a task.
///
/// # Errors
///
/// [`is_manager_gone`](crate::Error::is_manager_gone); [`is_no_such_object`](crate::Error::is_no_such_object) if the
/// batch ended in another way.
pub fn stop_cause() -> Result<Option<EventCause>> {
    let Some(Current { link, stop, .. }) = current() else {
        return Ok(None);
    };
    link.run(GetEventCause { id: stop }).map(|cause| cause.map(EventCause::from))
}

/// The call that this process runs; none outside of a task. All threads of a worker process see the same.
///
/// ```no_run
/// fn render(frame: String) -> String {
///     let call = client::task::current_call().expect("this is a task");
///     let scratch = format!("/tmp/render-{}", call.worker());
///     println!("frame {} of this batch, attempt {}, in {scratch}", call.number(), call.attempt());
///     frame.to_uppercase()
/// }
/// ```
pub fn current_call() -> Option<CurrentCall> {
    let Current { retry, .. } = current()?;
    Some(CurrentCall {
        number: CALL.load(Ordering::Relaxed),
        attempt: retry.saturating_add(1),
        worker: WORKER.load(Ordering::Relaxed) as usize,
    })
}

/// The stop event of the task that this process runs, as the parent of what the task starts. None outside of a task,
/// and for another manager than the task's, which would not know it.
pub(crate) fn current_stop(epoch: Epoch) -> Option<ObjectId> {
    current().filter(|current| current.link.epoch() == epoch).map(|current| current.stop)
}

/// Notes which worker this process is.
pub fn set_worker_index(index: u32) {
    WORKER.store(index, Ordering::Relaxed);
}

/// Notes that this process runs calls with this stop event, which were begun so often before, while the returned scope
/// lives.
pub fn enter_task(link: &Arc<Link>, stop: ObjectId, retry: u32) -> TaskScope {
    set_current(Some(Current { link: Arc::clone(link), stop, retry }));
    TaskScope { _private: () }
}

/// While this lives, the process runs a task.
#[derive(Debug)]
#[must_use = "the task has ended when this is dropped"]
pub struct TaskScope {
    _private: (),
}

impl TaskScope {
    /// Notes that the call with this number begins.
    pub fn begin_call(&self, number: u64) {
        CALL.store(number, Ordering::Relaxed);
    }
}

impl Drop for TaskScope {
    fn drop(&mut self) {
        set_current(None);
    }
}

fn set_current(task: Option<Current>) {
    let mut current = lock(&CURRENT);
    *current = task;
    // Under the lock, so that a thread that sees this turn finds its task.
    TURN.fetch_add(1, Ordering::Release);
}

fn current() -> Option<Current> {
    lock(&CURRENT).clone()
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use uuid::Uuid;

    use super::*;

    #[test]
    fn outside_of_a_task_nothing_stops() {
        assert!(!stop_requested());
        assert!(stop_event().is_none());
        assert_eq!(current_call(), None);
        assert_eq!(stop_cause().unwrap(), None);
        assert_eq!(current_stop(Epoch(Uuid::nil())), None);
        let before = Instant::now();
        assert!(sleep(Duration::from_millis(5)));
        assert!(before.elapsed() >= Duration::from_millis(5));
    }
}
