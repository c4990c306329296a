//! The memory of everything that clients have the core keep, counted by a model.
//!
//! Each thing is charged with what it takes when it comes, and the same is given back when it goes. The charge is the
//! bytes that the thing brings and a fixed cost by its kind, so it depends on the inputs alone. The fixed costs are
//! what the allocator gives for it at worst: its part of vectors that have just grown and of nodes of trees that are
//! half full, and the longest texts that it may get later, such as how its holder has died. What it gets later is thus
//! paid for, and nobody has to refuse a death. So the memory that the core really takes is less than what it counts, as
//! a rule by half.
//!
//! A request that needs more than there is is refused and changes nothing.

use alloc::collections::VecDeque;
use alloc::format;

use protocol::{Code, Limits, Refusal};
use serde::{Deserialize, Serialize};

use crate::State;

/// A session with its first grant of calls, apart from the name of its program.
pub(crate) const SESSION_BYTES: usize = 1_280;

/// Each further grant of calls that run in one session.
pub(crate) const GRANT_BYTES: usize = 320;

/// An object of any kind, apart from its slot, its name and what is particular to its kind.
pub(crate) const OBJECT_BYTES: usize = 64;

/// An object's name, apart from its bytes.
pub(crate) const NAME_BYTES: usize = 24;

/// That a session refers to an object.
pub(crate) const REFERENCE_BYTES: usize = 64;

/// A blocked request, apart from its slot, and from its targets if there are several.
pub(crate) const WAITER_BYTES: usize = 256;

/// Each of several targets of a blocked request.
pub(crate) const TARGET_BYTES: usize = 56;

/// What a wait for a condition has taken while it waits for its lock.
pub(crate) const DECISION_BYTES: usize = 256;

/// That a session holds permits of a semaphore, or has left some behind.
pub(crate) const HOLDER_BYTES: usize = 512;

/// A grant of an event that its receiver has not confirmed, apart from the reason.
pub(crate) const UNCONFIRMED_BYTES: usize = 224;

/// What an item of a joinable queue takes more, as its receiver keeps it until it is finished.
pub(crate) const JOINABLE_BYTES: usize = 176;

/// An event, with who set it, in the longest name of a program, and what is tied to it.
pub(crate) const EVENT_BYTES: usize = 352;

/// A batch with one range of calls that run, apart from the name of its function.
pub(crate) const BATCH_BYTES: usize = 1_024;

/// A call until its outcome is fetched, or an item, apart from its bytes and what it carries. Many calls of one chunk
/// take less; but they may come back, and end, one by one.
pub(crate) const CALL_BYTES: usize = 128;

/// That a chunk carries objects.
pub(crate) const CARRIES_BYTES: usize = 128;

/// An object that the results of a batch carry.
pub(crate) const RESULT_CARRIED_BYTES: usize = 32;

/// An object that something carries.
pub(crate) const CARRIED_BYTES: usize = 16;

/// A text or other bytes on their own, apart from themselves.
pub(crate) const TEXT_BYTES: usize = 16;

/// The most entries that an emptied queue or slab keeps room for.
pub(crate) const KEPT_MAX: usize = 64;

/// What is charged, and how much may be.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Memory {
    charged: usize,
    bytes_max: usize,
}

impl Memory {
    pub(crate) fn new(limits: &Limits) -> Memory {
        Memory { charged: 0, bytes_max: limits.memory_bytes_max - limits.buffer_bytes_max() }
    }

    /// Charges what has come. Whoever could refuse it has asked for room before.
    #[inline]
    pub(crate) fn charge(&mut self, bytes: usize) {
        self.charged += bytes;
    }

    /// Gives back what was charged.
    #[inline]
    pub(crate) fn give_back(&mut self, bytes: usize) {
        self.charged -= bytes;
    }
}

impl State {
    /// Refuses what takes this much memory if there is no room for it.
    #[inline]
    pub(crate) fn check_memory(&self, bytes: usize) -> Result<(), Refusal> {
        match self.has_memory_for(bytes) {
            true => Ok(()),
            false => Err(self.no_memory(bytes)),
        }
    }

    /// Whether there is room for this many bytes.
    #[inline]
    pub(crate) fn has_memory_for(&self, bytes: usize) -> bool {
        bytes <= self.memory_left()
    }

    /// For how many bytes there is room.
    #[inline]
    pub(crate) fn memory_left(&self) -> usize {
        self.memory.bytes_max.saturating_sub(self.charged_bytes())
    }

    #[cold]
    #[inline(never)]
    fn no_memory(&self, bytes: usize) -> Refusal {
        let (kept, most) = (self.charged_bytes(), self.memory.bytes_max);
        let advice = match bytes <= most {
            true => "fetch results and items, drop proxies, or give the manager more memory",
            false => "give the manager more memory",
        };
        let text = format!(
            "this takes {bytes} bytes, and the manager keeps {kept} of at most {most} for all of its clients together; \
             {advice}"
        );
        Refusal::new(Code::LimitReached, text)
    }

    /// How many bytes are charged for everything that the core keeps, by its model. Calls and items are counted on
    /// their own, as they have limits of their own. Slots of objects and waiters that are gone stay, for later ones.
    #[inline]
    pub fn charged_bytes(&self) -> usize {
        let slots = self.catalog.slot_bytes() + self.waiters.slot_bytes();
        self.memory.charged + self.stored_bytes + CALL_BYTES * self.stored_calls_and_items + slots
    }
}

/// How many more entries to make room for in a vector that is full: a quarter, so that it takes little more than its
/// entries do.
#[inline]
pub(crate) fn more_room(entries: usize) -> usize {
    (entries / 4).max(4)
}

/// Adds to a queue that takes little more memory than its entries do.
#[inline]
pub(crate) fn push_back<T>(queue: &mut VecDeque<T>, entry: T) {
    if queue.len() == queue.capacity() {
        grow(queue);
    }
    queue.push_back(entry);
}

#[cold]
#[inline(never)]
fn grow<T>(queue: &mut VecDeque<T>) {
    queue.reserve_exact(more_room(queue.len()));
}

/// Gives memory back that a queue needed when it was longer.
#[inline]
pub(crate) fn shrink<T>(queue: &mut VecDeque<T>) {
    if queue.capacity() > KEPT_MAX && queue.len() < queue.capacity() / 2 {
        shrink_now(queue);
    }
}

#[cold]
#[inline(never)]
fn shrink_now<T>(queue: &mut VecDeque<T>) {
    queue.shrink_to(queue.capacity() * 5 / 8);
}

#[cfg(test)]
mod tests {
    use alloc::collections::VecDeque;

    use super::{KEPT_MAX, push_back, shrink};

    #[test]
    fn a_queue_gives_back_what_it_no_longer_needs() {
        let mut queue = VecDeque::new();
        (0..16 * KEPT_MAX).for_each(|entry| push_back(&mut queue, entry));
        let longest = queue.capacity();
        assert!(longest < queue.len() * 3 / 2, "{longest}");
        queue.truncate(longest / 2);
        shrink(&mut queue);
        assert_eq!(queue.capacity(), longest, "half of it is in use");
        while queue.pop_front().is_some() {
            shrink(&mut queue);
            let capacity = queue.capacity();
            assert!(capacity <= (2 * queue.len() + 2).max(KEPT_MAX), "{capacity} for {}", queue.len());
        }
    }
}
