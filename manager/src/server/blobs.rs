//! Requests and effects that concern the memory of blobs.

use std::sync::Arc;

use manager_core::{BlobArrival, BlobEffect, Input};
use protocol::{BlobId, Code, Refusal, Reply, RequestId, SessionId};
use sys::sealed_memory::{self, Unsealed};

use super::Server;
use super::closer::drop_elsewhere;
use super::connection_table::ConnectionSlot;
use super::output::UNSENT_MAX;

impl Server {
    /// Hands the core a request to give a blob its bytes, with what the descriptor that came shows.
    pub(super) fn blob_arrived(
        &mut self,
        slot: ConnectionSlot,
        session: SessionId,
        (request, received): (RequestId, u64),
        (blob, bytes): (BlobId, u64),
    ) {
        let memory = self.blobs.receiver(slot).and_then(Option::take);
        let refusal = match &memory {
            None => Some(Refusal::new(Code::LimitReached, "no descriptor came with the blob")),
            Some(memory) => sealed_memory::check(memory, bytes).err().map(bad_memory),
        };
        self.blobs.arrived = memory;
        let arrival = BlobArrival { request, received, blob, bytes, refusal };
        self.apply(Input::BlobArrived { session, arrival });
        self.blobs.arrived.take().into_iter().for_each(drop_elsewhere);
    }

    /// Does what the core asks with the memory of a blob.
    pub(super) fn perform_blob(&mut self, effect: &BlobEffect) {
        match *effect {
            BlobEffect::Opened { session, request, blob } => self.blob_opened(session, request, blob),
            BlobEffect::Sent { blob } => self.blobs.keep_arrived(blob),
            BlobEffect::Written { blob, ref bytes } => self.blobs.append(blob, bytes.as_bytes()),
            BlobEffect::Fetched { session, request, blob, bytes } => {
                self.blob_fetched(session, request, blob, bytes);
            }
            BlobEffect::Read { session, request, blob, offset, bytes } => {
                let piece = self.blobs.read(blob, offset, bytes);
                let body = piece.map_or_else(Reply::Refused, Reply::Piece);
                self.reply(session, request, &body);
            }
            BlobEffect::Freed { blob } => self.blobs.free(blob),
        }
    }

    fn blob_opened(&mut self, session: SessionId, request: RequestId, blob: BlobId) {
        let Some(&slot) = self.sessions.get(&session) else { return };
        let connection = self.table.get_mut(slot);
        let passes = connection.is_some_and(|connection| connection.passes_descriptors());
        let takes_descriptor = self.blobs.open(blob, passes);
        if takes_descriptor {
            self.blobs.receivers.entry(slot).or_default();
        }
        self.reply(session, request, &Reply::BlobOpened { blob, takes_descriptor });
    }

    fn blob_fetched(&mut self, session: SessionId, request: RequestId, blob: BlobId, bytes: u64) {
        let connection = self.sessions.get(&session).and_then(|&slot| self.table.get_mut(slot));
        let can_be_sent = connection.is_some_and(|connection| {
            connection.passes_descriptors() && connection.output.enclosed() < UNSENT_MAX
        });
        let (body, memory) = match self.blobs.sealed(blob) {
            Some(memory) if can_be_sent => (Reply::Shared { bytes }, Some(Arc::clone(memory))),
            _ => {
                let text = "this blob cannot be sent as a descriptor, and is to be read in pieces";
                (Reply::Refused(Refusal::new(Code::LimitReached, text)), None)
            }
        };
        self.reply_with(session, request, &body, memory);
    }
}

fn bad_memory(error: Unsealed) -> Refusal {
    Refusal::new(Code::BadArgument, format!("what came for the blob is refused: {error}"))
}
