//! Identities: of objects, of one life of a manager, of sessions, requests and threads.

use core::fmt;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The identity of one object, unique forever.
///
/// The client that creates an object also makes its id, so the manager needs no randomness.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ObjectId(#[serde(with = "uuid::serde::compact")] pub Uuid);

/// One life of a manager. A handle from an earlier life names nothing in this one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Epoch(#[serde(with = "uuid::serde::compact")] pub Uuid);

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
