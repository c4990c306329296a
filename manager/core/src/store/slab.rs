//! A vector with holes: values keep their key for life, and freed keys are used again, the last freed first.
//!
//! Keys decide the order in which some things happen, so a snapshot keeps them, and the order of the holes.

use alloc::vec::Vec;
use core::ops::{Index, IndexMut};

use serde::{Deserialize, Serialize};

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

    pub(crate) fn insert(&mut self, value: T) -> Key {
        if let Some(key) = self.holes.pop() {
            self.entries[key as usize] = Some(value);
            return key;
        }
        self.entries.push(Some(value));
        Key::try_from(self.entries.len() - 1).expect("limits keep every slab below 2^32 entries")
    }

    pub(crate) fn remove(&mut self, key: Key) -> T {
        let value = self.entries[key as usize].take().expect("a key is removed once");
        self.holes.push(key);
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
}
