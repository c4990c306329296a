//! Reading the lists of a message: chunks, targets, ends of calls, grants, and objects that travel.
//!
//! A list begins with its length, and a peer may lie about it. Each byte of a frame can announce an element that takes
//! a hundred bytes of memory, and `SmallVec` would reserve all of it before it has seen one element. This code makes
//! room in advance for [`RESERVED_MAX`] elements at most, and for more as they come. Elements may borrow from the
//! frame.
//!
//! Elements that have come may take more memory than their frame, too: three bytes of it are an empty chunk. So of each
//! list of a request this keeps one element more than a request may have. Further ones are read and dropped, and the
//! manager refuses the request, as it would if they were there.

use alloc::vec::Vec;
use core::fmt;
use core::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, SeqAccess, Visitor};
use smallvec::SmallVec;

use crate::limits::{CALLS_PER_GRANT_MAX, CARRIES_MAX, CHUNKS_PER_REQUEST_MAX, WAIT_TARGETS_MAX};
use crate::{CallsOutcomes, Chunk, ObjectId, Targets};

/// The most elements for which to make room in advance.
const RESERVED_MAX: usize = 64;

/// Reads a list; for a field with `#[serde(deserialize_with = "crate::sequence::deserialize")]`.
pub(crate) fn deserialize<'de, D, T>(deserializer: D) -> Result<SmallVec<[T; 1]>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    at_most::<{ usize::MAX - 1 }, _, _>(deserializer)
}

/// Reads the targets of a wait.
pub(crate) fn targets<'de: 'a, 'a, D: Deserializer<'de>>(deserializer: D) -> Result<Targets<'a>, D::Error> {
    at_most::<WAIT_TARGETS_MAX, _, _>(deserializer)
}

/// Reads how calls ended: at most those of one grant, each in its own way.
pub(crate) fn ends<'de: 'a, 'a, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<CallsOutcomes<'a>, D::Error> {
    at_most::<CALLS_PER_GRANT_MAX, _, _>(deserializer)
}

/// Reads chunks.
pub(crate) fn chunks<'de: 'a, 'a, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Chunk<'a>>, D::Error> {
    at_most::<CHUNKS_PER_REQUEST_MAX, _, _>(deserializer)
}

/// Reads which objects something carries.
pub(crate) fn carries<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<ObjectId>, D::Error> {
    at_most::<CARRIES_MAX, _, _>(deserializer)
}

/// Reads a list that should have at most this many elements. If there are more, it has one more than these.
fn at_most<'de, const MOST: usize, D: Deserializer<'de>, E: Elements<'de>>(
    deserializer: D,
) -> Result<E, D::Error> {
    deserializer.deserialize_seq(ElementsVisitor::<E, MOST>(PhantomData))
}

/// What elements are collected in.
trait Elements<'de>: Sized {
    type Element: Deserialize<'de>;

    fn with_capacity(elements: usize) -> Self;
    fn push(&mut self, element: Self::Element);
}

impl<'de, T: Deserialize<'de>> Elements<'de> for Vec<T> {
    type Element = T;

    #[inline]
    fn with_capacity(elements: usize) -> Vec<T> {
        Vec::with_capacity(elements)
    }

    #[inline]
    fn push(&mut self, element: T) {
        self.push(element);
    }
}

impl<'de, T: Deserialize<'de>> Elements<'de> for SmallVec<[T; 1]> {
    type Element = T;

    #[inline]
    fn with_capacity(elements: usize) -> SmallVec<[T; 1]> {
        SmallVec::with_capacity(elements)
    }

    #[inline]
    fn push(&mut self, element: T) {
        self.push(element);
    }
}

struct ElementsVisitor<E, const MOST: usize>(PhantomData<E>);

impl<'de, E: Elements<'de>, const MOST: usize> Visitor<'de> for ElementsVisitor<E, MOST> {
    type Value = E;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<E, A::Error> {
        let announced = sequence.size_hint().unwrap_or(0);
        let mut elements = E::with_capacity(announced.min(RESERVED_MAX));
        for _ in 0..=MOST {
            match sequence.next_element()? {
                Some(element) => elements.push(element),
                None => return Ok(elements),
            }
        }
        while sequence.next_element::<E::Element>()?.is_some() {}
        Ok(elements)
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use serde::de::value::{Error, SeqDeserializer};

    use super::*;
    use crate::{
        Answer, CallsOutcome, Envelope, FrameError, Outcome, Request, RequestId, Target, ThreadId, WaitMode,
        decode,
    };

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
    fn of_a_list_that_is_too_long_one_element_too_many_is_kept() {
        let id = ObjectId(uuid::Uuid::nil());
        let chunk = |carries| Chunk { arguments: b"", carries: vec![id; carries], calls: 1 };
        let end = CallsOutcome { calls: 1, outcome: Outcome::Returned(b"".as_slice()) };
        for count in [0, 1, 2, 100_000] {
            let requests = [
                Request::BatchAdd { id, chunks: vec![chunk(0); count], last: false },
                Request::BatchAdd { id, chunks: vec![chunk(count)], last: true },
                Request::CallsEnd {
                    batch: id,
                    first: 0,
                    ends: core::iter::repeat_n(end.clone(), count).collect(),
                    carries: vec![id; count],
                },
                Request::Wait {
                    mode: WaitMode::Any,
                    targets: core::iter::repeat_n(Target::Event { id }, count).collect(),
                    timeout_ns: None,
                    thread: ThreadId(0),
                },
            ];
            for request in requests {
                let envelope = Envelope { request: RequestId(1), received: 0, body: request };
                let bytes = postcard::to_allocvec(&envelope).unwrap();
                let kept = |most: usize| count.min(most + 1);
                match decode::<Envelope<'_>>(&bytes).unwrap().body {
                    Request::BatchAdd { chunks, last: false, .. } => {
                        assert_eq!(chunks.len(), kept(CHUNKS_PER_REQUEST_MAX));
                    }
                    Request::BatchAdd { chunks, .. } => {
                        assert_eq!(chunks[0].carries.len(), kept(CARRIES_MAX));
                    }
                    Request::CallsEnd { ends, carries, .. } => {
                        assert_eq!(
                            (ends.len(), carries.len()),
                            (kept(CALLS_PER_GRANT_MAX), kept(CARRIES_MAX))
                        );
                    }
                    Request::Wait { targets, .. } => assert_eq!(targets.len(), kept(WAIT_TARGETS_MAX)),
                    other => panic!("{other:?}"),
                }
            }
        }
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
