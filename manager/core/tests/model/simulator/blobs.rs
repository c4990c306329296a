//! Requests about blobs, and what arrives for them.

use protocol::limits::{BLOB_BYTES_MAX, BLOB_BYTES_MIN, PIECE_BYTES_MAX};
use protocol::{BlobId, Code, Request, RequestId, SessionId};

use super::choosing::Choices;
use super::running::SimulatedRun;
use super::step::{CURRENT, PLACES, SimulatedStep};

/// A piece has a part of these bytes, and too large a piece has all.
static ZEROS: [u8; PIECE_BYTES_MAX + 1] = [0; PIECE_BYTES_MAX + 1];

impl Choices {
    /// A request about a blob.
    pub(super) fn of_blob(&mut self, run: &SimulatedRun, session: SessionId) -> Request<'static> {
        let its = &run.model.sessions[&session].blobs;
        if its.is_empty() || self.random.chance(5) {
            return Request::BlobOpen { bytes: self.blob_bytes() };
        }
        let blob = self.blob(run, session);
        let is_whole = |blob: &BlobId| run.model.blobs[blob].is_whole;
        let unfilled = its.keys().position(|blob| !is_whole(blob));
        if let Some(place) = unfilled
            && self.random.chance(2)
        {
            let blob = if self.mistake() { blob } else { at(place) };
            return match self.random.chance(3) {
                true => self.piece(blob),
                false => Request::BlobSend { blob, bytes: self.blob_bytes() },
            };
        }
        match self.random.below(9) {
            0 | 1 => Request::BlobFetch { blob },
            2 => Request::BlobRead {
                blob,
                offset: self.random.pick(&[0, 1, BLOB_BYTES_MIN, u64::MAX]),
                most: self.random.pick(&[0, 1, 65_537, PIECE_BYTES_MAX as u32, u32::MAX]),
            },
            3 if self.mistake() => self.piece(blob),
            4 if self.mistake() => Request::BlobSend { blob, bytes: self.blob_bytes() },
            _ => Request::BlobClose { blob },
        }
    }

    fn piece(&mut self, blob: BlobId) -> Request<'static> {
        let length = match self.random.below(12) {
            0 if self.mistake() => ZEROS.len(),
            1 if self.mistake() => PIECE_BYTES_MAX,
            0..5 => BLOB_BYTES_MIN as usize,
            _ => self.random.pick(&[0, 1, 30_000, 65_535]),
        };
        let offset = if self.mistake() { self.random.below(3) } else { CURRENT };
        Request::BlobWrite { blob, offset, bytes: &ZEROS[..length], last: self.random.chance(2) }
    }

    fn blob_bytes(&mut self) -> u64 {
        match self.random.below(10) {
            0 if self.mistake() => {
                self.random.pick(&[0, BLOB_BYTES_MIN - 1, BLOB_BYTES_MAX, BLOB_BYTES_MAX + 1])
            }
            0..6 => BLOB_BYTES_MIN,
            6 => BLOB_BYTES_MIN + 1,
            7 => 2 * BLOB_BYTES_MIN,
            _ => BLOB_BYTES_MIN + self.random.below(3 * BLOB_BYTES_MIN),
        }
    }

    /// A blob of a session, or by mistake any number.
    pub(super) fn blob(&mut self, run: &SimulatedRun, session: SessionId) -> BlobId {
        let count = run.model.sessions[&session].blobs.len() as u64;
        match count == 0 || self.mistake() {
            true => BlobId(self.random.below(20)),
            false => at(self.random.below(count.min(PLACES)) as usize),
        }
    }

    /// A blob of a session to use in another request, now and then.
    pub(super) fn blob_to_use(&mut self, run: &SimulatedRun, session: SessionId) -> Option<BlobId> {
        let its = &run.model.sessions[&session].blobs;
        let is_likely = self.has_blobs() && !its.is_empty() && self.random.chance(2);
        (is_likely || (self.has_blobs() && self.mistake())).then(|| self.blob(run, session))
    }

    /// What a request to give a blob its bytes is for the manager: it has looked at what came beside it.
    pub(super) fn arrival(
        &mut self,
        session: SessionId,
        request: RequestId,
        unread: u64,
        (blob, bytes): (BlobId, u64),
    ) -> SimulatedStep {
        let refusal = match self.random.below(8) {
            0 => Some(self.random.pick(&[Code::LimitReached, Code::BadArgument])),
            _ => None,
        };
        let overcounts = self.random.chance(10) && self.mistake();
        SimulatedStep::Arrive { session, request, unread, overcounts, blob, bytes, refusal }
    }
}

/// A blob of a session by its place among them.
fn at(place: usize) -> BlobId {
    BlobId(CURRENT - place as u64)
}
