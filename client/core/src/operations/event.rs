//! The operations of an event.

use protocol::{Cause, Grant, ObjectId, Reply, Request, Signal, Target};

use super::answers;
use crate::{Operation, SignalOperation, Unexpected, WaitTarget};

/// Sets an event, which lets all waiters through, or one if it clears itself.
#[derive(Clone, Copy, Debug)]
pub struct EventSet<'a> {
    /// The event.
    pub id: ObjectId,
    /// Why, for those who ask.
    pub reason: Option<&'a str>,
}

impl<'a> Operation<'a> for EventSet<'a> {
    type Output = ();

    fn into_request(self) -> Request<'a> {
        let EventSet { id, reason } = self;
        Request::EventSet { id, reason }
    }

    fn output(reply: Reply) -> Result<(), Unexpected> {
        answers::done(reply)
    }
}

impl<'a> SignalOperation<'a> for EventSet<'a> {
    fn into_signal(self) -> Signal<'a> {
        let EventSet { id, reason } = self;
        Signal::EventSet { id, reason }
    }
}

/// Clears an event.
#[derive(Clone, Copy, Debug)]
pub struct EventClear {
    /// The event.
    pub id: ObjectId,
}

impl Operation<'static> for EventClear {
    type Output = ();

    fn into_request(self) -> Request<'static> {
        let EventClear { id } = self;
        Request::EventClear { id }
    }

    fn output(reply: Reply) -> Result<(), Unexpected> {
        answers::done(reply)
    }
}

/// Asks whether an event is set.
#[derive(Clone, Copy, Debug)]
pub struct EventIsSet {
    /// The event.
    pub id: ObjectId,
}

impl Operation<'static> for EventIsSet {
    type Output = bool;

    fn into_request(self) -> Request<'static> {
        let EventIsSet { id } = self;
        Request::EventIsSet { id }
    }

    fn output(reply: Reply) -> Result<bool, Unexpected> {
        match reply {
            Reply::Flag(is_set) => Ok(is_set),
            reply => Err(Unexpected::reply(reply)),
        }
    }
}

/// Asks who set an event; none if it is not set.
#[derive(Clone, Copy, Debug)]
pub struct GetEventCause {
    /// The event.
    pub id: ObjectId,
}

impl Operation<'static> for GetEventCause {
    type Output = Option<Cause>;

    fn into_request(self) -> Request<'static> {
        let GetEventCause { id } = self;
        Request::EventCause { id }
    }

    fn output(reply: Reply) -> Result<Option<Cause>, Unexpected> {
        match reply {
            Reply::SetBy(cause) => Ok(cause),
            reply => Err(Unexpected::reply(reply)),
        }
    }
}

/// Has the manager publish an event in the memory that it shares.
#[derive(Clone, Copy, Debug)]
pub struct PublishEvent {
    /// The event.
    pub id: ObjectId,
}

impl Operation<'static> for PublishEvent {
    type Output = EventPlace;

    fn into_request(self) -> Request<'static> {
        let PublishEvent { id } = self;
        Request::EventMirror { id }
    }

    fn output(reply: Reply) -> Result<EventPlace, Unexpected> {
        match reply {
            Reply::Mirrored { number, serial } => Ok(EventPlace { number, serial }),
            reply => Err(Unexpected::reply(reply)),
        }
    }
}

/// Where an event is in the memory that the manager shares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventPlace {
    /// Its position there.
    pub number: u32,
    /// The serial at that position for as long as the event is there.
    pub serial: u32,
}

/// Waits until an event is set; the grant says by whom.
#[derive(Clone, Copy, Debug)]
pub struct EventTarget {
    /// The event.
    pub id: ObjectId,
}

impl WaitTarget<'static> for EventTarget {
    type Granted = Cause;

    fn into_target(self) -> Target<'static> {
        Target::Event { id: self.id }
    }

    fn accept(grant: Grant) -> Result<Cause, Grant> {
        match grant {
            Grant::Event(cause) => Ok(cause),
            grant => Err(grant),
        }
    }
}
