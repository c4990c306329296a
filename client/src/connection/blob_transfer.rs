//! The memory of blobs, on its way to the manager and back.

use std::os::fd::{BorrowedFd, OwnedFd};

use client_core::Operation;
use client_core::operations::{BlobClose, BlobFetch, BlobRead, BlobSend};
use protocol::BlobId;
use protocol::limits::PIECE_BYTES_MAX;

use crate::connection::calls::accept;
use crate::connection::link::Link;
use crate::connection::shared::{ReceivedAnswer, own_slot};
use crate::{Error, ErrorKind, Result};

impl Link {
    /// Gives a reference to a blob back, at once or with the next write, if this is the link of this process. If the
    /// manager is gone, so is the blob.
    pub(crate) fn close_blob(&self, blob: BlobId, at_once: bool) {
        let body = BlobClose { blob }.into_request();
        let _ = match (std::process::id() == self.process, at_once) {
            (false, _) => Ok(()),
            (true, true) => self.connection.send(body),
            (true, false) => self.connection.queue(body),
        };
    }

    /// Gives a blob its memory. Returns false if the descriptor did not arrive, or the manager has no room for it.
    pub(crate) fn send_blob(&self, blob: BlobId, bytes: u64, memory: BorrowedFd<'_>) -> Result<bool> {
        let body = BlobSend { blob, bytes }.into_request();
        let answered = self.here()?.connection.call_with_descriptor(&own_slot(), body, memory);
        match answered.and_then(accept) {
            Err(error) if error.is_limit() => Ok(false),
            answered => {
                BlobSend::output(answered?.reply)?;
                Ok(true)
            }
        }
    }

    /// The memory of a blob; none if it cannot be sent.
    pub(crate) fn fetch_blob(&self, blob: BlobId) -> Result<Option<OwnedFd>> {
        let body = BlobFetch { blob }.into_request();
        let answered = self.here()?.connection.call_for_descriptor(&own_slot(), body);
        match answered.and_then(accept) {
            Err(error) if error.is_limit() => Ok(None),
            answered => {
                let ReceivedAnswer { reply, enclosed, .. } = answered?;
                BlobFetch::output(reply)?;
                Ok(enclosed)
            }
        }
    }

    /// The bytes of a blob, in pieces.
    pub(crate) fn read_blob(&self, blob: BlobId, bytes: u64) -> Result<Vec<u8>> {
        let mut all = Vec::new();
        while (all.len() as u64) < bytes {
            let read = BlobRead { blob, offset: all.len() as u64, most: PIECE_BYTES_MAX as u32 };
            let piece = self.run(read)?;
            if piece.as_bytes().is_empty() {
                return Err(Error::new(ErrorKind::Other, "a blob ended before its size"));
            }
            all.extend_from_slice(piece.as_bytes());
        }
        Ok(all)
    }
}
