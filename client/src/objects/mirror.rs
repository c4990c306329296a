//! The mirror of an event: its flag in memory that the manager shares, which clients read without a round trip.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering, fence};
use std::time::{Duration, Instant};

use client_core::Unexpected;
use client_core::operations::{EventPlace, PublishEvent};
use protocol::shared_memory::mirror::{ENDED, EventState, LIVENESS, serial_at, state_at};
use protocol::{ObjectId, Reply};
use sys::futex::{self, Sleepers};

use crate::connection::link::Link;
use crate::{Error, ErrorKind, Event, Result};
use sys::shared_memory::SharedWords;

/// How long to sleep at most before checking whether the manager lives: a manager that is killed wakes nobody.
const LOOK_PAUSE: Duration = Duration::from_millis(500);

/// An event that can be read without a round trip: [`is_set`](Self::is_set) is a load from memory, and costs about a
/// nanosecond, so the innermost loop of a computation can call it each time.
///
/// **Freshness.** The same as [`Event::is_set`]: the manager writes the flag before it answers the process that set or
/// cleared the event. So once `set()` has returned, every `is_set()` that begins later, in any process, returns true.
///
/// **Death.** A mirror never shows the flag of a dead manager: from the moment in which the manager ends, in whatever
/// way, `is_set` fails ([`is_manager_gone`](Error::is_manager_gone)), and so does a [`wait`](Self::wait) within a
/// second. If the event is removed, both fail as well.
///
/// A mirror only reads: to set the event, or to wait for it together with other objects, use the [`Event`], of which
/// this holds a clone. Threads can clone and share a mirror; to use one in another process, send the event there, and
/// call `mirror` on it. A forked child can read too, but its copy does not keep an anonymous event alive. A wait here
/// is in no wait queue: the manager does not know of it, and `inspect` does not show it. There are mirrors on Linux;
/// elsewhere, and if the manager has no memory to share, the same calls are round trips.
///
/// ```no_run
/// # use client as rallypoint;
/// # fn step() -> bool { false }
/// # fn main() -> rallypoint::Result<()> {
/// let manager = rallypoint::Manager::connect()?;
/// let stop = manager.event("stop")?.mirror()?;
/// while !stop.is_set()? && step() {}
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct EventMirror {
    /// Keeps the event alive, and serves the calls if there is no view.
    event: Event,
    /// Where the flag is; none if it is not in shared memory.
    view: Option<View>,
}

/// Where the flag of one event is in the mirror.
#[derive(Clone, Debug)]
pub(crate) struct View {
    /// The mirror of the event's manager.
    words: Arc<SharedWords<AtomicU32>>,
    /// The event's place in it.
    number: u32,
    /// The serial that is there as long as the event is.
    serial: u32,
}

impl Event {
    /// The mirror of this event, which can be read without a round trip. The first call in a process takes two round
    /// trips, and later calls take one for each event.
    ///
    /// # Errors
    ///
    /// [`is_wrong_parameters`](Error::is_wrong_parameters) for an event with
    /// [`auto_reset`](crate::OpenOptions::auto_reset): a read does not clear the event, so it would let anybody
    /// through.
    pub fn mirror(&self) -> Result<EventMirror> {
        let reference = self.reference();
        let view = View::open(reference.link()?, reference.id())?;
        Ok(EventMirror { event: self.clone(), view })
    }
}

impl EventMirror {
    /// Whether the event is set.
    ///
    /// # Errors
    ///
    /// [`is_manager_gone`](Error::is_manager_gone); [`is_no_such_object`](Error::is_no_such_object) once the event was
    /// removed.
    #[inline]
    pub fn is_set(&self) -> Result<bool> {
        match &self.view {
            Some(view) => view.is_set(),
            None => self.event.is_set(),
        }
    }

    /// Waits until the event is set, and returns true; false if the timeout ends first. An event that was set and
    /// cleared again during the wait has been set.
    ///
    /// With `None` it waits forever; `Duration::ZERO` only looks. This process keeps the time, with a monotonic clock.
    /// The thread sleeps on the flag itself, and the manager wakes it without a message. All sleepers go on together,
    /// in no order.
    ///
    /// # Errors
    ///
    /// As with [`is_set`](Self::is_set), and [`is_removed`](Error::is_removed) if the event is removed meanwhile.
    pub fn wait(&self, timeout: impl Into<Option<Duration>>) -> Result<bool> {
        match &self.view {
            Some(view) => view.wait(timeout.into()),
            None => Ok(self.event.wait(timeout)?.is_some()),
        }
    }

    /// The event.
    pub fn event(&self) -> &Event {
        &self.event
    }

    /// Whether the flag is in shared memory. If not, each call is a round trip.
    pub fn is_mapped(&self) -> bool {
        self.view.is_some()
    }
}

impl View {
    /// Has the manager publish an event. None if the manager cannot share memory, or this system cannot map it.
    pub(crate) fn open(link: &Arc<Link>, event: ObjectId) -> Result<Option<View>> {
        let words = link.mirror()?;
        // This call is made even without memory: the manager refuses a mirror of some events, and they have none
        // anywhere.
        let EventPlace { number, serial } = match link.run_here(PublishEvent { id: event }) {
            // There is no place left in the mirror.
            Err(error) if error.is_limit() => return Ok(None),
            place => place?,
        };
        match words {
            Some(words) if serial_at(number) < words.len() => Ok(Some(View { words, number, serial })),
            Some(_) => Err(Unexpected::reply(Reply::Mirrored { number, serial }).into()),
            None => Ok(None),
        }
    }

    #[inline]
    pub(crate) fn is_set(&self) -> Result<bool> {
        self.look().map(EventState::is_set)
    }

    /// How the event is now.
    #[inline]
    fn look(&self) -> Result<EventState> {
        // Relaxed, since only relaxed loads are allowed in memory that is mapped for reading.
        let state = EventState(self.words[state_at(self.number)].load(Ordering::Relaxed));
        fence(Ordering::Acquire);
        let serial = self.words[serial_at(self.number)].load(Ordering::Relaxed);
        let liveness = self.words[LIVENESS].load(Ordering::Relaxed);
        if serial == self.serial && liveness & ENDED == 0 { Ok(state) } else { Err(lost(liveness)) }
    }

    fn wait(&self, timeout: Option<Duration>) -> Result<bool> {
        // A deadline that the clock cannot reach is the same as none.
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let first = self.look()?;
        let mut state = first;
        while !state.is_set() && !state.was_set_since(first) {
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            if left.is_some_and(|left| left.is_zero()) {
                return Ok(false);
            }
            let pause = left.map_or(LOOK_PAUSE, |left| left.min(LOOK_PAUSE));

            // Not private, since the manager wakes it from another process. Whatever ends the sleep, the next look
            // shows what happened.
            let word = &self.words[state_at(self.number)];
            futex::wait(word, state.0, Sleepers::OfAnyProcess, Some(pause));
            state = self.look().map_err(removed_meanwhile)?;
        }
        Ok(true)
    }
}

/// Why the flag cannot be read.
#[cold]
fn lost(liveness: u32) -> Error {
    match liveness & ENDED {
        0 => {
            Error::new(ErrorKind::NoSuchObject, "the event does not exist any more: it was removed or freed")
        }
        _ => Error::new(ErrorKind::ManagerGone, "the manager is gone: it ended, or was ended"),
    }
}

fn removed_meanwhile(error: Error) -> Error {
    if error.is_no_such_object() {
        return Error::new(ErrorKind::Removed, "the event was removed or freed during the wait");
    }
    error
}

impl fmt::Debug for EventMirror {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "EventMirror of {:?}", self.event)
    }
}
