//! The operations of large payloads.

use alloc::vec::Vec;

use protocol::{BlobId, Grant, Outcome, Reply, Request};

use super::answers;
use crate::{Operation, Unexpected};

/// Makes an empty blob for a payload of about this size, and reserves room for it.
#[derive(Clone, Copy, Debug)]
pub struct BlobOpen {
    /// How many bytes.
    pub bytes: u64,
}

/// A blob that was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenedBlob {
    /// Its number.
    pub blob: BlobId,
    /// Whether the manager takes a descriptor of its memory.
    pub takes_descriptor: bool,
}

impl Operation<'static> for BlobOpen {
    type Output = OpenedBlob;

    fn into_request(self) -> Request<'static> {
        Request::BlobOpen { bytes: self.bytes }
    }

    fn output(reply: Reply) -> Result<OpenedBlob, Unexpected> {
        match reply {
            Reply::BlobOpened { blob, takes_descriptor } => Ok(OpenedBlob { blob, takes_descriptor }),
            reply => Err(Unexpected::reply(reply)),
        }
    }
}

/// Gives a blob its bytes: the descriptor of sealed memory, which the driver sends with the request.
#[derive(Clone, Copy, Debug)]
pub struct BlobSend {
    /// The blob.
    pub blob: BlobId,
    /// Exactly how many bytes the memory has.
    pub bytes: u64,
}

impl Operation<'static> for BlobSend {
    type Output = ();

    fn into_request(self) -> Request<'static> {
        let BlobSend { blob, bytes } = self;
        Request::BlobSend { blob, bytes }
    }

    fn output(reply: Reply) -> Result<(), Unexpected> {
        answers::done(reply)
    }
}

/// Gives a blob the next piece of its bytes.
#[derive(Clone, Copy, Debug)]
pub struct BlobWrite<'a> {
    /// The blob.
    pub blob: BlobId,
    /// How many bytes came before.
    pub offset: u64,
    /// The piece.
    pub bytes: &'a [u8],
    /// Whether it is the last.
    pub last: bool,
}

impl<'a> Operation<'a> for BlobWrite<'a> {
    type Output = ();

    fn into_request(self) -> Request<'a> {
        let BlobWrite { blob, offset, bytes, last } = self;
        Request::BlobWrite { blob, offset, bytes, last }
    }

    fn output(reply: Reply) -> Result<(), Unexpected> {
        answers::done(reply)
    }
}

/// Asks for the memory of a blob, whose descriptor comes with the answer. Its output is how many bytes it has.
#[derive(Clone, Copy, Debug)]
pub struct BlobFetch {
    /// The blob.
    pub blob: BlobId,
}

impl Operation<'static> for BlobFetch {
    type Output = u64;

    fn into_request(self) -> Request<'static> {
        Request::BlobFetch { blob: self.blob }
    }

    fn output(reply: Reply) -> Result<u64, Unexpected> {
        match reply {
            Reply::Shared { bytes } => Ok(bytes),
            reply => Err(Unexpected::reply(reply)),
        }
    }
}

/// Asks for a piece of a blob.
#[derive(Clone, Copy, Debug)]
pub struct BlobRead {
    /// The blob.
    pub blob: BlobId,
    /// Where the piece begins.
    pub offset: u64,
    /// The most bytes to send.
    pub most: u32,
}

impl Operation<'static> for BlobRead {
    type Output = protocol::Payload;

    fn into_request(self) -> Request<'static> {
        let BlobRead { blob, offset, most } = self;
        Request::BlobRead { blob, offset, most }
    }

    fn output(reply: Reply) -> Result<protocol::Payload, Unexpected> {
        match reply {
            Reply::Piece(piece) => Ok(piece),
            reply => Err(Unexpected::reply(reply)),
        }
    }
}

/// Gives back a reference to a blob.
#[derive(Clone, Copy, Debug)]
pub struct BlobClose {
    /// The blob.
    pub blob: BlobId,
}

impl Operation<'static> for BlobClose {
    type Output = ();

    fn into_request(self) -> Request<'static> {
        Request::BlobClose { blob: self.blob }
    }

    fn output(reply: Reply) -> Result<(), Unexpected> {
        answers::done(reply)
    }
}

/// The blobs to which an answer gives references. Whoever drops the answer gives them back, each with a [`BlobClose`].
#[must_use]
pub fn blobs_of(reply: &Reply) -> Vec<BlobId> {
    let mut blobs = Vec::new();
    match reply {
        Reply::BlobOpened { blob, .. } => blobs.push(*blob),
        Reply::Taken(taken) => taken.grants.iter().for_each(|grant| match grant {
            Grant::BlobItem(item) => blobs.push(item.blob),
            Grant::BlobCall(call) => blobs.push(call.blob),
            Grant::Results(results) => {
                blobs.extend(results.results.iter().filter_map(|result| match result.outcome {
                    Outcome::ReturnedBlob { blob, .. } => Some(blob),
                    Outcome::Returned(_) | Outcome::Failed(_) => None,
                }));
            }
            _ => {}
        }),
        _ => {}
    }
    blobs
}
