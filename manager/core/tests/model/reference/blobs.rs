//! Blobs: large payloads, who keeps them, and how much room they take ("Blobs").

use manager_core::{BlobArrival, BlobEffect};
use protocol::limits::{BLOB_BYTES_MAX, BLOB_BYTES_MIN, PIECE_BYTES_MAX};
use protocol::{BlobId, Code, Grant, Outcome, Payload, Reply, Request, RequestId, SessionId};

use super::effects::Expected;
use super::{Body, Model, ModelAnswer};

/// A blob that something refers to.
pub(crate) struct Blob {
    /// How many bytes it has, or are reserved for it.
    pub(crate) bytes: u64,
    /// How many have come in pieces.
    pub(crate) written: u64,
    pub(crate) is_whole: bool,
}

/// A payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    Bytes(Payload),
    Blob(BlobId),
}

impl Content {
    /// The bytes that travel in frames; a blob has none of these.
    pub(crate) fn bytes(&self) -> &[u8] {
        match self {
            Content::Bytes(payload) => payload.as_bytes(),
            Content::Blob(_) => &[],
        }
    }

    pub(crate) fn is_blob(&self) -> bool {
        matches!(self, Content::Blob(_))
    }
}

impl Model {
    /// Carries out a request that is answered with a blob, or with bytes of one.
    pub(crate) fn ask_for_blob(
        &mut self,
        session: SessionId,
        request: RequestId,
        body: &Request<'_>,
    ) -> Result<(), Code> {
        let expected = match *body {
            // Nobody would learn its number.
            Request::BlobOpen { .. } if !request.wants_answer() => return Ok(()),
            Request::BlobOpen { bytes } => {
                check_size(bytes)?;
                self.check_room_for_blob(0, bytes)?;
                Expected::BlobOpened { session, request, bytes }
            }
            Request::BlobFetch { blob } => {
                let bytes = self.check_blob(session, blob)?;
                Expected::Blob(BlobEffect::Fetched { session, request, blob, bytes })
            }
            Request::BlobRead { blob, offset, most } => {
                let rest = self.check_blob(session, blob)?.saturating_sub(offset);
                let bytes = rest.min(most.into()).min(PIECE_BYTES_MAX as u64) as u32;
                Expected::Blob(BlobEffect::Read { session, request, blob, offset, bytes })
            }
            _ => unreachable!("it asks for no blob"),
        };
        if request.wants_answer() {
            self.effects.push(expected);
        }
        Ok(())
    }

    /// Memory has come for a blob, or something that the manager does not take as memory.
    pub(crate) fn blob_send(&mut self, session: SessionId, arrival: &BlobArrival) -> ModelAnswer {
        let BlobArrival { blob, bytes, refusal, .. } = arrival;
        let reserved = self.check_unfilled(session, *blob, 0)?;
        if let Some(refusal) = refusal {
            return Err(refusal.code);
        }
        check_size(*bytes)?;
        self.check_room_for_blob(reserved, *bytes)?;
        self.blobs.insert(*blob, Blob { bytes: *bytes, written: 0, is_whole: true });
        self.effects.push(Expected::Blob(BlobEffect::Sent { blob: *blob }));
        Ok(Reply::Done)
    }

    /// The next piece of a blob has come.
    pub(crate) fn blob_write(
        &mut self,
        session: SessionId,
        blob: BlobId,
        offset: u64,
        piece: &[u8],
        last: bool,
    ) -> ModelAnswer {
        let reserved = self.check_unfilled(session, blob, offset)?;
        if piece.len() > PIECE_BYTES_MAX {
            return Err(Code::LimitReached);
        }
        let written = offset + piece.len() as u64;
        // What it takes less than was reserved is free once the last piece has come.
        let bytes = if last { written } else { reserved.max(written) };
        check_size(bytes)?;
        self.check_room_for_blob(reserved, bytes)?;
        self.blobs.insert(blob, Blob { bytes, written, is_whole: last });
        self.effects.push(Expected::Blob(BlobEffect::Written { blob, bytes: Payload::from(piece) }));
        Ok(Reply::Done)
    }

    pub(crate) fn blob_close(&mut self, session: SessionId, blob: BlobId) -> ModelAnswer {
        self.check_refers(session, blob)?;
        self.give_back_blob(session, blob);
        Ok(Reply::Done)
    }

    /// Gives back one reference of a session, if it has one.
    fn give_back_blob(&mut self, session: SessionId, blob: BlobId) {
        let blobs = &mut self.sessions.get_mut(&session).unwrap().blobs;
        if let Some(count) = blobs.get_mut(&blob) {
            *count -= 1;
        }
        blobs.retain(|_, count| *count > 0);
    }

    fn check_refers(&self, session: SessionId, blob: BlobId) -> Result<(), Code> {
        match self.sessions[&session].blobs.contains_key(&blob) {
            true => Ok(()),
            false => Err(Code::BadArgument),
        }
    }

    /// How many bytes are reserved for a blob that this session fills, and of which this many have come.
    fn check_unfilled(&self, session: SessionId, blob: BlobId, offset: u64) -> Result<u64, Code> {
        self.check_refers(session, blob)?;
        let Blob { bytes, written, is_whole } = self.blobs[&blob];
        if is_whole || written != offset { Err(Code::BadArgument) } else { Ok(bytes) }
    }

    /// How many bytes a blob has that this session may use.
    pub(crate) fn check_blob(&self, session: SessionId, blob: BlobId) -> Result<u64, Code> {
        self.check_refers(session, blob)?;
        let Blob { bytes, is_whole, .. } = self.blobs[&blob];
        if is_whole { Ok(bytes) } else { Err(Code::BadArgument) }
    }

    /// Refuses a blob that grows from this many reserved bytes to more than there is room for.
    fn check_room_for_blob(&self, reserved: u64, bytes: u64) -> Result<(), Code> {
        let kept_max = self.limits.stored_bytes_max as u64;
        self.check_memory(bytes.saturating_sub(reserved) as usize)?;
        match bytes <= reserved || self.kept().1 as u64 - reserved + bytes <= kept_max {
            true => Ok(()),
            false => Err(Code::LimitReached),
        }
    }

    /// Gives a session one reference to a blob that it gets. Returns the size of the blob.
    pub(crate) fn give_blob(&mut self, session: SessionId, blob: BlobId) -> u64 {
        *self.sessions.get_mut(&session).unwrap().blobs.entry(blob).or_insert(0) += 1;
        self.blobs[&blob].bytes
    }

    /// Takes back what grants gave to a session which it never gets.
    pub(crate) fn take_blobs_back(&mut self, session: SessionId, grants: &[Grant]) {
        for grant in grants {
            match grant {
                Grant::BlobItem(item) => self.give_back_blob(session, item.blob),
                Grant::BlobCall(call) => self.give_back_blob(session, call.blob),
                Grant::Results(results) => {
                    for result in &results.results {
                        if let Outcome::ReturnedBlob { blob, .. } = result.outcome {
                            self.give_back_blob(session, blob);
                        }
                    }
                }
                _ => {}
            }
        }
    }

    /// Whether anything refers to a blob: a session, an item, the arguments of a call that has not ended, or a result
    /// that was not taken.
    fn is_blob_kept(&self, blob: BlobId) -> bool {
        let its = Content::Blob(blob);
        self.sessions.values().any(|session| session.blobs.contains_key(&blob))
            || self.all_items().iter().any(|item| item.content == its)
            || self.objects.values().any(|object| match &object.body {
                Body::Batch(batch) => batch.keeps_blob(blob),
                _ => false,
            })
    }

    /// How many bytes the blobs have that anything refers to.
    pub(crate) fn blob_bytes(&self) -> usize {
        let kept = self.blobs.iter().filter(|(blob, _)| self.is_blob_kept(**blob));
        kept.map(|(_, blob)| blob.bytes as usize).sum()
    }

    /// Frees the blobs that nothing refers to.
    pub(crate) fn free_blobs(&mut self) {
        let free: Vec<BlobId> = self.blobs.keys().copied().filter(|&blob| !self.is_blob_kept(blob)).collect();
        for blob in free {
            self.blobs.remove(&blob);
            self.effects.push(Expected::Blob(BlobEffect::Freed { blob }));
        }
    }
}

fn check_size(bytes: u64) -> Result<(), Code> {
    match bytes {
        ..BLOB_BYTES_MIN => Err(Code::BadArgument),
        BLOB_BYTES_MIN..=BLOB_BYTES_MAX => Ok(()),
        _ => Err(Code::LimitReached),
    }
}
