//! The names of objects, in order, to find an object by its name.
//!
//! Each object keeps its own name, and this keeps only the keys, in the order of the names: a few bytes for each, where
//! a map would hold the names once more. So the caller passes a function that finds a key's name.

use alloc::vec;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::store::slab::Key;

/// The most keys in a run. Adding a name moves this many at most.
const RUN_KEYS_MAX: usize = 256;

/// The keys of all objects that have a name.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Names {
    /// All keys, in the order of the names, in runs that are not empty.
    runs: Vec<Vec<Key>>,
}

impl Names {
    /// The key of this name.
    pub(crate) fn get<'a>(&self, name: &str, name_of: impl Fn(Key) -> &'a str) -> Option<Key> {
        let (run, position) = self.find(name, name_of).ok()?;
        Some(self.runs[run][position])
    }

    /// Adds a new name.
    pub(crate) fn insert<'a>(&mut self, name: &str, key: Key, name_of: impl Fn(Key) -> &'a str) {
        let Err((at, position)) = self.find(name, name_of) else {
            unreachable!("a name is given to one object");
        };
        let is_last = at + 1 >= self.runs.len();
        let Some(run) = self.runs.get_mut(at) else {
            return self.runs.push(vec![key]);
        };
        if run.len() < RUN_KEYS_MAX {
            run.insert(position, key);
        } else if is_last && position == run.len() {
            // Names that come in order fill each run.
            self.runs.push(vec![key]);
        } else {
            run.insert(position, key);
            let rest = run.split_off(RUN_KEYS_MAX / 2);
            self.runs.insert(at + 1, rest);
        }
    }

    /// Removes an existing name.
    pub(crate) fn remove<'a>(&mut self, name: &str, name_of: impl Fn(Key) -> &'a str) {
        let (run, position) = self.find(name, name_of).expect("a name is removed once");
        self.runs[run].remove(position);
        if self.runs[run].is_empty() {
            self.runs.remove(run);
        }
    }

    /// The run of a name and its position there, or where it would go.
    fn find<'a>(
        &self,
        name: &str,
        name_of: impl Fn(Key) -> &'a str,
    ) -> Result<(usize, usize), (usize, usize)> {
        let run = self.runs.partition_point(|run| name_of(run[0]) <= name).saturating_sub(1);
        let keys = self.runs.get(run).map_or(&[][..], Vec::as_slice);
        match keys.binary_search_by(|&key| name_of(key).cmp(name)) {
            Ok(position) => Ok((run, position)),
            Err(position) => Err((run, position)),
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::format;
    use alloc::string::String;

    use super::*;

    #[test]
    fn names_are_found_in_whichever_order_they_come_and_go() {
        const COUNT: usize = 5 * RUN_KEYS_MAX;
        // Ascending, descending, and in leaps, as the step has no factor in common with the count.
        for step in [1, COUNT - 1, 7 * 11 * 13] {
            let all: Vec<String> = (0..COUNT).map(|number| format!("{number:05}")).collect();
            let name_of = |key: Key| all[key as usize].as_str();
            let mut names = Names::default();
            let order = || (0..COUNT).map(|number| (number * step % COUNT) as Key);
            for key in order() {
                assert_eq!(names.get(name_of(key), name_of), None);
                names.insert(name_of(key), key, name_of);
            }
            assert!(names.runs.concat().into_iter().eq(0..COUNT as Key), "they are in order");
            assert!(names.runs.iter().all(|run| (1..=RUN_KEYS_MAX).contains(&run.len())));
            for key in order().skip(1) {
                names.remove(name_of(key), name_of);
                assert_eq!(names.get(name_of(key), name_of), None);
                assert_eq!(names.get(name_of(0), name_of), Some(0));
            }
            names.remove(name_of(0), name_of);
            assert!(names.runs.is_empty());
        }
    }
}
