//! The conditions under which `worker run` runs a command: an event is not set, a lock is held, or both. It waits for
//! them before the command starts, and watches them while the command runs.
//!
//! One request waits for the lock and the event, so the command can never start while the event is set.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use client::internal::operations::{
    Cancel, Either, EventTarget, Inspect, LockRelease, LockTarget, WaitForEither,
};
use client::internal::{ErrorKind, Link, Operation, Reference, this_thread};
use client::{Error, EventCause, Manager, Result};
use protocol::{Abandonment, ObjectState, OpenMode, RequestId, Selector, Spec};
use sys::poll::{Watched, wait_for_any};

use super::deadlock::Cycle;
use super::lock_wait::AwaitedLock;
use crate::error::failed;

/// How often to check that the lock is still held. The manager does not notify a holder whose lock is taken away.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// How long a wait for the lock takes before anybody is told, and the first pause between two looks at it; it doubles.
const LOOK_PAUSE: Duration = Duration::from_secs(1);
const LOOK_PAUSE_MAX: Duration = Duration::from_secs(30);

/// How long to wait for the answer to a release.
const RELEASE_TIME_MAX: Duration = Duration::from_secs(1);

/// A wait for the event that must not be set, or else for the lock.
type PermissionWait = WaitForEither<EventTarget, LockTarget>;

/// The event that must not be set, and the lock that must be held, while a command runs.
#[derive(Debug)]
pub struct Preconditions {
    link: Arc<Link>,
    stop: Option<Reference>,
    lock: Option<Reference>,
    state: Mutex<PreconditionState>,
}

#[derive(Debug, Default)]
struct PreconditionState {
    /// The request that waits for permission to start.
    waiting: Option<RequestId>,
    /// Whether the wait was cancelled.
    is_cancelled: bool,
    /// Why the wait would never end, if that was found out.
    deadlock: Option<String>,
    /// Whether the wait has ended.
    has_ended: bool,
    /// The token and the hold of the lock, while it is held.
    held: Option<(u64, u64)>,
}

/// Whether the command may start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Permission {
    /// It may. If the lock was abandoned, this says by which process.
    Granted(Option<Abandonment>),
    /// The event is set.
    Stopped(EventCause),
    /// The wait was cancelled.
    Cancelled,
}

/// Why a command that runs has to end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StopReason {
    /// The event was set.
    Stopped(EventCause),
    /// This process no longer holds the lock, or cannot find out whether it does.
    LockLost(String),
    /// The manager has ended, and with it the lock and the event.
    ManagerGone(String),
    /// The event cannot be watched any more.
    EventLost(String),
}

impl Preconditions {
    /// Opens the objects with these names, or creates them.
    pub fn open(manager: &Manager, stop: Option<&str>, lock: Option<&str>) -> Result<Preconditions> {
        let open = |name, spec| Reference::open(manager.link(), Some(name), spec, OpenMode::OpenOrCreate);
        Ok(Preconditions {
            link: Arc::clone(manager.link()),
            stop: stop.map(|name| open(name, Spec::Event { auto_reset: false })).transpose()?,
            lock: lock.map(|name| open(name, Spec::Lock)).transpose()?,
            state: Mutex::default(),
        })
    }

    /// The way to the manager of these objects.
    pub fn link(&self) -> &Arc<Link> {
        &self.link
    }

    /// Waits until the command may start: until it has the lock, if there is one.
    pub fn wait(&self) -> Result<Permission> {
        let stop = self.stop.as_ref().map(|stop| EventTarget { id: stop.id() });
        let lock = self.lock.as_ref().map(|lock| LockTarget { id: lock.id(), is_reentrant: false });
        let timeout_ns = if lock.is_some() { None } else { Some(0) };
        let wait = PermissionWait { first: stop, second: lock, timeout_ns, thread: this_thread() };
        let pending = {
            let mut state = self.state();
            if state.is_cancelled {
                return Ok(Permission::Cancelled);
            }
            let pending = self.link.begin(wait.into_request())?;
            state.waiting = Some(pending.request());
            pending
        };
        let answer = pending.wait();
        let mut state = self.state();
        state.waiting = None;
        state.has_ended = true;
        let reply = match answer {
            Err(error) if error.is_cancelled() => match state.deadlock.take() {
                Some(text) => return Err(Error::new(ErrorKind::Deadlock, text)),
                None if state.is_cancelled => return Ok(Permission::Cancelled),
                None => return Err(error),
            },
            answer => answer?,
        };
        match PermissionWait::output(reply)? {
            None => Ok(Permission::Granted(None)),
            Some(Either::First(cause)) => Ok(Permission::Stopped(cause.into())),
            Some(Either::Second(grant)) => {
                state.held = Some((grant.token, grant.holding));
                Ok(Permission::Granted(grant.abandoned))
            }
        }
    }

    /// Ends another thread's [`wait`](Self::wait), now or when it starts. The wait may still succeed.
    pub fn cancel(&self) {
        let mut state = self.state();
        state.is_cancelled = true;
        if let Some(request) = state.waiting {
            // If the manager is gone, the wait has ended.
            let _ = self.link.send(Cancel { request }.into_request());
        }
    }

    /// Looks at the wait for the lock while it goes on. Says who holds the lock, once the wait takes more than a
    /// moment, and again if that changes, now and then. Has the wait fail with a deadlock if it would never end.
    pub fn watch_wait(&self, say: impl Fn(&str)) {
        let Some(lock) = &self.lock else { return };
        let mut pause = LOOK_PAUSE;
        let mut told = None;
        let mut found: Option<(Cycle, usize)> = None;
        loop {
            thread::sleep(if found.is_some() { LOOK_PAUSE } else { pause });
            if self.state().has_ended {
                return;
            }
            pause = LOOK_PAUSE_MAX.min(pause * 2);
            // The wait itself finds out what is wrong.
            let Ok(seen) = AwaitedLock::look(&self.link, lock.id()) else { return };
            let Some(seen) = seen else { continue };
            if told != seen.token() && !self.state().has_ended {
                told = seen.token();
                say(&format!("waits for {}", seen.describe()));
            }
            let Ok(cycle) = seen.cycle(&self.link) else { return };
            found = cycle.map(|cycle| match found.take() {
                Some((before, times)) if before == cycle => (cycle, times + 1),
                _ => (cycle, 1),
            });
            if let Some((cycle, times)) = &found
                && self.judge(cycle, *times, &say)
            {
                return;
            }
        }
    }

    /// Ends the wait if it belongs to a cycle. What was seen is not of one moment, so it counts if it is there again.
    /// In a cycle of several runs, one of them gives up, and the others only if it does not. A wait that the event can
    /// end goes on, unless the lock can never come. Returns whether there is nothing more to look for.
    fn judge(&self, cycle: &Cycle, times: usize, say: &impl Fn(&str)) -> bool {
        if !cycle.is_nested() && times < 2 + cycle.rank_of_first() {
            return false;
        }
        let text = format!("this wait would never end: {}", cycle.describe());
        if self.stop.is_some() && !cycle.is_nested() {
            say(&format!("{text}; only the event can end it"));
            return true;
        }
        let mut state = self.state();
        state.deadlock = Some(text);
        if let Some(request) = state.waiting {
            let _ = self.link.send(Cancel { request }.into_request());
        }
        true
    }

    /// Watches the event and the lock, until there is a reason to end the command.
    pub fn watch(&self) -> StopReason {
        loop {
            match self.watch_event() {
                Ok(Some(cause)) => return StopReason::Stopped(cause),
                Ok(None) => {}
                Err(error) if error.is_manager_gone() => return StopReason::ManagerGone(error.to_string()),
                Err(error) => return StopReason::EventLost(error.to_string()),
            }
            if let Err(error) = self.check_held() {
                return StopReason::of_lock(&error);
            }
        }
    }

    /// Waits for the event, or until it is time to check the lock.
    fn watch_event(&self) -> Result<Option<EventCause>> {
        let Some(stop) = &self.stop else {
            return self.watch_manager().map(|()| None);
        };
        let timeout = self.lock.is_some().then_some(CHECK_INTERVAL);
        let cause = stop.wait(EventTarget { id: stop.id() }, timeout)?;
        Ok(cause.map(EventCause::from))
    }

    /// Waits for the end of the manager, or until it is time to check the lock.
    fn watch_manager(&self) -> Result<()> {
        let connection = self.link.descriptor().map_err(|error| failed(&error))?;
        // The next request finds out what happened.
        let _ = wait_for_any(&mut [Watched::for_hang_up(&connection)], Some(CHECK_INTERVAL));
        Ok(())
    }

    fn check_held(&self) -> Result<()> {
        let (Some(lock), Some((token, _))) = (&self.lock, self.state().held) else {
            return Ok(());
        };
        match self.link.run(Inspect { object: Selector::Id(lock.id()) })?.state {
            ObjectState::Lock { holder: Some(holder), .. } if holder.token == token => Ok(()),
            ObjectState::Lock { holder: Some(holder), .. } => {
                let text = format!("it is held by pid {} ({}) now", holder.process, holder.program);
                Err(lost(&text))
            }
            _ => Err(lost("it was taken away by force")),
        }
    }

    /// Releases the lock, if it is held. An error means that it was lost before.
    ///
    /// This waits for the manager's answer, but not long: a manager that is suspended carries the release out when it
    /// goes on.
    pub fn release(&self) -> Result<()> {
        let (Some(lock), Some((_, holding))) = (&self.lock, self.state().held.take()) else {
            return Ok(());
        };
        let release = LockRelease { id: lock.id(), holding: Some(holding), thread: this_thread() };
        match self.link.begin(release.into_request())?.wait_at_most(RELEASE_TIME_MAX)? {
            Some(reply) => Ok(LockRelease::output(reply)?),
            None => {
                log::warn!("the manager does not answer; it releases the lock when it goes on");
                Ok(())
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, PreconditionState> {
        // No code of this module leaves it half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn lost(text: &str) -> Error {
    Error::new(ErrorKind::NotOwner, text)
}

impl StopReason {
    /// What an error means by which this process learns that it does not hold its lock any more.
    pub fn of_lock(error: &Error) -> StopReason {
        let text = error.to_string();
        if error.is_manager_gone() { StopReason::ManagerGone(text) } else { StopReason::LockLost(text) }
    }
}

impl fmt::Display for StopReason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StopReason::Stopped(cause) => write!(formatter, "stopped: {cause}"),
            StopReason::LockLost(text) => write!(formatter, "the lock is lost: {text}"),
            StopReason::ManagerGone(text) => formatter.write_str(text),
            StopReason::EventLost(text) => write!(formatter, "the event is lost: {text}"),
        }
    }
}
