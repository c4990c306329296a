//! A queue that may be very long. It is in parts, so that it never moves more than one of them, nor frees more at once.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use core::mem::take;

use serde::{Deserialize, Serialize};

use crate::store::memory::{push_back, shrink};

/// The most entries of one part.
const PART_MAX: usize = 1_024;

/// A queue.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct LongQueue<T> {
    /// The last entries: all, if there are few. It is empty only if the queue is.
    last: VecDeque<T>,
    /// The entries before those.
    more: Option<Box<MoreParts<T>>>,
}

/// Parts of a long queue, none of which is empty.
#[derive(Debug, Serialize, Deserialize)]
struct MoreParts<T> {
    parts: VecDeque<VecDeque<T>>,
    /// How many entries they have together.
    entries: usize,
}

impl<T> Default for LongQueue<T> {
    fn default() -> LongQueue<T> {
        LongQueue { last: VecDeque::new(), more: None }
    }
}

impl<T> LongQueue<T> {
    pub(crate) fn len(&self) -> usize {
        self.last.len() + self.more.as_ref().map_or(0, |more| more.entries)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.last.is_empty()
    }

    pub(crate) fn front(&self) -> Option<&T> {
        match &self.more {
            None => self.last.front(),
            Some(more) => more.parts.front()?.front(),
        }
    }

    pub(crate) fn front_mut(&mut self) -> Option<&mut T> {
        match &mut self.more {
            None => self.last.front_mut(),
            Some(more) => more.parts.front_mut()?.front_mut(),
        }
    }

    pub(crate) fn back_mut(&mut self) -> Option<&mut T> {
        self.last.back_mut()
    }

    /// The entries, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.more.iter().flat_map(|more| &more.parts).flatten().chain(&self.last)
    }

    pub(crate) fn push_back(&mut self, entry: T) {
        if self.last.len() >= PART_MAX {
            self.begin_part();
        }
        push_back(&mut self.last, entry);
    }

    /// Begins a part, behind the last one.
    #[cold]
    fn begin_part(&mut self) {
        let full = take(&mut self.last);
        let more =
            self.more.get_or_insert_with(|| Box::new(MoreParts { parts: VecDeque::new(), entries: 0 }));
        more.entries += full.len();
        more.parts.push_back(full);
    }

    pub(crate) fn push_front(&mut self, entry: T) {
        if self.more.is_none() && self.last.len() < PART_MAX {
            return self.last.push_front(entry);
        }
        if self.more.is_none() {
            // The new entry is in the part before this one.
            self.more = Some(Box::new(MoreParts { parts: VecDeque::new(), entries: 0 }));
        }
        let Some(more) = &mut self.more else { return };
        more.entries += 1;
        match more.parts.front_mut() {
            Some(first) if first.len() < PART_MAX => first.push_front(entry),
            _ => more.parts.push_front(VecDeque::from([entry])),
        }
    }

    pub(crate) fn pop_front(&mut self) -> Option<T> {
        if self.more.is_some() {
            return self.pop_far_front();
        }
        let entry = self.last.pop_front();
        shrink(&mut self.last);
        entry
    }

    #[cold]
    fn pop_far_front(&mut self) -> Option<T> {
        let more = self.more.as_mut()?;
        let first = more.parts.front_mut()?;
        let entry = first.pop_front();
        shrink(first);
        more.entries -= 1;
        if first.is_empty() {
            more.parts.pop_front();
        }
        if more.entries == 0 {
            self.more = None;
        }
        entry
    }

    pub(crate) fn pop_back(&mut self) -> Option<T> {
        let entry = self.last.pop_back();
        shrink(&mut self.last);
        if self.last.is_empty()
            && let Some(more) = &mut self.more
            && let Some(part) = more.parts.pop_back()
        {
            more.entries -= part.len();
            if more.entries == 0 {
                self.more = None;
            }
            self.last = part;
        }
        entry
    }

    /// How many of the first entries are like this; none behind them may be.
    pub(crate) fn partition_point(&self, mut is_before: impl FnMut(&T) -> bool) -> usize {
        let mut before = 0;
        for part in self.more.iter().flat_map(|more| &more.parts) {
            if !part.back().is_some_and(&mut is_before) {
                return before + part.partition_point(is_before);
            }
            before += part.len();
        }
        before + self.last.partition_point(is_before)
    }

    /// Takes this many of the first entries, which moves no more than those of one part.
    pub(crate) fn split_front(&mut self, count: usize) -> LongQueue<T> {
        let mut taken = LongQueue::default();
        let mut left = count;
        while let Some(more) = &mut self.more
            && more.parts.front().is_some_and(|part| part.len() <= left)
            && let Some(part) = more.parts.pop_front()
        {
            left -= part.len();
            more.entries -= part.len();
            if more.entries == 0 {
                self.more = None;
            }
            if !taken.is_empty() {
                taken.begin_part();
            }
            taken.last = part;
        }
        if left >= self.len() {
            left = 0;
            let rest = take(&mut self.last);
            if !rest.is_empty() {
                if !taken.is_empty() {
                    taken.begin_part();
                }
                taken.last = rest;
            }
        }
        for _ in 0..left {
            self.pop_front().into_iter().for_each(|entry| taken.push_back(entry));
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    const COUNT: usize = 5 * PART_MAX + 7;

    fn long() -> LongQueue<usize> {
        let mut queue = LongQueue::default();
        (0..COUNT).for_each(|entry| queue.push_back(entry));
        queue
    }

    /// Compares a queue with what should be in it.
    fn check(queue: &mut LongQueue<usize>, entries: &VecDeque<usize>) {
        assert!(queue.iter().eq(entries));
        assert_eq!((queue.len(), queue.is_empty()), (entries.len(), entries.is_empty()));
        assert_eq!(queue.front(), entries.front());
        assert_eq!(queue.front_mut().copied(), entries.front().copied());
        assert_eq!(queue.back_mut().copied(), entries.back().copied());
        let parts = queue.more.iter().flat_map(|more| &more.parts);
        assert!(parts.clone().all(|part| (1..=PART_MAX).contains(&part.len())));
        assert_eq!(parts.map(VecDeque::len).sum::<usize>() + queue.last.len(), queue.len());
        assert!(!queue.last.is_empty() || queue.more.is_none());
    }

    #[test]
    fn entries_come_and_go_at_both_ends() {
        let (mut queue, mut entries) = (LongQueue::default(), VecDeque::new());
        for phase in 0..8 {
            for entry in 0..3 * PART_MAX {
                match phase {
                    0 | 4 => (queue.push_back(entry), entries.push_back(entry)),
                    1 | 6 => (queue.push_front(entry), entries.push_front(entry)),
                    2 | 7 => (assert_eq!(queue.pop_front(), entries.pop_front()), ()),
                    _ => (assert_eq!(queue.pop_back(), entries.pop_back()), ()),
                };
                if entry % 500 == 0 {
                    check(&mut queue, &entries);
                }
            }
            check(&mut queue, &entries);
        }
        assert!(queue.is_empty() && queue.pop_front().is_none() && queue.pop_back().is_none());
    }

    #[test]
    fn the_first_entries_are_counted_and_taken() {
        for count in [0, 1, PART_MAX - 1, PART_MAX, PART_MAX + 1, 3 * PART_MAX, COUNT - 8, COUNT - 1, COUNT] {
            let mut queue = long();
            queue.pop_front();
            let count = count.min(COUNT - 1);
            assert_eq!(queue.partition_point(|entry| *entry <= count), count);
            let mut taken = queue.split_front(count);
            check(&mut taken, &(1..=count).collect());
            check(&mut queue, &(count + 1..COUNT).collect());
            taken.push_back(7);
            queue.push_front(8);
            assert_eq!((taken.pop_back(), queue.pop_front()), (Some(7), Some(8)));
        }
    }

    #[test]
    fn an_empty_one_keeps_little() {
        let mut queue = long();
        let all: Vec<usize> = core::iter::from_fn(|| queue.pop_front()).collect();
        assert_eq!(all.len(), COUNT);
        assert!(queue.more.is_none() && queue.last.capacity() <= 64);
    }
}
