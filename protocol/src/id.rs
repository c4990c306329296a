//! Identities: of objects, of one life of a manager, of sessions, requests and threads.

use core::fmt;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The identity of one object, unique forever.
///
/// The client that creates an object also makes its id, so the manager needs no randomness.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ObjectId(#[serde(with = "sixteen_bytes")] pub Uuid);

/// One life of a manager. A handle from an earlier life names nothing in this one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Epoch(#[serde(with = "sixteen_bytes")] pub Uuid);

/// One client process, as the manager numbers it: from 1 up, and no number twice within an epoch.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SessionId(pub u64);

/// One request of one session, as its client numbers it: from 1 up, always growing.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RequestId(pub u64);

impl RequestId {
    /// The id of a request that wants no answer, not even when it is refused. In an answer it means that the answer
    /// concerns the whole connection.
    pub const ONE_WAY: RequestId = RequestId(0);

    /// Whether the sender waits for an answer.
    pub fn wants_answer(self) -> bool {
        self != Self::ONE_WAY
    }
}

/// One thread of a client process, as its client numbers it. A thread, not a process, holds a lock
/// and is in a deadlock.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ThreadId(pub u64);

/// One blob: a large payload in a memory of its own, as the manager numbers it. No number is given twice within an
/// epoch.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BlobId(pub u64);

/// An id as its sixteen bytes, in two steps instead of sixteen.
///
/// Serde has no word for a fixed number of bytes: it passes an array of them one by one, and most of what it takes to
/// read a small request would be the bytes of an id. But postcard writes an `f64` as its eight bytes, whatever they
/// are, in one step; so the two halves of an id travel as two of these. The bytes on the wire are the same. No float is
/// computed with, and its bits stay what they are, those that are no number included. A format for people, where a
/// float is text, gets the array.
mod sixteen_bytes {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};
    use uuid::Uuid;

    #[inline]
    pub(super) fn serialize<S: Serializer>(id: &Uuid, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            return uuid::serde::compact::serialize(id, serializer);
        }
        // The first byte of an id is its highest, and the first that postcard writes of a float its lowest.
        let half = |half: u64| f64::from_bits(half.swap_bytes());
        let (first, second) = id.as_u64_pair();
        (half(first), half(second)).serialize(serializer)
    }

    #[inline]
    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Uuid, D::Error> {
        if deserializer.is_human_readable() {
            return uuid::serde::compact::deserialize(deserializer);
        }
        let (first, second) = <(f64, f64)>::deserialize(deserializer)?;
        let half = |half: f64| half.to_bits().swap_bytes();
        Ok(Uuid::from_u64_pair(half(first), half(second)))
    }
}

macro_rules! show {
    ($($id:ident),*) => {$(
        impl fmt::Display for $id {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(formatter)
            }
        }

        impl fmt::Debug for $id {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(formatter, "{}({})", stringify!($id), self.0)
            }
        }
    )*};
}

show!(ObjectId, Epoch, SessionId, RequestId, ThreadId, BlobId);

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    #[test]
    fn an_id_is_its_sixteen_bytes_whichever_they_are() {
        // A half may be a float that is no number, also one that signals it, infinite, or a zero with a sign.
        let halves = [
            0,
            1,
            0x0102_0304_0506_0708,
            0xf07f,
            0xf0ff,
            0x0100_0000_0000_f07f,
            0x0100_0000_0000_f0ff,
            0x80,
            !0,
        ];
        let halves = halves.iter().flat_map(|half: &u64| [*half, half.swap_bytes()]);
        for (first, second) in
            halves.clone().flat_map(|first| halves.clone().map(move |second| (first, second)))
        {
            let id = ObjectId(Uuid::from_u64_pair(first, second));
            let bytes: Vec<u8> = postcard::to_allocvec(&id).unwrap();
            assert_eq!(bytes, id.0.as_bytes());
            assert_eq!(postcard::from_bytes(&bytes), Ok(id));
        }
    }
}
