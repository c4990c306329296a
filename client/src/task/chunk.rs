//! How several calls of one function travel together.
//!
//! What the manager calls a task is a *chunk*: a count, and that many tuples of arguments one after the other. Its
//! result is the same count of results. The count is a `u32` in postcard's format, and so is everything after it.

use std::fmt;

use protocol::FailureKind;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::values::carry;
use crate::{Error, ErrorKind};

/// The most calls in one chunk. A call's arguments can be empty, so the number of bytes does not bound the count.
pub const CHUNK_ITEMS_MAX: u32 = 1 << 16;

/// The bytes at which a chunk of several calls is full, so that one frame holds some of them.
pub(crate) const CHUNK_BYTES: usize = 1 << 20;

/// The longest count, in bytes.
const COUNT_BYTES_MAX: usize = 5;

/// Builds a chunk, item by item.
#[derive(Debug)]
pub struct ChunkWriter {
    /// Space for the count, then the items.
    bytes: Vec<u8>,
    /// How many items.
    count: u32,
}

impl ChunkWriter {
    /// An empty chunk.
    pub fn new() -> ChunkWriter {
        ChunkWriter { bytes: vec![0; COUNT_BYTES_MAX], count: 0 }
    }

    /// Appends an item. After an error the chunk is spoiled, and must be dropped.
    pub fn push<T: Serialize>(&mut self, item: &T) -> Result<(), ChunkError> {
        let bytes = std::mem::take(&mut self.bytes);
        self.bytes = postcard::to_extend(item, bytes).map_err(ChunkError::Encode)?;
        self.count += 1;
        Ok(())
    }

    /// How many items there are.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// The most bytes that the chunk can have.
    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// The encoded chunk.
    pub fn finish(mut self) -> Vec<u8> {
        let mut space = [0; COUNT_BYTES_MAX];
        let count = postcard::to_slice(&self.count, &mut space).expect("a u32 takes at most five bytes");
        let start = COUNT_BYTES_MAX - count.len();
        self.bytes[start..COUNT_BYTES_MAX].copy_from_slice(count);
        self.bytes.drain(..start);
        self.bytes
    }
}

impl Default for ChunkWriter {
    fn default() -> ChunkWriter {
        ChunkWriter::new()
    }
}

/// Reads a whole chunk: as many items as it counts, with no bytes after them.
pub fn read_chunk<T: DeserializeOwned>(bytes: &[u8]) -> Result<Vec<T>, ChunkError> {
    let (count, mut rest): (u32, _) = postcard::take_from_bytes(bytes).map_err(ChunkError::Decode)?;
    if count > CHUNK_ITEMS_MAX {
        return Err(ChunkError::TooMany { count });
    }
    let mut items = Vec::with_capacity((count as usize).min(rest.len()));
    carry::take_failure();
    for _ in 0..count {
        let (item, after) = postcard::take_from_bytes(rest).map_err(|error| match carry::take_failure() {
            Some(error) => ChunkError::Proxy(error),
            None => ChunkError::Decode(error),
        })?;
        items.push(item);
        rest = after;
    }
    if !rest.is_empty() {
        return Err(ChunkError::Leftover { bytes: rest.len() });
    }
    Ok(items)
}

/// The reason why values or bytes are not a chunk.
#[derive(Clone, Debug)]
pub enum ChunkError {
    /// A value cannot be encoded.
    Encode(postcard::Error),
    /// The bytes do not decode as values of the type that belongs here.
    Decode(postcard::Error),
    /// A proxy among the values could not be connected to its object.
    Proxy(Error),
    /// The bytes announce more values than a chunk may have.
    TooMany {
        /// How many.
        count: u32,
    },
    /// Bytes are left after the last value, so the writer used another type.
    Leftover {
        /// How many.
        bytes: usize,
    },
}

impl ChunkError {
    /// The failure of a task whose arguments do not decode.
    pub fn failure_kind(&self) -> FailureKind {
        match self.error_kind() {
            ErrorKind::StaleInside => FailureKind::StaleEpoch,
            ErrorKind::NoSuchObjectInside => FailureKind::NoSuchObject,
            ErrorKind::WrongKindInside => FailureKind::WrongKind,
            _ => FailureKind::BadEncoding,
        }
    }

    /// The kind of the failure, for programs.
    pub(crate) fn error_kind(&self) -> ErrorKind {
        match self {
            ChunkError::Proxy(error) => error.kind().inside(),
            _ => ErrorKind::BadEncoding,
        }
    }
}

impl fmt::Display for ChunkError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ChunkError::Encode(postcard::Error::SerdeSerCustom) => {
                write!(formatter, "a value refused to be encoded")
            }
            ChunkError::Decode(postcard::Error::SerdeDeCustom) => {
                write!(formatter, "the type refused a decoded value")
            }
            ChunkError::Encode(error) => write!(formatter, "a value cannot be encoded: {error}"),
            ChunkError::Decode(error) => write!(formatter, "the bytes do not decode: {error}"),
            ChunkError::Proxy(error) => write!(formatter, "a proxy does not arrive: {error}"),
            ChunkError::TooMany { count } => {
                write!(
                    formatter,
                    "a chunk has at most {CHUNK_ITEMS_MAX} calls, but this one announces {count}"
                )
            }
            ChunkError::Leftover { bytes } => write!(formatter, "{bytes} bytes are left over"),
        }
    }
}

impl std::error::Error for ChunkError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk<T: Serialize>(items: &[T]) -> Vec<u8> {
        let mut writer = ChunkWriter::new();
        for item in items {
            writer.push(item).unwrap();
        }
        assert_eq!(writer.count() as usize, items.len());
        writer.finish()
    }

    #[test]
    fn chunks_of_any_size_come_back() {
        for count in [0, 1, 127, 128, 20_000] {
            let items: Vec<(u32, String)> = (0..count).map(|number| (number, number.to_string())).collect();
            assert_eq!(read_chunk::<(u32, String)>(&chunk(&items)).unwrap(), items);
        }
    }

    #[test]
    fn the_bytes_are_a_count_and_the_items() {
        assert_eq!(chunk(&[(7_u8, true), (8, false)]), [2, 7, 1, 8, 0]);
        assert_eq!(chunk(&[(), (), ()]), [3]);
        assert_eq!(read_chunk::<()>(&[3]).unwrap(), [(), (), ()]);
    }

    #[test]
    fn a_count_that_nobody_sends_is_refused_before_it_costs_anything() {
        let mut bytes = Vec::new();
        for count in [CHUNK_ITEMS_MAX + 1, u32::MAX] {
            bytes.clear();
            bytes = postcard::to_extend(&count, bytes).unwrap();
            let error = read_chunk::<()>(&bytes).unwrap_err();
            assert!(matches!(error, ChunkError::TooMany { count: announced } if announced == count));
        }
    }

    #[test]
    fn other_bytes_are_refused_in_words() {
        assert!(matches!(read_chunk::<u32>(&[]), Err(ChunkError::Decode(_))));
        assert!(matches!(read_chunk::<u32>(&[2, 1]), Err(ChunkError::Decode(_))));
        assert!(matches!(read_chunk::<u8>(&[1, 1, 1, 1]), Err(ChunkError::Leftover { bytes: 2 })));
        assert_eq!(ChunkError::Leftover { bytes: 2 }.to_string(), "2 bytes are left over");
        assert!(matches!(read_chunk::<bool>(&[1, 7]), Err(ChunkError::Decode(_))));
    }
}
