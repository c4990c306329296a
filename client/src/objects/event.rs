//! The event: a flag that processes set, clear and wait for.

use std::sync::Arc;
use std::time::Duration;

use client_core::WaitTarget;
use client_core::operations::{EventClear, EventIsSet, EventSet, EventTarget, GetEventCause};
use protocol::{Grant, Kind, Spec, Target};

use crate::objects::proxy::proxy;
use crate::objects::reason::check_reason;
use crate::objects::reference::Reference;
use crate::objects::wait::signal_and_wait;
use crate::objects::waitable::SealedWaitable;
use crate::{EventCause, Manager, OpenOptions, Result, Taken, Waitable};

/// A flag that processes set, clear and wait for. This is a proxy: the flag itself is in the manager.
///
/// A new event is not set. Once it is set, every waiter goes on, and so does every later one, until somebody clears it.
/// An event with [`auto_reset`](OpenOptions::auto_reset) lets one waiter through for each `set`, first come, first
/// served, and clears itself.
///
/// A clone is the same event. A proxy serializes into the address and id of the event, and deserializes in any process
/// of this user on this machine into a proxy of the same event; so it can be an argument of a task.
///
/// **Fairness.** First come, first served: with auto reset each `set` lets the longest waiter through. A manual-reset
/// event lets all waiters through at once, even if somebody clears it right after, so there is no order among them.
///
/// **Death.** When a process that waits dies, its wait vanishes; a `set` that was on its way to it goes to the next
/// waiter. With auto reset, the manager learns from a process's next call that a wake-up has arrived. A process that
/// dies before that call passes the wake-up on, even if it had begun to act on it: each `set` gets through at least
/// once. An event that a process has set stays set when that process dies. When the manager dies, every call fails at
/// once ([`is_manager_gone`](crate::Error::is_manager_gone)).
///
/// ```no_run
/// # use client as rallypoint;
/// use std::time::Duration;
///
/// # fn main() -> rallypoint::Result<()> {
/// let manager = rallypoint::Manager::start()?;
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

impl Manager {
    /// The event of this name, made now if there is none: not set at first, and set until it is cleared.
    ///
    /// # Errors
    ///
    /// As with [`OpenOptions::open_or_create`].
    pub fn event(&self, name: &str) -> Result<Event> {
        self.event_options().open_or_create(name)
    }

    /// A new event without a name, which lives as long as there are proxies of it.
    pub fn anonymous_event(&self) -> Result<Event> {
        self.event_options().anonymous()
    }

    /// Options to open or make an event in any other way.
    pub fn event_options(&self) -> OpenOptions<'_, Event> {
        OpenOptions::new(self, Spec::Event { auto_reset: false })
    }
}

impl Event {
    /// Sets the event. Every waiter goes on; with auto reset, the first one does. If the event is set already, nothing
    /// changes, not even its [`EventCause`].
    ///
    /// When this returns, every later `is_set` in any process sees it.
    ///
    /// # Errors
    ///
    /// [`is_no_such_object`](crate::Error::is_no_such_object) if the event was removed.
    pub fn set(&self) -> Result<()> {
        self.set_for(None)
    }

    /// Sets the event, and says why: waiters get the reason with the [`EventCause`].
    ///
    /// # Errors
    ///
    /// [`is_limit`](crate::Error::is_limit) if the reason is longer than 1024 bytes;
    /// [`is_bad_argument`](crate::Error::is_bad_argument) if it holds control characters, such as line feeds, which
    /// would garble the terminal of its reader;
    /// [`is_no_such_object`](crate::Error::is_no_such_object) if the event was removed.
    pub fn set_because(&self, reason: &str) -> Result<()> {
        check_reason(reason)?;
        self.set_for(Some(reason))
    }

    fn set_for(&self, reason: Option<&str>) -> Result<()> {
        self.reference.run(EventSet { id: self.id(), reason })
    }

    /// Clears the event: from now on callers wait.
    ///
    /// # Errors
    ///
    /// [`is_no_such_object`](crate::Error::is_no_such_object) if the event was removed.
    pub fn clear(&self) -> Result<()> {
        self.reference.run(EventClear { id: self.id() })
    }

    /// Whether the event is set. Changes nothing, even with auto reset.
    ///
    /// # Errors
    ///
    /// [`is_no_such_object`](crate::Error::is_no_such_object) if the event was removed.
    pub fn is_set(&self) -> Result<bool> {
        self.reference.run(EventIsSet { id: self.id() })
    }

    /// Waits until the event is set, and returns who set it; none if the timeout ends first.
    ///
    /// With `None` it waits forever; `Duration::ZERO` only looks. The manager keeps the time, with a monotonic clock.
    ///
    /// # Errors
    ///
    /// [`is_removed`](crate::Error::is_removed) if the event is removed meanwhile, and
    /// [`is_no_such_object`](crate::Error::is_no_such_object) if it was removed before.
    pub fn wait(&self, timeout: impl Into<Option<Duration>>) -> Result<Option<EventCause>> {
        let cause = self.reference.wait(EventTarget { id: self.id() }, timeout.into())?;
        Ok(cause.map(EventCause::from))
    }

    /// Who set the event, when, and why; none if it is not set.
    ///
    /// # Errors
    ///
    /// [`is_no_such_object`](crate::Error::is_no_such_object) if the event was removed.
    pub fn cause(&self) -> Result<Option<EventCause>> {
        self.reference.run(GetEventCause { id: self.id() }).map(|cause| cause.map(EventCause::from))
    }

    /// Sets this event and waits for another object, in one round trip and one atomic step: the waiters that the set
    /// lets through go on before the wait begins. None if the timeout ends first; the event is set all the same.
    ///
    /// With it, two processes that pass control back and forth each pay one round trip for a turn.
    ///
    /// # Errors
    ///
    /// [`is_no_such_object`](crate::Error::is_no_such_object) if this event was removed; then it does not wait.
    /// Otherwise as with [`wait_any`](crate::wait_any): if the wait cannot begin, such as for an object of another
    /// manager or one that was removed, the event is not set; if the wait fails later, it stays set.
    pub fn set_and_wait(
        &self,
        target: &dyn Waitable,
        timeout: impl Into<Option<Duration>>,
    ) -> Result<Option<Taken>> {
        let set = EventSet { id: self.id(), reason: None };
        signal_and_wait(&self.reference, set, target, timeout.into())
    }

    /// The object itself, for the rest of the product.
    #[doc(hidden)]
    pub fn reference(&self) -> &Reference {
        &self.reference
    }
}

proxy!(Event, Kind::Event);

impl OpenOptions<'_, Event> {
    /// Whether a wait that succeeds clears the event, so that each `set` lets one waiter through. Off by default.
    pub fn auto_reset(mut self, auto_reset: bool) -> Self {
        self.spec = Spec::Event { auto_reset };
        self
    }
}

impl SealedWaitable for Event {
    fn reference(&self) -> &Reference {
        &self.reference
    }

    fn target(&self) -> Target<'_> {
        EventTarget { id: self.id() }.into_target()
    }

    fn receive(&self, grant: Grant) -> Result<Taken> {
        Ok(Taken::Event(EventTarget::granted(grant)?.into()))
    }
}
