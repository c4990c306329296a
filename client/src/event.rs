//! The event: a flag that processes set, clear and wait for.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use protocol::limits::REASON_BYTES_MAX;
use protocol::{Grant, Kind, ObjectId, Reply, Request, Spec, Target};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::reference::{Proxy, Reference, unexpected};
use crate::{Cause, Error, ErrorKind, Options, Result};

/// A flag that processes set, clear and wait for. This is a proxy: the flag itself is in the manager.
///
/// A new event is not set. Once it is, everyone who waits goes on, and so does everyone who comes, until it
/// is cleared. An event with [`auto_reset`](Options::auto_reset) lets one through for each `set`, first come,
/// first served, and clears itself.
///
/// A clone is the same event. A proxy serializes into where the event is, and deserializes in any process of
/// this user on this machine into a proxy of the same event; that is how it becomes the argument of a task.
///
/// When a process that waits dies, its wait vanishes; a `set` that was on its way to it goes to the next in
/// line. An event that a process has set stays set when that process dies. When the manager dies, every call
/// fails at once ([`is_manager_gone`](Error::is_manager_gone)).
///
/// ```no_run
/// use std::time::Duration;
///
/// # fn main() -> client::Result<()> {
/// let manager = client::Manager::start()?;
/// let stop = manager.event("stop")?;
/// assert!(stop.wait(Duration::from_millis(10))?.is_none());
///
/// stop.set_because("disk full")?;
/// let cause = stop.wait(None)?.expect("a wait without a timeout ends with a cause");
/// assert_eq!(cause.reason.as_deref(), Some("disk full"));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Event {
    reference: Arc<Reference>,
}

impl Event {
    /// Sets the event. Everyone who waits goes on; with auto reset, the first in line does. If it is set
    /// already, nothing changes, also not who set it.
    ///
    /// When this returns, every later `is_set` in any process sees it.
    pub fn set(&self) -> Result<()> {
        self.set_for(None)
    }

    /// Sets the event, and says why: those who wait and ask get the reason with the [`Cause`].
    ///
    /// # Errors
    /// [`is_limit`](Error::is_limit) if the reason is longer than 1024 bytes.
    pub fn set_because(&self, reason: &str) -> Result<()> {
        let bytes = reason.len();
        if bytes > REASON_BYTES_MAX {
            let text = format!("a reason has at most {REASON_BYTES_MAX} bytes, this one has {bytes}");
            return Err(Error::new(ErrorKind::Limit, text));
        }
        self.set_for(Some(reason))
    }

    fn set_for(&self, reason: Option<&str>) -> Result<()> {
        self.reference.call_for_done(Request::EventSet { id: self.id(), reason })
    }

    /// Clears the event: from now on those who come wait.
    pub fn clear(&self) -> Result<()> {
        self.reference.call_for_done(Request::EventClear { id: self.id() })
    }

    /// Whether the event is set. Changes nothing, also with auto reset.
    pub fn is_set(&self) -> Result<bool> {
        match self.reference.call(Request::EventIsSet { id: self.id() })? {
            Reply::Flag(is_set) => Ok(is_set),
            reply => Err(unexpected(&reply)),
        }
    }

    /// Waits until the event is set, and returns who set it; none if the timeout ends first.
    ///
    /// With `None` it waits for ever; `Duration::ZERO` only looks. The manager keeps the time, with a clock
    /// that nobody sets. Those who wait are served in the order in which they came.
    ///
    /// # Errors
    /// [`is_removed`](Error::is_removed) if the event is removed meanwhile.
    pub fn wait(&self, timeout: impl Into<Option<Duration>>) -> Result<Option<Cause>> {
        match self.reference.wait(Target::Event { id: self.id() }, timeout.into())? {
            None => Ok(None),
            Some(Grant::Event(cause)) => Ok(Some(cause.into())),
            Some(grant) => {
                let text = format!("the manager gave what is not an event's: {grant:?}");
                Err(Error::new(ErrorKind::Other, text))
            }
        }
    }

    /// Who set the event, when, and why; none if it is not set.
    pub fn cause(&self) -> Result<Option<Cause>> {
        match self.reference.call(Request::EventCause { id: self.id() })? {
            Reply::SetBy(cause) => Ok(cause.map(Cause::from)),
            reply => Err(unexpected(&reply)),
        }
    }

    /// Takes the event away for everyone: its name is free, who waits for it fails with
    /// [`is_removed`](Error::is_removed), and every later call on a proxy of it with
    /// [`is_no_such_object`](Error::is_no_such_object).
    pub fn remove(&self) -> Result<()> {
        self.reference.remove()
    }

    /// The object itself, for the rest of the product.
    #[doc(hidden)]
    pub fn reference(&self) -> &Reference {
        &self.reference
    }

    fn id(&self) -> ObjectId {
        self.reference.id()
    }
}

impl Options<'_, Event> {
    /// Whether a wait that succeeds clears the event, so that each `set` lets one through. Off at first.
    pub fn auto_reset(mut self, auto_reset: bool) -> Self {
        self.spec = Spec::Event { auto_reset };
        self
    }
}

impl Proxy for Event {
    const KIND: Kind = Kind::Event;

    fn from_reference(reference: Reference) -> Event {
        Event { reference: Arc::new(reference) }
    }
}

impl Serialize for Event {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        self.reference.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Event {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Event, D::Error> {
        Reference::deserialize(Event::KIND, deserializer).map(Event::from_reference)
    }
}

impl fmt::Debug for Event {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Event({})", self.id().0)
    }
}
