//! Latches: a count that goes down to zero once, and lets everyone through from then on.
//!
//! As in Java's `CountDownLatch`, counting below zero stays at zero. A latch is not owned: a death changes nothing.

use protocol::{Kind, ObjectId, ObjectState, Refusal, Reply, Spec};
use serde::{Deserialize, Serialize};

use crate::State;
use crate::objects::object_body::ObjectBody;
use crate::objects::{Body, Want};
use crate::store::catalog::Object;
use crate::waiting::wait::{Caller, Readiness};

/// A latch.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Latch {
    count_at_first: u64,
    count: u64,
}

impl Latch {
    pub(crate) fn new(count: u64) -> Latch {
        Latch { count_at_first: count, count }
    }
}

impl ObjectBody for Latch {
    fn kind(&self) -> Kind {
        Kind::Latch
    }

    fn spec(&self, _: &State) -> Option<Spec> {
        Some(Spec::Latch { count: self.count_at_first })
    }

    fn inspect(&self, _: &State, _: &Object) -> ObjectState {
        ObjectState::Latch { count: self.count }
    }

    fn may_be_used_up(&self) -> bool {
        false
    }

    fn readiness(&self, _: &Want, _: Caller) -> Readiness {
        Readiness::when(self.count == 0)
    }
}

impl State {
    pub(crate) fn latch_count_down(&mut self, id: ObjectId, by: u64) -> Result<Reply, Refusal> {
        let key = self.catalog.find(id, Kind::Latch)?;
        let Body::Latch(latch) = &mut self.catalog.at_mut(key).body else {
            unreachable!("the kind was checked when the key was found");
        };
        latch.count = latch.count.saturating_sub(by);
        let count = latch.count;
        self.touch(key);
        Ok(Reply::Count(count))
    }

    pub(crate) fn latch_count(&self, id: ObjectId) -> Result<Reply, Refusal> {
        let key = self.catalog.find(id, Kind::Latch)?;
        match &self.catalog.at(key).body {
            Body::Latch(latch) => Ok(Reply::Count(latch.count)),
            _ => unreachable!("the kind was checked when the key was found"),
        }
    }
}
