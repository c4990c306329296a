//! What is left of an object that has ended while waiters waited for it: it refuses them.
//!
//! Nobody finds it any more, by its name, its id or a [handle](crate::store::catalog::Handle). The
//! [agenda](crate::waiting::agenda) comes to its waiters as to those of any object, in slices if they are many, and
//! then its slot is free.

use alloc::boxed::Box;
use core::mem::{replace, take};

use protocol::{Kind, ObjectState, Refusal, Spec};
use serde::{Deserialize, Serialize};

use crate::State;
use crate::objects::object_body::ObjectBody;
use crate::objects::queue::LANES;
use crate::objects::{Body, Want};
use crate::store::catalog::Object;
use crate::store::slab::Key;
use crate::waiting::wait::{Caller, Lane, Readiness};
use crate::waiting::wait_queue::WaitQueue;

/// An object that has ended.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct EndedObject {
    kind: Kind,
    refusal: Refusal,
    /// The other wait queues, if it was a queue.
    lanes: Option<Box<[WaitQueue; 2]>>,
}

impl EndedObject {
    /// Takes the place of a body, and refuses those who wait for it. Returns the body.
    pub(crate) fn replace(body: &mut Body, refusal: Refusal) -> Body {
        let kind = body.kind();
        let lanes = (body.lanes().len() > 1)
            .then(|| Box::new([Lane::Putters, Lane::Joiners].map(|lane| take(body.wait_queue_mut(lane)))));
        replace(body, Body::Ended(Box::new(EndedObject { kind, refusal, lanes })))
    }

    /// What those are refused with who wait for it.
    pub(crate) fn refusal(&self) -> Refusal {
        self.refusal.clone()
    }

    fn other_lanes(&self) -> &[WaitQueue; 2] {
        self.lanes.as_deref().expect("only a queue has lanes beside the main one")
    }
}

impl ObjectBody for EndedObject {
    fn kind(&self) -> Kind {
        self.kind
    }

    fn spec(&self, _: &State) -> Option<Spec> {
        None
    }

    fn inspect(&self, _: &State, _: &Object) -> ObjectState {
        unreachable!("nobody finds it");
    }

    fn readiness(&self, _: &Want, _: Caller) -> Readiness {
        Readiness::Never(self.refusal())
    }

    fn lanes(&self) -> &'static [Lane] {
        if self.lanes.is_some() { LANES } else { &[Lane::Main] }
    }

    fn wait_queue_in(&self, lane: Lane) -> &WaitQueue {
        let [putters, joiners] = self.other_lanes();
        if lane == Lane::Putters { putters } else { joiners }
    }

    fn wait_queue_mut(&mut self, lane: Lane) -> &mut WaitQueue {
        let lanes = self.lanes.as_deref_mut();
        let [putters, joiners] = lanes.expect("only a queue has lanes beside the main one");
        if lane == Lane::Putters { putters } else { joiners }
    }
}

impl State {
    /// Notes that a waiter has left a wait queue of an object that has ended, which goes with the last of them.
    #[cold]
    pub(crate) fn left_ended(&mut self, key: Key) {
        if !self.catalog.at(key).is_awaited() {
            self.free_later(self.catalog.handle(key));
        }
    }
}
