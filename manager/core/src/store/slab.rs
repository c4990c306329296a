//! A vector with holes: values keep their key for life, and freed keys are used again, the last freed first. A large
//! one that is empty gives its memory back, and begins anew.
//!
//! Keys decide the order in which some things happen, so a snapshot keeps them, and the order of the holes.
//!
//! To move or to free a large vector takes the system milliseconds. So the slots are in parts, none of which is large
//! and of which only the last may still grow, and those of an empty slab are freed one by one.

use alloc::vec::Vec;
use core::mem::{size_of, take};
use core::ops::{Index, IndexMut};

use serde::{Deserialize, Serialize};

use crate::store::memory::{KEPT_MAX, more_room};

/// A key of a [`Slab`].
pub(crate) type Key = u32;

/// The most slots of one part.
const PART_MAX: usize = 16_384;

/// Values under small keys, without an allocation for each.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Slab<T> {
    /// The slots of the first keys; holes are none.
    near: Vec<Option<T>>,
    /// Those of further keys, in parts of which all but the last are full.
    far: Vec<Vec<Option<T>>>,
    /// How many slots there are.
    slots: usize,
    /// The keys of the holes that were made last.
    holes: Vec<Key>,
    /// Those of the others, in full parts.
    more_holes: Vec<Vec<Key>>,
    /// How many values there are.
    values: usize,
    /// What is still to be freed of the time before it was empty.
    retired: Vec<(Vec<Option<T>>, Vec<Key>)>,
}

impl<T> Slab<T> {
    pub(crate) fn new() -> Slab<T> {
        Slab {
            near: Vec::new(),
            far: Vec::new(),
            slots: 0,
            holes: Vec::new(),
            more_holes: Vec::new(),
            values: 0,
            retired: Vec::new(),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.values
    }

    /// How much memory the slots take, those of holes among them, beyond the few that are always kept.
    #[inline]
    pub(crate) fn slot_bytes(&self) -> usize {
        self.slots.saturating_sub(KEPT_MAX) * Self::SLOT_BYTES
    }

    /// What a slot takes at most, with its part of the room to grow and of the keys of holes.
    const SLOT_BYTES: usize = size_of::<Option<T>>() * 5 / 4 + 2 * size_of::<Key>();

    pub(crate) fn insert(&mut self, value: T) -> Key {
        self.values += 1;
        if self.holes.is_empty() {
            return self.insert_anew(value);
        }
        let key = self.holes.pop().expect("it was not empty");
        *self.slot_mut(key) = Some(value);
        key
    }

    /// Inserts a value where nothing says that there is a hole.
    #[inline(never)]
    fn insert_anew(&mut self, value: T) -> Key {
        if let Some(mut holes) = self.more_holes.pop() {
            let key = holes.pop().expect("it was full");
            self.holes = holes;
            *self.slot_mut(key) = Some(value);
            return key;
        }
        let key = Key::try_from(self.slots).expect("limits keep every slab below 2^32 entries");
        let part = match self.slots / PART_MAX {
            0 => &mut self.near,
            number => {
                if number > self.far.len() {
                    self.far.push(Vec::new());
                }
                &mut self.far[number - 1]
            }
        };
        if part.len() == part.capacity() {
            part.reserve_exact(more_room(self.slots).min(PART_MAX - part.len()));
        }
        part.push(Some(value));
        self.slots += 1;
        key
    }

    pub(crate) fn remove(&mut self, key: Key) -> T {
        let value = self.slot_mut(key).take().expect("a key is removed once");
        self.values -= 1;
        if self.values == 0 && self.slots > KEPT_MAX {
            self.retire();
            return value;
        }
        if self.holes.len() == PART_MAX {
            self.more_holes.push(take(&mut self.holes));
        }
        self.holes.push(key);
        value
    }

    /// Begins anew without the values, and leaves large parts to be freed later.
    #[cold]
    pub(crate) fn retire(&mut self) {
        let mut parts = take(&mut self.far);
        let mut holes = take(&mut self.more_holes);
        let mut retired = take(&mut self.retired);
        while !parts.is_empty() || !holes.is_empty() {
            retired.push((parts.pop().unwrap_or_default(), holes.pop().unwrap_or_default()));
        }
        *self = Slab { retired, ..Slab::new() };
    }

    /// Whether something is still to be freed.
    pub(crate) fn has_retired(&self) -> bool {
        !self.retired.is_empty()
    }

    /// Frees a part that is still to be freed.
    pub(crate) fn free_retired(&mut self) {
        self.retired.pop();
    }

    #[inline]
    pub(crate) fn get(&self, key: Key) -> Option<&T> {
        match self.near.get(key as usize) {
            Some(slot) => slot.as_ref(),
            None => self.get_far(key),
        }
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, key: Key) -> Option<&mut T> {
        match self.near.get_mut(key as usize) {
            Some(slot) => slot.as_mut(),
            None => far_slot_mut(&mut self.far, key)?.as_mut(),
        }
    }

    #[inline]
    fn slot_mut(&mut self, key: Key) -> &mut Option<T> {
        match self.near.get_mut(key as usize) {
            Some(slot) => slot,
            None => far_slot_mut(&mut self.far, key).expect("a key is one of a slot"),
        }
    }

    /// The value of a key that is not among the first.
    #[cold]
    #[inline(never)]
    fn get_far(&self, key: Key) -> Option<&T> {
        self.far.get(part_of(key)?)?.get(key as usize % PART_MAX)?.as_ref()
    }
}

/// The slot of a key that is not among the first.
#[cold]
#[inline(never)]
fn far_slot_mut<T>(far: &mut [Vec<Option<T>>], key: Key) -> Option<&mut Option<T>> {
    far.get_mut(part_of(key)?)?.get_mut(key as usize % PART_MAX)
}

/// The number of the part of a key that is not among the first.
fn part_of(key: Key) -> Option<usize> {
    (key as usize / PART_MAX).checked_sub(1)
}

impl<T> Index<Key> for Slab<T> {
    type Output = T;

    #[inline]
    fn index(&self, key: Key) -> &T {
        self.get(key).expect("a key names a value until it is removed")
    }
}

impl<T> IndexMut<Key> for Slab<T> {
    #[inline]
    fn index_mut(&mut self, key: Key) -> &mut T {
        self.get_mut(key).expect("a key names a value until it is removed")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_stay_and_holes_are_filled() {
        let mut slab = Slab::new();
        let (a, b, c) = (slab.insert('a'), slab.insert('b'), slab.insert('c'));
        assert_eq!(slab.remove(b), 'b');
        assert_eq!((slab[a], slab.get(b), slab[c], slab.len()), ('a', None, 'c', 2));
        assert_eq!(slab.insert('d'), b);
        assert_eq!(slab.len(), 3);
    }

    #[test]
    fn an_empty_one_takes_little_memory() {
        let mut slab = Slab::new();
        for key in 0..1000 {
            assert_eq!(slab.insert(7_u64), key);
        }
        for key in 1..1000 {
            slab.remove(key);
        }
        assert_eq!(slab.slot_bytes(), (1000 - KEPT_MAX) * (16 * 5 / 4 + 8));
        assert!(slab.near.capacity() <= 1250);
        slab.remove(0);
        assert_eq!((slab.slot_bytes(), slab.len(), slab.near.capacity()), (0, 0, 0));
        assert_eq!(slab.insert(7), 0);
    }

    #[test]
    fn no_part_of_a_large_one_is_large() {
        const COUNT: usize = 5 * PART_MAX + 7;
        let mut slab = Slab::new();
        for key in 0..COUNT {
            assert_eq!(slab.insert(key), key as Key);
        }
        assert_eq!((slab.len(), slab.far.len()), (COUNT, 5));
        assert!(slab.far.iter().chain([&slab.near]).all(|part| part.capacity() <= PART_MAX));
        for key in (0..COUNT).rev() {
            assert_eq!((slab[key as Key], slab.get(key as Key)), (key, Some(&key)));
            slab[key as Key] += 1;
        }
        let kept = [0, PART_MAX - 1, PART_MAX, COUNT - 1];
        let freed = || (0..COUNT).filter(|key| !kept.contains(key)).rev();
        for key in freed() {
            assert_eq!((slab.remove(key as Key), slab.get(key as Key)), (key + 1, None));
        }
        assert_eq!((slab.len(), slab.get(COUNT as Key), slab.get(Key::MAX)), (kept.len(), None, None));
        // The last freed first.
        let mut again: Vec<usize> = freed().collect();
        while let Some(key) = again.pop() {
            assert_eq!(slab.insert(key), key as Key);
        }
        assert_eq!((slab.len(), slab.insert(COUNT)), (COUNT, COUNT as Key));
        for key in 0..=COUNT {
            assert!(!slab.has_retired());
            slab.remove(key as Key);
        }
        assert_eq!((slab.slot_bytes(), slab.insert(1)), (0, 0));
        assert!(slab.retired.iter().all(|(part, holes)| part.len().max(holes.len()) <= PART_MAX));
        for _ in 0..5 {
            assert!(slab.has_retired());
            slab.free_retired();
        }
        assert!(!slab.has_retired());
    }
}
