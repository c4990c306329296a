//! Blobs: large payloads, each in a memory of its own, which the driver keeps. The core knows their sizes, and who
//! refers to them.
//!
//! A blob is made by a session, which reserves room for it and then gives it its bytes. Then it is *whole* and never
//! changes. References keep it: those of sessions, which made it or were granted it, and those of what is stored, such
//! as an item of a queue. Its bytes count as stored from the reservation to the last reference.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::collections::btree_map::Entry;
use alloc::format;

use protocol::limits::{BLOB_BYTES_MAX, BLOB_BYTES_MIN, PIECE_BYTES_MAX};
use protocol::{BlobId, Code, Grant, Payload, Refusal, Reply, Request, RequestId, SessionId};
use serde::{Deserialize, Serialize};

use crate::input::BlobEffect;
use crate::pools::outcomes::blob_of;
use crate::{Effect, State};

/// All blobs.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Blobs {
    /// The number that was given last.
    last: u64,
    blobs: BTreeMap<BlobId, Blob>,
}

/// One blob.
#[derive(Debug, Serialize, Deserialize)]
struct Blob {
    /// How many bytes it has, or room is reserved for.
    bytes: u64,
    /// How many came in pieces.
    written: u64,
    is_whole: bool,
    /// How many references there are.
    references: u64,
}

/// The references of one session. Most sessions never have one.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct BlobReferences(Option<Box<BlobCounts>>);

/// How many references there are to each blob.
#[derive(Debug, Default, Serialize, Deserialize)]
struct BlobCounts(BTreeMap<BlobId, u64>);

/// Stored bytes: with the core, or a reference to a blob.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Content {
    Bytes(Payload),
    Blob(BlobId),
}

impl Content {
    /// No bytes.
    pub(crate) fn nothing() -> Content {
        Content::Bytes(Payload::from([].as_slice()))
    }

    /// Another value with the same content. It is one more that refers to the blob, or takes the place of the first.
    pub(crate) fn same(&self) -> Content {
        match self {
            Content::Bytes(payload) => Content::Bytes(payload.clone()),
            Content::Blob(blob) => Content::Blob(*blob),
        }
    }

    /// The bytes that are with the core.
    pub(crate) fn bytes(&self) -> &[u8] {
        match self {
            Content::Bytes(payload) => payload.as_bytes(),
            Content::Blob(_) => &[],
        }
    }

    /// The blob, if it is one.
    pub(crate) fn blob(&self) -> Option<BlobId> {
        match self {
            Content::Bytes(_) => None,
            Content::Blob(blob) => Some(*blob),
        }
    }

    /// How many bytes it counts as stored; a blob counts by itself.
    pub(crate) fn stored_bytes(&self) -> usize {
        self.bytes().len()
    }
}

impl BlobReferences {
    fn add(&mut self, blob: BlobId) {
        *self.0.get_or_insert_default().0.entry(blob).or_default() += 1;
    }

    /// Takes one of the references to a blob. Returns whether there was one.
    fn remove(&mut self, blob: BlobId) -> bool {
        let Some(counts) = &mut self.0 else { return false };
        let Entry::Occupied(mut count) = counts.0.entry(blob) else { return false };
        *count.get_mut() -= 1;
        if *count.get() == 0 {
            count.remove();
        }
        true
    }

    fn has(&self, blob: BlobId) -> bool {
        self.0.as_ref().is_some_and(|counts| counts.0.contains_key(&blob))
    }

    /// Takes all references to one blob; none if there are no more.
    pub(crate) fn pop(&mut self) -> Option<(BlobId, u64)> {
        self.0.as_mut()?.0.pop_first()
    }
}

impl State {
    /// Carries out a request about a blob that the driver answers, unless it is refused. What is about blobs is kept
    /// out of the way of small requests.
    #[cold]
    pub(crate) fn blob_ask(
        &mut self,
        session: SessionId,
        request: RequestId,
        body: &Request<'_>,
    ) -> Result<(), Refusal> {
        match *body {
            Request::BlobOpen { bytes } => self.blob_open(session, request, bytes),
            Request::BlobFetch { blob } => self.blob_fetch(session, request, blob),
            Request::BlobRead { blob, offset, most } => self.blob_read(session, request, blob, offset, most),
            _ => unreachable!("the core answers it, or it is about no blob"),
        }
    }

    /// Carries out a request about a blob that is decided at once.
    #[cold]
    pub(crate) fn blob_request(&mut self, session: SessionId, body: &Request<'_>) -> Result<Reply, Refusal> {
        match *body {
            // The driver passes it on as what arrived with it.
            Request::BlobSend { .. } => {
                Err(Refusal::new(Code::BadArgument, "the memory of a blob comes with its descriptor"))
            }
            Request::BlobWrite { blob, offset, bytes, last } => {
                self.blob_write(session, blob, offset, bytes, last)
            }
            Request::BatchAddBlob { id, blob, ref carries } => {
                self.batch_add_blob(session, id, blob, carries)
            }
            Request::BlobClose { blob } => self.blob_close(session, blob),
            _ => unreachable!("the driver answers it, or it is about no blob"),
        }
    }

    /// Makes a blob with room for this many bytes, and leaves the answer to the driver.
    fn blob_open(&mut self, session: SessionId, request: RequestId, bytes: u64) -> Result<(), Refusal> {
        if !request.wants_answer() {
            return Ok(());
        }
        check_size(bytes)?;
        self.charge_blob(0, bytes)?;
        self.blobs.last += 1;
        let blob = BlobId(self.blobs.last);
        self.blobs.blobs.insert(blob, Blob { bytes, written: 0, is_whole: false, references: 1 });
        let maker = self.session_at(session);
        maker.blobs.add(blob);
        maker.answers += 1;
        self.effects.push(Effect::Blob(BlobEffect::Opened { session, request, blob }));
        Ok(())
    }

    /// Takes the memory that came for a blob as its bytes, which the driver has checked.
    pub(crate) fn blob_send(
        &mut self,
        session: SessionId,
        blob: BlobId,
        bytes: u64,
        refusal: Option<&Refusal>,
    ) -> Result<Reply, Refusal> {
        let reserved = self.blob_to_fill(session, blob, 0)?;
        refusal.map_or(Ok(()), |refusal| Err(refusal.clone()))?;
        check_size(bytes)?;
        self.charge_blob(reserved, bytes)?;
        let filled = self.blobs.at(blob);
        filled.bytes = bytes;
        filled.is_whole = true;
        self.effects.push(Effect::Blob(BlobEffect::Sent { blob }));
        Ok(Reply::Done)
    }

    /// Takes the next piece of a blob.
    fn blob_write(
        &mut self,
        session: SessionId,
        blob: BlobId,
        offset: u64,
        bytes: &[u8],
        last: bool,
    ) -> Result<Reply, Refusal> {
        let reserved = self.blob_to_fill(session, blob, offset)?;
        if bytes.len() > PIECE_BYTES_MAX {
            let text = format!(
                "a piece of a blob has at most {PIECE_BYTES_MAX} bytes, this one has {}",
                bytes.len()
            );
            return Err(Refusal::new(Code::LimitReached, text));
        }
        let written = offset + bytes.len() as u64;
        let reserved_now = if last { written } else { written.max(reserved) };
        check_size(reserved_now)?;
        self.charge_blob(reserved, reserved_now)?;
        let filled = self.blobs.at(blob);
        (filled.bytes, filled.written, filled.is_whole) = (reserved_now, written, last);
        self.effects.push(Effect::Blob(BlobEffect::Written { blob, bytes: Payload::from(bytes) }));
        Ok(Reply::Done)
    }

    /// The reserved bytes of a blob that this session fills and that has this many bytes by now.
    fn blob_to_fill(&mut self, session: SessionId, blob: BlobId, written: u64) -> Result<u64, Refusal> {
        self.check_refers(session, blob)?;
        let found = self.blobs.at(blob);
        if found.is_whole {
            return Err(Refusal::new(Code::BadArgument, format!("blob {blob} is whole, and never changes")));
        }
        if found.written != written {
            let text = format!("{} bytes of blob {blob} have come, and not {written}", found.written);
            return Err(Refusal::new(Code::BadArgument, text));
        }
        Ok(found.bytes)
    }

    /// Has the memory of a blob sent to a session that refers to it.
    fn blob_fetch(&mut self, session: SessionId, request: RequestId, blob: BlobId) -> Result<(), Refusal> {
        let bytes = self.check_blob(session, blob)?;
        if request.wants_answer() {
            self.session_at(session).answers += 1;
            self.effects.push(Effect::Blob(BlobEffect::Fetched { session, request, blob, bytes }));
        }
        Ok(())
    }

    /// Has a piece of a blob sent to a session that refers to it.
    fn blob_read(
        &mut self,
        session: SessionId,
        request: RequestId,
        blob: BlobId,
        offset: u64,
        most: u32,
    ) -> Result<(), Refusal> {
        let rest = self.check_blob(session, blob)?.saturating_sub(offset);
        if request.wants_answer() {
            let most = most.min(PIECE_BYTES_MAX as u32);
            let bytes = u32::try_from(rest).map_or(most, |rest| rest.min(most));
            self.session_at(session).answers += 1;
            self.effects.push(Effect::Blob(BlobEffect::Read { session, request, blob, offset, bytes }));
        }
        Ok(())
    }

    fn blob_close(&mut self, session: SessionId, blob: BlobId) -> Result<Reply, Refusal> {
        self.check_refers(session, blob)?;
        self.session_at(session).blobs.remove(blob);
        self.blob_release(blob, 1);
        Ok(Reply::Done)
    }

    fn check_refers(&self, session: SessionId, blob: BlobId) -> Result<(), Refusal> {
        match self.sessions[&session].blobs.has(blob) {
            true => Ok(()),
            false => {
                let text = format!("this process has no reference to a blob of number {blob}");
                Err(Refusal::new(Code::BadArgument, text))
            }
        }
    }

    /// The size of a whole blob to which this session refers.
    pub(crate) fn check_blob(&self, session: SessionId, blob: BlobId) -> Result<u64, Refusal> {
        self.check_refers(session, blob)?;
        let found = &self.blobs.blobs[&blob];
        match found.is_whole {
            true => Ok(found.bytes),
            false => Err(Refusal::new(Code::BadArgument, format!("blob {blob} is not whole yet"))),
        }
    }

    /// Adds a reference of something that is stored.
    pub(crate) fn blob_keep(&mut self, blob: BlobId) {
        self.blobs.at(blob).references += 1;
    }

    /// Gives a session a reference to a blob, and returns its size.
    pub(crate) fn blob_grant(&mut self, session: SessionId, blob: BlobId) -> u64 {
        self.session_at(session).blobs.add(blob);
        let granted = self.blobs.at(blob);
        granted.references += 1;
        granted.bytes
    }

    /// Takes references back that grants gave to a session which never gets them.
    pub(crate) fn take_blobs_back(&mut self, session: SessionId, grants: &[Grant]) {
        for grant in grants {
            match grant {
                Grant::BlobItem(item) => self.blob_let_go(session, item.blob),
                Grant::BlobCall(call) => self.blob_let_go(session, call.blob),
                Grant::Results(results) => {
                    let blobs = results.results.iter().filter_map(|result| blob_of(&result.outcome));
                    blobs.for_each(|blob| self.blob_let_go(session, blob));
                }
                _ => {}
            }
        }
    }

    /// Takes one reference from a session, unless it has none any more.
    fn blob_let_go(&mut self, session: SessionId, blob: BlobId) {
        if self.session_at(session).blobs.remove(blob) {
            self.blob_release(blob, 1);
        }
    }

    /// Takes references to a blob, and frees it with the last.
    pub(crate) fn blob_release(&mut self, blob: BlobId, count: u64) {
        let released = self.blobs.at(blob);
        released.references -= count;
        if released.references == 0 {
            self.stored_bytes -= released.bytes as usize;
            self.blobs.blobs.remove(&blob);
            self.effects.push(Effect::Blob(BlobEffect::Freed { blob }));
        }
    }

    /// Counts the bytes of a blob, which were counted as `before`, if there is room.
    fn charge_blob(&mut self, before: u64, bytes: u64) -> Result<(), Refusal> {
        if bytes > before {
            self.check_memory(usize::try_from(bytes - before).unwrap_or(usize::MAX))?;
        }
        let (others, bytes_max) = (self.stored_bytes - before as usize, self.limits.stored_bytes_max);
        match usize::try_from(bytes).ok().and_then(|bytes| others.checked_add(bytes)) {
            Some(stored) if stored <= bytes_max || bytes <= before => {
                self.stored_bytes = stored;
                Ok(())
            }
            _ => {
                let text = format!(
                    "the manager stores {others} of at most {bytes_max} bytes, and has no room for {bytes} more"
                );
                Err(Refusal::new(Code::LimitReached, text))
            }
        }
    }
}

impl Blobs {
    /// The size of a blob that exists.
    pub(crate) fn bytes(&self, blob: BlobId) -> u64 {
        self.blobs[&blob].bytes
    }

    fn at(&mut self, blob: BlobId) -> &mut Blob {
        self.blobs.get_mut(&blob).expect("who has its number refers to it")
    }
}

fn check_size(bytes: u64) -> Result<(), Refusal> {
    if bytes > BLOB_BYTES_MAX {
        let text = format!("a blob has at most {BLOB_BYTES_MAX} bytes, this one has {bytes}");
        return Err(Refusal::new(Code::LimitReached, text));
    }
    if bytes < BLOB_BYTES_MIN {
        let text = format!("a blob has at least {BLOB_BYTES_MIN} bytes, this one has {bytes}");
        return Err(Refusal::new(Code::BadArgument, text));
    }
    Ok(())
}
