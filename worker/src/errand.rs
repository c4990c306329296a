//! One command under a named event, a named lock, or both: what `worker run` waits for before, and watches meanwhile.
//!
//! It asks the manager with the protocol's own requests. A command that has to wait for its lock waits for the event as
//! well, in one request, so there is no moment in which it could start although it was stopped.

use std::fmt;
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use client::internal::{Link, Reference, nanoseconds, this_thread, unexpected};
use client::{Cause, Error, Manager, Result};
use protocol::{
    Abandonment, Grant, ObjectState, OpenMode, Reply, Request, RequestId, Selector, Spec, Target, Targets,
    WaitMode,
};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::failed;

/// How often to look whether the lock is still held. Nobody tells a holder from whom it was taken.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What a command runs under.
#[derive(Debug)]
pub struct Errand {
    link: Arc<Link>,
    stop: Option<Reference>,
    lock: Option<Reference>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The request that waits for leave to start.
    waiting: Option<RequestId>,
    /// Whether nobody wants to start any more.
    is_given_up: bool,
    /// The token and the holding of the lock, while it is held.
    held: Option<(u64, u64)>,
}

/// Whether the command may start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Leave {
    /// It may. If it has the lock, this is who left it behind.
    Granted(Option<Abandonment>),
    /// The event is set.
    Stopped(Cause),
    /// The wait was given up.
    GivenUp,
}

/// Why a command that runs is to end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// The event was set.
    Stopped(Cause),
    /// The lock is not this command's any more, or nobody can tell.
    LockLost(String),
    /// The event can not be watched any more.
    EventLost(String),
}

impl Errand {
    /// Opens the objects of these names, or makes them.
    pub fn open(manager: &Manager, stop: Option<&str>, lock: Option<&str>) -> Result<Errand> {
        let open = |name, spec| Reference::open(manager.link(), Some(name), spec, OpenMode::OpenOrCreate);
        Ok(Errand {
            link: Arc::clone(manager.link()),
            stop: stop.map(|name| open(name, Spec::Event { auto_reset: false })).transpose()?,
            lock: lock.map(|name| open(name, Spec::Lock)).transpose()?,
            state: Mutex::default(),
        })
    }

    /// Waits until the command may start: as long as it takes to have the lock, if there is one.
    pub fn begin(&self) -> Result<Leave> {
        let stop = self.stop.as_ref().map(|stop| Target::Event { id: stop.id() });
        let lock = self.lock.as_ref().map(|lock| Target::Lock { id: lock.id() });
        let timeout_ns = if lock.is_some() { None } else { Some(0) };
        let targets: Targets<'_> = stop.into_iter().chain(lock).collect();
        let wait = Request::Wait { mode: WaitMode::Any, targets, timeout_ns, thread: this_thread() };
        let pending = {
            let mut state = self.state();
            if state.is_given_up {
                return Ok(Leave::GivenUp);
            }
            let pending = self.link.begin(wait)?;
            state.waiting = Some(pending.request());
            pending
        };
        let answer = pending.wait();
        let mut state = self.state();
        state.waiting = None;
        match answer {
            Err(error) if error.is_cancelled() && state.is_given_up => Ok(Leave::GivenUp),
            Err(error) => Err(error),
            Ok(Reply::TimedOut { .. }) => Ok(Leave::Granted(None)),
            Ok(Reply::Taken(taken)) => match taken.grants.into_iter().next() {
                Some(Grant::Event(cause)) => Ok(Leave::Stopped(cause.into())),
                Some(Grant::Lock(grant)) => {
                    state.held = Some((grant.token, grant.hold));
                    Ok(Leave::Granted(grant.abandoned))
                }
                other => Err(failed(&format!("a wait for a lock gave {other:?}"))),
            },
            Ok(reply) => Err(unexpected(&reply)),
        }
    }

    /// Has another thread's [`begin`](Self::begin) end, now or whenever it comes. It may be granted all the same.
    pub fn give_up(&self) {
        let mut state = self.state();
        state.is_given_up = true;
        if let Some(request) = state.waiting {
            // If the manager is gone, so is the wait.
            let _ = self.link.send(Request::Cancel { request });
        }
    }

    /// Watches while the command runs, until there is a reason to end it.
    pub fn watch(&self) -> Trouble {
        loop {
            match self.watch_event() {
                Ok(Some(cause)) => return Trouble::Stopped(cause),
                Ok(None) => {}
                Err(error) if self.lock.is_some() && error.is_manager_gone() => {
                    return Trouble::LockLost(error.to_string());
                }
                Err(error) => return Trouble::EventLost(error.to_string()),
            }
            if let Err(error) = self.check_held() {
                return Trouble::LockLost(error.to_string());
            }
        }
    }

    /// Waits for the event, or until it is time to look at the lock.
    fn watch_event(&self) -> Result<Option<Cause>> {
        let Some(stop) = &self.stop else {
            return self.watch_manager().map(|()| None);
        };
        let timeout = self.lock.is_some().then_some(LOOK_EVERY);
        let wait = Request::Wait {
            mode: WaitMode::Any,
            targets: Targets::from_iter([Target::Event { id: stop.id() }]),
            timeout_ns: timeout.map(nanoseconds),
            thread: this_thread(),
        };
        match self.link.call(wait)? {
            Reply::TimedOut { .. } => Ok(None),
            Reply::Taken(taken) => match taken.grants.into_iter().next() {
                Some(Grant::Event(cause)) => Ok(Some(cause.into())),
                other => Err(failed(&format!("a wait for an event gave {other:?}"))),
            },
            reply => Err(unexpected(&reply)),
        }
    }

    /// Waits for the end of the manager, or until it is time to look at the lock.
    fn watch_manager(&self) -> Result<()> {
        let connection = self.link.descriptor().map_err(|error| failed(&error))?;
        let timeout = Timespec::try_from(LOOK_EVERY).map_err(|error| failed(&error))?;
        let mut watched = [PollFd::from_borrowed_fd(connection.as_fd(), PollFlags::RDHUP)];
        // Whatever comes of it, the next request finds out.
        let _ = poll(&mut watched, Some(&timeout));
        Ok(())
    }

    fn check_held(&self) -> Result<()> {
        let (Some(lock), Some((token, _))) = (&self.lock, self.state().held) else {
            return Ok(());
        };
        let object = match self.link.call(Request::Inspect { object: Selector::Id(lock.id()) })? {
            Reply::Object(object) => object,
            reply => return Err(unexpected(&reply)),
        };
        match object.state {
            ObjectState::Lock { holder: Some(holder), .. } if holder.token == token => Ok(()),
            ObjectState::Lock { holder: Some(holder), .. } => {
                let text = format!("it is held by pid {} ({}) now", holder.process, holder.program);
                Err(lost(&text))
            }
            _ => Err(lost("it was taken away by force")),
        }
    }

    /// Gives the lock back, if it is held. An error says that it was lost before.
    pub fn release(&self) -> Result<()> {
        // A lock that was taken away stays marked for the next who takes it; to release it would clear the mark.
        self.check_held()?;
        let (Some(lock), Some((_, hold))) = (&self.lock, self.state().held.take()) else {
            return Ok(());
        };
        lock.call_for_done(Request::Release { id: lock.id(), hold: Some(hold), thread: this_thread() })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No code of this module leaves it half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn lost(text: &str) -> Error {
    Error::new(client::internal::ErrorKind::NotOwner, text)
}

impl fmt::Display for Trouble {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Trouble::Stopped(cause) => write!(formatter, "stopped: {cause}"),
            Trouble::LockLost(text) => write!(formatter, "the lock is lost: {text}"),
            Trouble::EventLost(text) => write!(formatter, "the event is lost: {text}"),
        }
    }
}
