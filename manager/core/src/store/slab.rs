//! A vector with holes: values keep their key for life, and freed keys are used again, the last freed first. A large
//! one that is empty gives its memory back, and begins anew.
//!
//! Keys decide the order in which some things happen, so a snapshot keeps them, and the order of the holes.

use alloc::vec::Vec;
use core::mem::size_of;
use core::ops::{Index, IndexMut};

use serde::{Deserialize, Serialize};

use crate::store::memory::{KEPT_MAX, more_room};

/// A key of a [`Slab`].
pub(crate) type Key = u32;

/// Values under small keys, without an allocation for each.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Slab<T> {
    /// The values; holes are none.
    entries: Vec<Option<T>>,
    /// The keys of the holes.
    holes: Vec<Key>,
}

impl<T> Slab<T> {
    pub(crate) fn new() -> Slab<T> {
        Slab { entries: Vec::new(), holes: Vec::new() }
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len() - self.holes.len()
    }

    /// How much memory the slots take, those of holes among them, beyond the few that are always kept.
    #[inline]
    pub(crate) fn slot_bytes(&self) -> usize {
        self.entries.len().saturating_sub(KEPT_MAX) * Self::SLOT_BYTES
    }

    /// What a slot takes at most, with its part of the room to grow and of the keys of holes.
    const SLOT_BYTES: usize = size_of::<Option<T>>() * 5 / 4 + 2 * size_of::<Key>();

    pub(crate) fn insert(&mut self, value: T) -> Key {
        if let Some(key) = self.holes.pop() {
            self.entries[key as usize] = Some(value);
            return key;
        }
        if self.entries.len() == self.entries.capacity() {
            self.grow();
        }
        self.entries.push(Some(value));
        Key::try_from(self.entries.len() - 1).expect("limits keep every slab below 2^32 entries")
    }

    #[cold]
    #[inline(never)]
    fn grow(&mut self) {
        self.entries.reserve_exact(more_room(self.entries.len()));
    }

    pub(crate) fn remove(&mut self, key: Key) -> T {
        let value = self.entries[key as usize].take().expect("a key is removed once");
        self.holes.push(key);
        if self.holes.len() == self.entries.len() && self.entries.len() > KEPT_MAX {
            *self = Slab::new();
        }
        value
    }

    pub(crate) fn get(&self, key: Key) -> Option<&T> {
        self.entries.get(key as usize)?.as_ref()
    }

    pub(crate) fn get_mut(&mut self, key: Key) -> Option<&mut T> {
        self.entries.get_mut(key as usize)?.as_mut()
    }
}

impl<T> Index<Key> for Slab<T> {
    type Output = T;

    fn index(&self, key: Key) -> &T {
        self.entries[key as usize].as_ref().expect("a key names a value until it is removed")
    }
}

impl<T> IndexMut<Key> for Slab<T> {
    fn index_mut(&mut self, key: Key) -> &mut T {
        self.entries[key as usize].as_mut().expect("a key names a value until it is removed")
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
        assert!(slab.entries.capacity() <= 1250);
        slab.remove(0);
        assert_eq!((slab.slot_bytes(), slab.len(), slab.entries.capacity()), (0, 0, 0));
        assert_eq!(slab.insert(7), 0);
    }
}
