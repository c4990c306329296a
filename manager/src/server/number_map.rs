//! Maps by numbers that the manager has given itself.
//!
//! The standard library's maps take care that nobody can choose keys that collide, which costs more than all else of a
//! look-up. Nobody chooses these: sessions and blobs are numbered one after the other, and connections have their
//! places in a table.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// A map by numbers that no client can choose.
pub(super) type NumberMap<K, V> = HashMap<K, V, BuildHasherDefault<NumberHasher>>;

/// An odd number whose multiples spread over all bits: 2⁶⁴ divided by the golden ratio.
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;

/// Hashes one number. A map looks at the highest and at the lowest bits.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct NumberHasher(u64);

impl Hasher for NumberHasher {
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u64(u64::from(*byte)));
    }

    #[inline]
    fn write_u64(&mut self, number: u64) {
        self.0 = (self.0 ^ number).wrapping_mul(SPREAD);
    }

    #[inline]
    fn write_usize(&mut self, number: usize) {
        self.write_u64(number as u64);
    }

    #[inline]
    fn finish(&self) -> u64 {
        self.0.rotate_left(32)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::hash::BuildHasher;

    use protocol::SessionId;

    use super::*;

    #[test]
    fn numbers_in_a_row_spread() {
        let hash = |number| BuildHasherDefault::<NumberHasher>::default().hash_one(SessionId(number));
        for step in [1, 2, 64, 4096] {
            let hashes: Vec<u64> = (0..1024).map(|number| hash(number * step)).collect();
            for shift in [0, 57] {
                let values: HashSet<u64> = hashes.iter().map(|hash| hash >> shift & 127).collect();
                assert!(values.len() > 100, "{} of 128 values, in steps of {step}", values.len());
            }
        }
    }
}
