//! The slots of a batch's chunks: one for each chunk, from its submission until the program takes its outcome.

use std::collections::BTreeMap;

use protocol::Outcome;

/// One chunk.
#[derive(Debug)]
pub(crate) struct ChunkSlot {
    /// How many calls it has.
    pub(crate) count: u32,
    /// How it ended, once that is known.
    pub(crate) outcome: Option<Outcome>,
}

impl ChunkSlot {
    fn new(count: u32) -> ChunkSlot {
        ChunkSlot { count, outcome: None }
    }
}

/// The slots of all chunks, or of those that were not taken.
#[derive(Debug)]
pub(crate) enum Slots {
    /// Those of a batch that was submitted as a whole, by position. They stay, so that the program can ask for results
    /// again.
    Whole(Vec<ChunkSlot>),
    /// Those of a batch that is submitted chunk by chunk, by number. A slot goes when its outcome is taken, so there
    /// are few at a time, even if one of them stays long.
    Passing {
        /// Those that were not taken.
        slots: BTreeMap<u64, ChunkSlot>,
        /// The number of the next slot.
        next: u64,
    },
}

impl Slots {
    /// The slots of a batch that is submitted as a whole, in chunks with these numbers of calls.
    pub(crate) fn whole(counts: impl Iterator<Item = u32>) -> Slots {
        Slots::Whole(counts.map(ChunkSlot::new).collect())
    }

    /// The slots of a batch that is submitted chunk by chunk.
    pub(crate) fn passing() -> Slots {
        Slots::Passing { slots: BTreeMap::new(), next: 0 }
    }

    /// Adds a slot for one more chunk of a batch that is submitted chunk by chunk.
    pub(crate) fn add(&mut self, count: u32) {
        match self {
            Slots::Whole(slots) => slots.push(ChunkSlot::new(count)),
            Slots::Passing { slots, next } => {
                slots.insert(*next, ChunkSlot::new(count));
                *next += 1;
            }
        }
    }

    /// Takes back the slot that was added last, since the manager refused its chunk.
    pub(crate) fn take_back_last(&mut self) -> Option<ChunkSlot> {
        match self {
            Slots::Whole(slots) => slots.pop(),
            Slots::Passing { slots, next } => {
                *next -= 1;
                slots.remove(next)
            }
        }
    }

    /// The slot of the chunk that has this number in the manager, and its number here.
    pub(crate) fn find(&mut self, task: u32) -> Option<(u64, &mut ChunkSlot)> {
        match self {
            Slots::Whole(slots) => Some((task.into(), slots.get_mut(task as usize)?)),
            Slots::Passing { slots, next } => {
                // The manager's numbers wrap, and far fewer than all of them are in use at a time.
                let before_next = (*next as u32).wrapping_sub(task);
                let number = next.checked_sub(before_next.into())?;
                Some((number, slots.get_mut(&number)?))
            }
        }
    }

    /// Takes the slot of this number, if there is one to be taken.
    pub(crate) fn take(&mut self, number: u64) -> Option<ChunkSlot> {
        match self {
            Slots::Whole(_) => None,
            Slots::Passing { slots, .. } => slots.remove(&number),
        }
    }

    /// Whether the first in order has ended.
    pub(crate) fn has_first_ended(&self) -> bool {
        self.iter().next().is_some_and(|(_, slot)| slot.outcome.is_some())
    }

    /// Takes the first slot in order, if its chunk has ended.
    pub(crate) fn take_first_ended(&mut self) -> Option<ChunkSlot> {
        match self {
            Slots::Whole(_) => None,
            Slots::Passing { slots, .. } => {
                let entry = slots.first_entry()?;
                entry.get().outcome.is_some().then(|| entry.remove())
            }
        }
    }

    /// All slots, in order, with their numbers.
    pub(crate) fn iter(&self) -> Box<dyn Iterator<Item = (u64, &ChunkSlot)> + '_> {
        match self {
            Slots::Whole(slots) => Box::new((0..).zip(slots)),
            Slots::Passing { slots, .. } => Box::new(slots.iter().map(|(&number, slot)| (number, slot))),
        }
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        match self {
            Slots::Whole(slots) => slots.len(),
            Slots::Passing { slots, .. } => slots.len(),
        }
    }
}

#[cfg(test)]
mod tests {
    use protocol::Payload;

    use super::*;

    fn end(slots: &mut Slots, task: u32) -> Option<u64> {
        let (number, slot) = slots.find(task)?;
        slot.outcome = Some(Outcome::Returned(Payload::from([].as_slice())));
        Some(number)
    }

    #[test]
    fn slots_pass_in_order_or_as_they_come() {
        let mut slots = Slots::passing();
        for count in 1..=4 {
            slots.add(count);
        }
        assert_eq!(end(&mut slots, 2), Some(2));
        assert!(slots.take_first_ended().is_none());
        assert_eq!(slots.take(2).unwrap().count, 3);
        assert_eq!(end(&mut slots, 0), Some(0));
        assert_eq!(slots.take_first_ended().unwrap().count, 1);
        assert_eq!(slots.take_back_last().unwrap().count, 4);
        assert_eq!(slots.iter().map(|(number, _)| number).collect::<Vec<_>>(), [1]);
        assert_eq!((end(&mut slots, 0), end(&mut slots, 3), end(&mut slots, u32::MAX)), (None, None, None));
    }

    #[test]
    fn the_managers_numbers_may_wrap() {
        let first = u64::from(u32::MAX);
        let mut slots = Slots::Passing { slots: BTreeMap::new(), next: first };
        slots.add(1);
        slots.add(2);
        assert_eq!(end(&mut slots, u32::MAX), Some(first));
        assert_eq!(end(&mut slots, 0), Some(first + 1));
    }
}
