//! Reading the lists that travel inline: targets, grants and ends of calls.
//!
//! A list begins with its length, and a peer may lie about it. Each byte of a frame can announce an element that takes
//! a hundred bytes of memory, and `SmallVec` would reserve all of it before it has seen one element. This code makes
//! room in advance for [`RESERVED_MAX`] elements at most, and for more as they come. (`Vec` needs no such help: serde
//! bounds what it reserves.) Elements may borrow from the frame.

use core::fmt;
use core::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, SeqAccess, Visitor};
use smallvec::SmallVec;

/// The most elements for which to make room in advance.
const RESERVED_MAX: usize = 64;

/// Reads a list; for a field with `#[serde(deserialize_with = "crate::sequence::deserialize")]`.
pub(crate) fn deserialize<'de, D, T>(deserializer: D) -> Result<SmallVec<[T; 1]>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    deserializer.deserialize_seq(ElementsVisitor(PhantomData))
}

struct ElementsVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for ElementsVisitor<T> {
    type Value = SmallVec<[T; 1]>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Self::Value, A::Error> {
        let announced = sequence.size_hint().unwrap_or(0);
        let mut elements = SmallVec::with_capacity(announced.min(RESERVED_MAX));
        while let Some(element) = sequence.next_element()? {
            elements.push(element);
        }
        Ok(elements)
    }
}

#[cfg(test)]
mod tests {
    use serde::de::value::{Error, SeqDeserializer};

    use super::*;
    use crate::{Answer, Envelope, FrameError, ObjectId, Target, decode};

    /// How many elements the iterator below announces.
    const ANNOUNCED: usize = 1 << 31;

    /// Brings the numbers below `come`, and announces many more.
    struct WrongHint {
        next: u64,
        come: u64,
    }

    impl Iterator for WrongHint {
        type Item = u64;

        fn next(&mut self) -> Option<u64> {
            let number = self.next;
            self.next += 1;
            (number < self.come).then_some(number)
        }

        fn size_hint(&self) -> (usize, Option<usize>) {
            (ANNOUNCED, Some(ANNOUNCED))
        }
    }

    #[test]
    fn room_is_made_for_what_has_come_and_not_for_what_is_announced() {
        for come in [0, 1, 3, 1000] {
            let items = SeqDeserializer::<_, Error>::new(WrongHint { next: 0, come });
            let numbers: SmallVec<[u64; 1]> = deserialize(items).unwrap();
            assert!(numbers.iter().copied().eq(0..come));
            assert!(numbers.capacity() <= RESERVED_MAX.max(2 * come as usize), "for {come} numbers");
        }
    }

    #[test]
    fn a_single_element_needs_no_memory_of_its_own() {
        let one = SeqDeserializer::<_, Error>::new([7_u64].into_iter());
        let one: SmallVec<[u64; 1]> = deserialize(one).unwrap();
        assert!(!one.spilled());
        assert_eq!(one[..], [7]);
    }

    #[test]
    fn a_frame_that_claims_more_elements_than_it_has_is_malformed() {
        // Both stand where the number of elements belongs: the true one, and 2^31.
        let (three, claim) = ([3].as_slice(), [0x80, 0x80, 0x80, 0x80, 0x08].as_slice());
        let target = Target::Event { id: ObjectId(uuid::Uuid::nil()) };
        let targets = postcard::to_allocvec(&target).unwrap().repeat(3);
        let frame = |start: &[u8], count: &[u8], rest: &[u8]| [start, count, rest].concat();

        let wait = [1, 0, 4, 0];
        let set_and_wait = [[1, 0, 19, 0].as_slice(), &[0; 16], &[0, 0]].concat();
        for start in [wait.as_slice(), &set_and_wait] {
            let rest = [&targets, [0, 0].as_slice()].concat();
            assert!(decode::<Envelope<'_>>(&frame(start, three, &rest)).is_ok());
            assert_eq!(decode::<Envelope<'_>>(&frame(start, claim, &rest)), Err(FrameError::Malformed));
        }

        let (taken, latches) = ([1, 4, 0], [7, 7, 7, 0]);
        assert!(decode::<Answer>(&frame(&taken, three, &latches)).is_ok());
        assert_eq!(decode::<Answer>(&frame(&taken, claim, &latches)), Err(FrameError::Malformed));
    }
}
