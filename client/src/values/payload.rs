//! Encoded values on their way: in a frame if they are small, as a blob if they are large.
//!
//! A blob is memory that is made before the request that uses it. While a value is encoded, its bytes gather in a
//! vector, and go to memory once they are many: to sealed memory of which the manager gets a descriptor, or to the
//! manager in pieces where that cannot be.

use std::os::fd::AsFd;
use std::sync::Arc;

use client_core::operations::{BlobOpen, BlobWrite, OpenedBlob};
use postcard::ser_flavors::Flavor;
use protocol::BlobId;
use protocol::limits::PIECE_BYTES_MAX;
use serde::Serialize;
use sys::sealed_memory::{MemoryWriter, SealedMemory};

use crate::connection::link::Link;
use crate::values::bytes::read_in_place;
use crate::values::serializer;
use crate::{Error, ErrorKind, Result};

/// A value of this many encoded bytes or more becomes a blob. Smaller ones are faster in a frame, though they are
/// copied more often.
pub(crate) const BLOB_BYTES: usize = 256 << 10;

/// How many bytes gather before they go to memory together.
const GATHERED_BYTES: usize = 64 << 10;

/// How many bytes are too many for the manager to keep until this process sends its next request.
const LONG_KEPT_BYTES: u64 = 16 << 20;

/// An encoded value that can be sent.
#[derive(Debug)]
pub(crate) enum EncodedPayload {
    /// It is small.
    Inline(Vec<u8>),
    /// It is large.
    Blob(OwnBlob),
}

/// A reference of this process to a blob, which it gives back when this is dropped.
#[derive(Debug)]
pub struct OwnBlob {
    /// The way to its manager.
    pub link: Arc<Link>,
    /// The blob.
    pub id: BlobId,
    /// How many bytes it has; 0 before it is whole, when only the manager knows for how many it keeps room.
    pub bytes: u64,
}

/// The bytes of an encoded value that came.
#[derive(Debug)]
pub enum ReceivedPayload {
    /// In a frame, or in pieces.
    Heap(Vec<u8>),
    /// As memory.
    Sealed(Arc<SealedMemory>),
}

/// Why a value has no encoded bytes that can be sent.
#[derive(Debug)]
pub(crate) enum PayloadFault {
    /// It cannot be encoded.
    Encode(postcard::Error),
    /// There is no room for it.
    Room(Error),
}

/// Encodes a value, in memory of its own if it is large.
pub(crate) fn encode_payload<T: Serialize + ?Sized>(
    value: &T,
    link: &Arc<Link>,
) -> std::result::Result<EncodedPayload, PayloadFault> {
    let (bytes, blob) = append_payload(value, Vec::new(), Some(link))?;
    Ok(blob.map_or(EncodedPayload::Inline(bytes), EncodedPayload::Blob))
}

/// Encodes a value behind these bytes, or in memory of its own if it is large and there is a manager to take it. Then
/// the bytes stay as they are. After an error they are lost.
pub(crate) fn append_payload<T: Serialize + ?Sized>(
    value: &T,
    bytes: Vec<u8>,
    link: Option<&Arc<Link>>,
) -> std::result::Result<(Vec<u8>, Option<OwnBlob>), PayloadFault> {
    let (written, writer) = serializer::write(value, PayloadWriter::new(bytes, link));
    if let Some(fault) = writer.fault {
        return Err(PayloadFault::Room(fault));
    }
    written.map_err(PayloadFault::Encode)?;
    writer.finish().map_err(PayloadFault::Room)
}

impl EncodedPayload {
    /// How many bytes it has.
    pub(crate) fn len(&self) -> u64 {
        match self {
            EncodedPayload::Inline(bytes) => bytes.len() as u64,
            EncodedPayload::Blob(blob) => blob.bytes,
        }
    }
}

impl Drop for OwnBlob {
    fn drop(&mut self) {
        // This process may send nothing else for long.
        let at_once = matches!(self.bytes, 0 | LONG_KEPT_BYTES..);
        self.link.close_blob(self.id, at_once);
    }
}

impl ReceivedPayload {
    /// Gets the bytes of a blob.
    pub fn fetch(blob: &OwnBlob) -> Result<ReceivedPayload> {
        let OwnBlob { ref link, id, bytes } = *blob;
        match link.fetch_blob(id)? {
            Some(memory) => match SealedMemory::map(&memory, bytes) {
                Ok(mapped) => return Ok(ReceivedPayload::Sealed(Arc::new(mapped))),
                Err(error) => log::debug!("a blob is read in pieces, since it cannot be mapped: {error}"),
            },
            None => log::debug!("a blob is read in pieces, since no descriptor of it came"),
        }
        link.read_blob(id, bytes).map(ReceivedPayload::Heap)
    }

    /// Reads the value; what it has of type `Bytes` may refer to the memory.
    pub fn read<R>(&self, read: impl FnOnce(&[u8]) -> R) -> R {
        match self {
            ReceivedPayload::Heap(bytes) => read(bytes),
            ReceivedPayload::Sealed(memory) => read_in_place(memory, read),
        }
    }
}

/// Where the bytes of a value gather.
struct PayloadWriter<'a> {
    link: Option<&'a Arc<Link>>,
    /// Those that have not gone to memory, behind others.
    buffer: Vec<u8>,
    /// How many others there are.
    before: usize,
    /// Where the others are.
    memory: Option<BlobWriter>,
    /// Why no more can be written.
    fault: Option<Error>,
}

/// A blob that is being written.
struct BlobWriter {
    blob: OwnBlob,
    /// The memory; none if the bytes go to the manager in pieces.
    memory: Option<MemoryWriter>,
}

impl<'a> PayloadWriter<'a> {
    fn new(bytes: Vec<u8>, link: Option<&'a Arc<Link>>) -> PayloadWriter<'a> {
        PayloadWriter { link, before: bytes.len(), buffer: bytes, memory: None, fault: None }
    }

    /// Takes bytes in that do not just gather.
    #[cold]
    fn take_many(&mut self, bytes: &[u8]) -> postcard::Result<()> {
        self.try_take_many(bytes).map_err(|error| {
            self.fault.get_or_insert(error);
            postcard::Error::SerializeBufferFull
        })
    }

    fn try_take_many(&mut self, bytes: &[u8]) -> Result<()> {
        if self.fault.is_some() {
            return Err(Error::new(ErrorKind::Limit, "there was no room for what came before"));
        }
        let Some(link) = self.link else {
            self.buffer.extend_from_slice(bytes);
            return Ok(());
        };
        if self.memory.is_none() {
            // Room is asked for before anything is copied.
            let known = (self.buffer.len() - self.before + bytes.len()) as u64;
            self.memory = Some(BlobWriter::open(link, known)?);
        }
        if let Some(memory) = &mut self.memory {
            memory.append(&self.buffer[self.before..])?;
            self.buffer.truncate(self.before);
            if bytes.len() < GATHERED_BYTES {
                self.buffer.extend_from_slice(bytes);
            } else {
                memory.append(bytes)?;
            }
        }
        Ok(())
    }

    /// The most bytes that just gather.
    #[inline]
    fn buffered_bytes_max(&self) -> usize {
        self.before + if self.memory.is_some() { GATHERED_BYTES } else { BLOB_BYTES - 1 }
    }

    /// The bytes that were there before, with those of a small value, or else the blob of a large one.
    fn finish(mut self) -> Result<(Vec<u8>, Option<OwnBlob>)> {
        let Some(memory) = self.memory.take() else { return Ok((self.buffer, None)) };
        let blob = memory.finish(&self.buffer[self.before..])?;
        self.buffer.truncate(self.before);
        Ok((self.buffer, Some(blob)))
    }
}

impl Flavor for PayloadWriter<'_> {
    type Output = ();

    #[inline]
    fn try_extend(&mut self, bytes: &[u8]) -> postcard::Result<()> {
        if self.buffer.len() + bytes.len() > self.buffered_bytes_max() {
            return self.take_many(bytes);
        }
        self.buffer.extend_from_slice(bytes);
        Ok(())
    }

    #[inline]
    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        self.try_extend(&[byte])
    }

    fn finalize(self) -> postcard::Result<()> {
        Ok(())
    }
}

impl BlobWriter {
    /// A blob of about this size, if the manager has room for it.
    fn open(link: &Arc<Link>, bytes: u64) -> Result<BlobWriter> {
        let OpenedBlob { blob, takes_descriptor } = link.run(BlobOpen { bytes })?;
        let blob = OwnBlob { link: Arc::clone(link), id: blob, bytes: 0 };
        let memory = match takes_descriptor.then(MemoryWriter::new) {
            None => None,
            Some(Ok(memory)) => Some(memory),
            Some(Err(error)) => {
                log::debug!("a blob is sent in pieces, since there is no memory for it: {error}");
                None
            }
        };
        Ok(BlobWriter { blob, memory })
    }

    fn append(&mut self, bytes: &[u8]) -> Result<()> {
        match &mut self.memory {
            Some(memory) => memory.append(bytes).map_err(|error| {
                Error::new(ErrorKind::Limit, format!("this process has no memory for a large value: {error}"))
            }),
            None => self.write(bytes, false),
        }
    }

    /// Sends bytes in pieces.
    fn write(&mut self, bytes: &[u8], last: bool) -> Result<()> {
        let OwnBlob { link, id: blob, bytes: offset } = &mut self.blob;
        let mut pieces = bytes.chunks(PIECE_BYTES_MAX).peekable();
        loop {
            let piece = pieces.next().unwrap_or_default();
            let last = last && pieces.peek().is_none();
            if !piece.is_empty() || last {
                link.run(BlobWrite { blob: *blob, offset: *offset, bytes: piece, last })?;
                *offset += piece.len() as u64;
            }
            if pieces.peek().is_none() {
                return Ok(());
            }
        }
    }

    /// Makes the blob whole, with these last bytes.
    fn finish(mut self, rest: &[u8]) -> Result<OwnBlob> {
        self.append(rest)?;
        let Some(memory) = self.memory.take() else {
            self.write(&[], true)?;
            return Ok(self.blob);
        };
        let bytes = memory.bytes();
        let cannot = |error| Error::new(ErrorKind::Other, format!("a large value cannot be sealed: {error}"));
        let sealed = memory.seal().map_err(cannot)?;
        match self.blob.link.send_blob(self.blob.id, bytes, sealed.as_fd()) {
            Ok(true) => self.blob.bytes = bytes,
            Ok(false) => {
                log::debug!("a blob is sent in pieces, since its descriptor did not arrive");
                let mapped = SealedMemory::map(&sealed, bytes).map_err(cannot)?;
                self.write(&mapped, true)?;
            }
            Err(error) => return Err(error),
        }
        Ok(self.blob)
    }
}
