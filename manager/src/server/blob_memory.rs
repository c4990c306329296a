//! The memory of blobs: kept here from when it comes to when the core frees the blob.
//!
//! A blob is a descriptor of sealed memory, which the manager neither maps nor reads, but passes on. Only where no
//! descriptor can come, its bytes come in pieces and are kept on the heap.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use protocol::{BlobId, Code, Payload, Refusal};
use sys::sealed_memory;

use super::closer::drop_elsewhere;
use super::connection_table::ConnectionSlot;
use super::number_map::NumberMap;

/// The descriptors of blobs may be one part in this many of all descriptors.
const PART_OF_DESCRIPTORS: u64 = 4;

/// The memory of all blobs.
#[derive(Debug)]
pub(crate) struct BlobMemory {
    stored: NumberMap<BlobId, StoredBlob>,
    /// How many of them have or await a descriptor.
    descriptors: u64,
    /// How many may.
    descriptors_max: u64,
    /// The connections that may send descriptors, and the one of each that came last and that no frame has claimed.
    pub(super) receivers: NumberMap<ConnectionSlot, Option<OwnedFd>>,
    /// The memory that came with the input that is being applied.
    pub(super) arrived: Option<OwnedFd>,
}

/// The memory of one blob.
#[derive(Debug)]
enum StoredBlob {
    /// Its descriptor is to come.
    Awaited,
    /// It is sealed.
    Sealed(Arc<OwnedFd>),
    /// It came, or comes, in pieces.
    Pieces(Vec<u8>),
}

impl BlobMemory {
    /// No blobs.
    pub(crate) fn new() -> BlobMemory {
        BlobMemory {
            stored: NumberMap::default(),
            descriptors: 0,
            descriptors_max: sys::limits::descriptors_max() / PART_OF_DESCRIPTORS,
            receivers: NumberMap::default(),
            arrived: None,
        }
    }

    /// Where to keep the descriptor that came last over a connection, if any are taken from it.
    pub(super) fn receiver(&mut self, slot: ConnectionSlot) -> Option<&mut Option<OwnedFd>> {
        if self.receivers.is_empty() { None } else { self.receivers.get_mut(&slot) }
    }

    /// Forgets a connection that is closed.
    pub(super) fn forget_receiver(&mut self, slot: ConnectionSlot) {
        if !self.receivers.is_empty() {
            self.receivers.remove(&slot).flatten().into_iter().for_each(drop_elsewhere);
        }
    }

    /// Makes place for a blob. Returns whether a descriptor can be taken.
    pub(super) fn open(&mut self, blob: BlobId, passes_descriptors: bool) -> bool {
        let takes_descriptor = passes_descriptors && self.descriptors < self.descriptors_max;
        let place = if takes_descriptor { StoredBlob::Awaited } else { StoredBlob::Pieces(Vec::new()) };
        self.descriptors += u64::from(takes_descriptor);
        self.stored.insert(blob, place);
        takes_descriptor
    }

    pub(super) fn keep_arrived(&mut self, blob: BlobId) {
        let Some(memory) = self.arrived.take() else { return };
        let place = self.stored.get_mut(&blob);
        if let Some(place) = place {
            self.descriptors += u64::from(!place.has_descriptor());
            *place = StoredBlob::Sealed(Arc::new(memory));
        }
    }

    pub(super) fn append(&mut self, blob: BlobId, bytes: &[u8]) {
        let Some(place) = self.stored.get_mut(&blob) else { return };
        if let StoredBlob::Pieces(pieces) = place {
            return pieces.extend_from_slice(bytes);
        }
        self.descriptors -= u64::from(place.has_descriptor());
        *place = StoredBlob::Pieces(bytes.to_vec());
    }

    pub(super) fn free(&mut self, blob: BlobId) {
        if let Some(place) = self.stored.remove(&blob) {
            self.descriptors -= u64::from(place.has_descriptor());
            drop_elsewhere(place);
        }
    }

    /// The sealed memory of a blob, if it has some.
    pub(super) fn sealed(&self, blob: BlobId) -> Option<&Arc<OwnedFd>> {
        match self.stored.get(&blob) {
            Some(StoredBlob::Sealed(memory)) => Some(memory),
            _ => None,
        }
    }

    /// A piece of a blob.
    pub(super) fn read(&self, blob: BlobId, offset: u64, bytes: u32) -> Result<Payload, Refusal> {
        match self.stored.get(&blob) {
            Some(StoredBlob::Sealed(memory)) => {
                let mut piece = vec![0; bytes as usize];
                let read = sealed_memory::read_part(&**memory, offset, &mut piece);
                let read = read.map_err(|error| {
                    let text = format!("the memory of a blob cannot be read: {error}");
                    Refusal::new(Code::LimitReached, text)
                })?;
                Ok(Payload::from(&piece[..read]))
            }
            Some(StoredBlob::Pieces(pieces)) => {
                let start = usize::try_from(offset).map_or(pieces.len(), |offset| offset.min(pieces.len()));
                let end = start.saturating_add(bytes as usize).min(pieces.len());
                Ok(Payload::from(&pieces[start..end]))
            }
            Some(StoredBlob::Awaited) | None => Ok(Payload::from([].as_slice())),
        }
    }
}

impl StoredBlob {
    fn has_descriptor(&self) -> bool {
        matches!(self, StoredBlob::Awaited | StoredBlob::Sealed(_))
    }
}
