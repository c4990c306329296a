//! The mirror: which events are published in shared memory, and at which place.
//!
//! The core decides what stands there and says so by [`Effect::Publish`], always before the answer to the request that
//! changed an event; the driver writes it. When an event no longer exists, its place is used again under another
//! serial, so a reader of the old event notices.

use alloc::format;
use alloc::vec::Vec;

use protocol::shared_memory::mirror;
use protocol::{Code, Kind, ObjectId, Refusal, Reply};
use serde::{Deserialize, Serialize};

use crate::store::slab::Key;
use crate::{Effect, State};

/// The places of the mirror.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct MirrorPlaces {
    /// How many places were ever used. Those from this number on never were.
    used: u32,
    /// The places that were used and are free, and their states: the next event counts on from there, because a thread
    /// may still be about to sleep on the old state.
    free: Vec<(u32, mirror::EventState)>,
    /// The last serial that was given.
    serial: u32,
}

/// The place of one event, and what to write there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Publication {
    /// Which place.
    pub number: u32,
    /// The serial of its event; 0 if it has none any more.
    pub serial: u32,
    /// The state of the event.
    pub state: mirror::EventState,
}

impl MirrorPlaces {
    /// Takes a place, if there are fewer than this many in use.
    fn take(&mut self, places_max: usize) -> Option<Publication> {
        let (number, state) = match self.free.pop() {
            Some(place) => place,
            None if (self.used as usize) < places_max => {
                self.used += 1;
                (self.used - 1, mirror::EventState::default())
            }
            None => return None,
        };
        // Before a serial comes again, places were given away four billion times.
        self.serial = self.serial.wrapping_add(1).max(1);
        Some(Publication { number, serial: self.serial, state })
    }
}

impl State {
    /// Has an event published from now on.
    pub(crate) fn event_mirror(&mut self, id: ObjectId) -> Result<Reply, Refusal> {
        let key = self.catalog.find(id, Kind::Event)?;
        let Publication { number, serial, .. } = match self.event_publication(key) {
            Some(published) => published,
            None => self.event_publish_first(key)?,
        };
        Ok(Reply::Mirrored { number, serial })
    }

    fn event_publish_first(&mut self, key: Key) -> Result<Publication, Refusal> {
        if self.event_is_auto_reset(key) {
            let what = self.describe(key);
            let text =
                format!("{what} has auto reset: looking at a mirror takes nothing, so wait for it instead");
            return Err(Refusal::new(Code::WrongParameters, text));
        }
        let events_max = self.limits.mirrored_events_max;
        let place = self.mirror.take(events_max).ok_or_else(|| {
            let text = format!("{events_max} events are mirrored already, which is the limit");
            Refusal::new(Code::LimitReached, text)
        })?;
        self.event_publish_at(key, place);
        Ok(place)
    }

    /// Publishes the state of an event.
    pub(crate) fn publish(&mut self, publication: Publication) {
        self.effects.push(Effect::Publish(publication));
    }

    /// Gives back the place of an event that no longer exists. Threads that sleep there wake, and find another serial
    /// than their own.
    pub(crate) fn withdraw(&mut self, last: Publication) {
        let state = last.state.after_clear().after_set();
        self.publish(Publication { serial: 0, state, ..last });
        self.mirror.free.push((last.number, state));
    }
}
