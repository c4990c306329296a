//! Lines: who waits for one object, first come first.
//!
//! A line is woven through the waiters that stand in it, each with one *stand* for each of its targets. So joining
//! and leaving a line cost the same however many stand there, and waiting allocates nothing of its own.

use core::num::NonZeroU32;

use crate::store::slab::{Key, Slab};
use crate::waiting::wait::{Waiter, Want};

/// A waiter's stand in the line of one of its targets.
#[derive(Debug)]
pub(crate) struct Stand {
    /// The object that it waits for.
    pub(crate) object: Key,
    /// What it wants of it.
    pub(crate) want: Want,
    ahead: Option<Place>,
    behind: Option<Place>,
}

/// Names a stand: which waiter, and which of its targets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) waiter: Key,
    /// The position of the target, counted from one, so that an optional place is no larger than a place.
    number: NonZeroU32,
}

/// Who waits for one object.
#[derive(Debug, Default)]
pub(crate) struct Line {
    first: Option<Place>,
    last: Option<Place>,
    length: u32,
}

impl Stand {
    pub(crate) fn new(object: Key, want: Want) -> Stand {
        Stand { object, want, ahead: None, behind: None }
    }
}

impl Place {
    /// The stand of a waiter for the target at this position.
    pub(crate) fn new(waiter: Key, target: u32) -> Place {
        Place { waiter, number: NonZeroU32::MIN.saturating_add(target) }
    }

    /// The position of the target.
    pub(crate) fn target(self) -> u32 {
        self.number.get() - 1
    }
}

impl Line {
    pub(crate) fn first(&self) -> Option<Place> {
        self.first
    }

    pub(crate) fn last(&self) -> Option<Place> {
        self.last
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.length == 0
    }

    pub(crate) fn len(&self) -> u32 {
        self.length
    }

    pub(crate) fn push(&mut self, waiters: &mut Slab<Waiter>, place: Place) {
        stand_mut(waiters, place).ahead = self.last;
        match self.last {
            Some(last) => stand_mut(waiters, last).behind = Some(place),
            None => self.first = Some(place),
        }
        self.last = Some(place);
        self.length += 1;
    }

    pub(crate) fn remove(&mut self, waiters: &mut Slab<Waiter>, place: Place) {
        let Stand { ahead, behind, .. } = *stand(waiters, place);
        match ahead {
            Some(ahead) => stand_mut(waiters, ahead).behind = behind,
            None => self.first = behind,
        }
        match behind {
            Some(behind) => stand_mut(waiters, behind).ahead = ahead,
            None => self.last = ahead,
        }
        self.length -= 1;
    }
}

pub(crate) fn stand(waiters: &Slab<Waiter>, place: Place) -> &Stand {
    &waiters[place.waiter].targets[place.target() as usize]
}

pub(crate) fn stand_mut(waiters: &mut Slab<Waiter>, place: Place) -> &mut Stand {
    &mut waiters[place.waiter].targets[place.target() as usize]
}

/// The stand ahead of this one, of whichever waiter.
pub(crate) fn ahead(waiters: &Slab<Waiter>, place: Place) -> Option<Place> {
    stand(waiters, place).ahead
}

/// The next stand behind this one that is another waiter's, as a wait for any may name an object twice.
pub(crate) fn next_waiter(waiters: &Slab<Waiter>, place: Place) -> Option<Place> {
    let mut next = stand(waiters, place).behind;
    while let Some(at) = next.filter(|at| at.waiter == place.waiter) {
        next = stand(waiters, at).behind;
    }
    next
}
