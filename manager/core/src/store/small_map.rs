//! A map that is small as a rule: it is a sorted vector while it has few entries, and a tree once it has many.
//!
//! Most sessions have a wait or two, but nothing keeps one from having tens of thousands. A vector serves the first
//! without an allocation for each entry, and would take the second quadratic time.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

/// The most entries of a vector.
const FEW_MAX: usize = 64;

/// A map in the order of its keys.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum SmallMap<K: Ord, V> {
    /// In order.
    Few(Vec<(K, V)>),
    /// From when there were too many until there are none.
    Many(BTreeMap<K, V>),
}

impl<K: Ord, V> Default for SmallMap<K, V> {
    fn default() -> SmallMap<K, V> {
        SmallMap::Few(Vec::new())
    }
}

impl<K: Ord + Copy, V> SmallMap<K, V> {
    /// An empty one with room for this many entries.
    pub(crate) fn with_room(entries: usize) -> SmallMap<K, V> {
        SmallMap::Few(Vec::with_capacity(entries))
    }

    /// Whether it has had more entries than fit in place, so that it is a tree.
    pub(crate) fn is_large(&self) -> bool {
        matches!(self, SmallMap::Many(_))
    }

    pub(crate) fn len(&self) -> usize {
        match self {
            SmallMap::Few(entries) => entries.len(),
            SmallMap::Many(entries) => entries.len(),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(crate) fn get(&self, key: K) -> Option<&V> {
        match self {
            SmallMap::Few(entries) => Some(&entries[position(entries, key).ok()?].1),
            SmallMap::Many(entries) => entries.get(&key),
        }
    }

    pub(crate) fn get_mut(&mut self, key: K) -> Option<&mut V> {
        match self {
            SmallMap::Few(entries) => {
                let at = position(entries, key).ok()?;
                Some(&mut entries[at].1)
            }
            SmallMap::Many(entries) => entries.get_mut(&key),
        }
    }

    /// The entry of this key, or else of the greatest key below it.
    pub(crate) fn at_or_below(&self, key: K) -> Option<(K, &V)> {
        match self {
            SmallMap::Few(entries) => {
                let behind = entries.partition_point(|(other, _)| *other <= key);
                let (found, value) = &entries[behind.checked_sub(1)?];
                Some((*found, value))
            }
            SmallMap::Many(entries) => {
                entries.range(..=key).next_back().map(|(found, value)| (*found, value))
            }
        }
    }

    /// The entry of this key, or else of the least key above it.
    pub(crate) fn at_or_above(&self, key: K) -> Option<(K, &V)> {
        match self {
            SmallMap::Few(entries) => {
                let before = entries.partition_point(|(other, _)| *other < key);
                entries.get(before).map(|(found, value)| (*found, value))
            }
            SmallMap::Many(entries) => entries.range(key..).next().map(|(found, value)| (*found, value)),
        }
    }

    /// Adds an entry. Returns false, and changes nothing, if there is one of this key.
    pub(crate) fn insert(&mut self, key: K, value: V) -> bool {
        match self {
            SmallMap::Few(entries) => {
                let Err(at) = position(entries, key) else { return false };
                if entries.len() < FEW_MAX {
                    entries.insert(at, (key, value));
                } else {
                    let mut many: BTreeMap<K, V> = core::mem::take(entries).into_iter().collect();
                    many.insert(key, value);
                    *self = SmallMap::Many(many);
                }
                true
            }
            SmallMap::Many(entries) => {
                let is_new = !entries.contains_key(&key);
                if is_new {
                    entries.insert(key, value);
                }
                is_new
            }
        }
    }

    pub(crate) fn remove(&mut self, key: K) -> Option<V> {
        match self {
            SmallMap::Few(entries) => {
                let at = position(entries, key).ok()?;
                Some(entries.remove(at).1)
            }
            SmallMap::Many(entries) => {
                let removed = entries.remove(&key);
                if entries.is_empty() {
                    *self = SmallMap::default();
                }
                removed
            }
        }
    }

    /// The least key.
    pub(crate) fn first_key(&self) -> Option<K> {
        match self {
            SmallMap::Few(entries) => entries.first().map(|(key, _)| *key),
            SmallMap::Many(entries) => entries.first_key_value().map(|(key, _)| *key),
        }
    }

    /// The greatest key.
    pub(crate) fn last_key(&self) -> Option<K> {
        match self {
            SmallMap::Few(entries) => entries.last().map(|(key, _)| *key),
            SmallMap::Many(entries) => entries.last_key_value().map(|(key, _)| *key),
        }
    }

    /// The keys, in order.
    pub(crate) fn keys(&self) -> impl Iterator<Item = K> {
        let (few, many) = match self {
            SmallMap::Few(entries) => (Some(entries), None),
            SmallMap::Many(entries) => (None, Some(entries)),
        };
        let few = few.into_iter().flatten().map(|(key, _)| *key);
        few.chain(many.into_iter().flat_map(|entries| entries.keys().copied()))
    }

    /// The values, to change them.
    pub(crate) fn values_mut(&mut self) -> impl Iterator<Item = &mut V> {
        let (few, many) = match self {
            SmallMap::Few(entries) => (Some(entries), None),
            SmallMap::Many(entries) => (None, Some(entries)),
        };
        let few = few.into_iter().flatten().map(|(_, value)| value);
        few.chain(many.into_iter().flat_map(BTreeMap::values_mut))
    }

    /// The values, in the order of their keys.
    pub(crate) fn values(&self) -> impl Iterator<Item = &V> {
        let (few, many) = match self {
            SmallMap::Few(entries) => (Some(entries), None),
            SmallMap::Many(entries) => (None, Some(entries)),
        };
        let few = few.into_iter().flatten().map(|(_, value)| value);
        few.chain(many.into_iter().flat_map(BTreeMap::values))
    }
}

/// Where a key is, or where it would be. A new key is the greatest as a rule.
fn position<K: Ord, V>(entries: &[(K, V)], key: K) -> Result<usize, usize> {
    match entries.last() {
        Some((last, _)) if *last < key => Err(entries.len()),
        None => Err(0),
        _ => entries.binary_search_by(|(other, _)| other.cmp(&key)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_in_order_with_few_and_with_many() {
        for count in [3, FEW_MAX, FEW_MAX + 1, 5 * FEW_MAX] {
            let mut map = SmallMap::default();
            for key in (0..count).rev() {
                assert!(map.insert(key, 2 * key) && !map.insert(key, 0));
            }
            assert!(map.values().copied().eq((0..count).map(|key| 2 * key)) && map.keys().eq(0..count));
            assert_eq!((map.len(), map.get(0), map.get(count)), (count, Some(&0), None));
            assert_eq!((map.first_key(), map.last_key()), (Some(0), Some(count - 1)));
            map.values_mut().for_each(|value| *value += 1);
            *map.get_mut(1).unwrap() += 1;
            assert!(map.values().copied().eq((0..count).map(|key| 2 * key + 1 + usize::from(key == 1))));
            *map.get_mut(1).unwrap() -= 1;
            map.values_mut().for_each(|value| *value -= 1);
            assert_eq!(map.get_mut(count), None);
            assert_eq!(map.at_or_below(count), Some((count - 1, &(2 * count - 2))));
            map.remove(1);
            assert_eq!((map.at_or_below(1), map.at_or_below(2)), (Some((0, &0)), Some((2, &4))));
            map.remove(0);
            assert_eq!((map.at_or_below(1), map.at_or_above(0)), (None, (count > 2).then_some((2, &4))));
            assert_eq!(map.at_or_above(count), None);
            assert!(map.insert(1, 2) && map.insert(0, 0));
            for key in 0..count {
                assert_eq!(map.get(key), Some(&(2 * key)));
                assert_eq!((map.remove(key), map.remove(key)), (Some(2 * key), None));
            }
            assert!(map.is_empty() && matches!(map, SmallMap::Few(_)));
        }
    }
}
