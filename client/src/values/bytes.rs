//! Bytes that are read where they came.

use std::cell::RefCell;
use std::fmt;
use std::ops::{Bound, Deref, Range, RangeBounds};
use std::sync::Arc;

use serde::de::{Error as _, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sys::sealed_memory::SealedMemory;

/// Bytes that never change, cheap to clone and to cut: for arguments and results of tasks and items of queues that are
/// large.
///
/// They travel like a `Vec<u8>`, and a function that takes one can be called with the other. What is large travels as
/// memory, from some 256 KiB on; a `Bytes` that a process receives is a view of that memory, so that nothing copies the
/// bytes after their sender has. The view keeps all of the memory that came with it, even if it is small itself.
///
/// ```
/// use client::Bytes;
///
/// let bytes = Bytes::from(b"header and body".to_vec());
/// let body = bytes.slice(11..);
/// assert_eq!(&*body, b"body");
/// ```
#[derive(Clone, Default)]
pub struct Bytes {
    memory: BytesMemory,
    range: Range<usize>,
}

#[derive(Clone)]
enum BytesMemory {
    Heap(Arc<Vec<u8>>),
    Sealed(Arc<SealedMemory>),
}

impl Bytes {
    /// No bytes.
    pub fn new() -> Bytes {
        Bytes::default()
    }

    /// A part of these bytes, which keeps the same memory.
    ///
    /// # Panics
    ///
    /// If the range is not one of these bytes.
    pub fn slice(&self, range: impl RangeBounds<usize>) -> Bytes {
        let start = match range.start_bound() {
            Bound::Included(&start) => start,
            Bound::Excluded(&before) => before + 1,
            Bound::Unbounded => 0,
        };
        let end = match range.end_bound() {
            Bound::Included(&last) => last + 1,
            Bound::Excluded(&end) => end,
            Bound::Unbounded => self.len(),
        };
        assert!(start <= end && end <= self.len(), "a range of {start}..{end} in {} bytes", self.len());
        let range = self.range.start + start..self.range.start + end;
        Bytes { memory: self.memory.clone(), range }
    }
}

impl Default for BytesMemory {
    fn default() -> BytesMemory {
        BytesMemory::Heap(Arc::default())
    }
}

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        let all: &[u8] = match &self.memory {
            BytesMemory::Heap(bytes) => bytes,
            BytesMemory::Sealed(memory) => memory,
        };
        &all[self.range.clone()]
    }
}

impl AsRef<[u8]> for Bytes {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl From<Vec<u8>> for Bytes {
    fn from(bytes: Vec<u8>) -> Bytes {
        let range = 0..bytes.len();
        Bytes { memory: BytesMemory::Heap(Arc::new(bytes)), range }
    }
}

impl From<&[u8]> for Bytes {
    fn from(bytes: &[u8]) -> Bytes {
        bytes.to_vec().into()
    }
}

impl PartialEq for Bytes {
    fn eq(&self, other: &Bytes) -> bool {
        **self == **other
    }
}

impl Eq for Bytes {}

/// Shows how many there are.
impl fmt::Debug for Bytes {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Bytes({} bytes)", self.len())
    }
}

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self)
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Bytes, D::Error> {
        struct ViewVisitor;

        impl<'de> Visitor<'de> for ViewVisitor {
            type Value = Bytes;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("bytes")
            }

            fn visit_borrowed_bytes<E: serde::de::Error>(self, bytes: &'de [u8]) -> Result<Bytes, E> {
                Ok(view(bytes).unwrap_or_else(|| bytes.into()))
            }

            fn visit_bytes<E: serde::de::Error>(self, bytes: &[u8]) -> Result<Bytes, E> {
                Ok(bytes.into())
            }

            fn visit_byte_buf<E: serde::de::Error>(self, bytes: Vec<u8>) -> Result<Bytes, E> {
                Ok(bytes.into())
            }

            fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut sequence: A) -> Result<Bytes, A::Error> {
                let mut bytes = Vec::new();
                while let Some(byte) = sequence.next_element::<u8>()? {
                    bytes.try_reserve(1).map_err(A::Error::custom)?;
                    bytes.push(byte);
                }
                Ok(bytes.into())
            }
        }

        deserializer.deserialize_bytes(ViewVisitor)
    }
}

thread_local! {
    /// The memory from which this thread reads a value.
    static MEMORY: RefCell<Option<Arc<SealedMemory>>> = const { RefCell::new(None) };
}

/// Reads a value from this memory. What it has of type [`Bytes`] becomes a view of it.
pub(crate) fn read_in_place<R>(memory: &Arc<SealedMemory>, read: impl FnOnce(&[u8]) -> R) -> R {
    /// Restores what an outer reading has, even if `read` panics.
    struct OuterMemory(Option<Arc<SealedMemory>>);
    impl Drop for OuterMemory {
        fn drop(&mut self) {
            MEMORY.set(self.0.take());
        }
    }

    let _outer = OuterMemory(MEMORY.replace(Some(Arc::clone(memory))));
    read(memory)
}

/// These bytes as a view, if they are in the memory from which this thread reads.
fn view(bytes: &[u8]) -> Option<Bytes> {
    MEMORY.with_borrow(|memory| {
        let memory = memory.as_ref()?;
        let (all, part) = (memory.as_ptr_range(), bytes.as_ptr_range());
        // An empty slice may be anywhere.
        let is_inside = !bytes.is_empty() && all.start <= part.start && part.end <= all.end;
        let start = part.start.addr().checked_sub(all.start.addr()).filter(|_| is_inside)?;
        let range = start..start + bytes.len();
        Some(Bytes { memory: BytesMemory::Sealed(Arc::clone(memory)), range })
    })
}

#[cfg(test)]
mod tests {
    use sys::sealed_memory::MemoryWriter;

    use super::*;
    use crate::values::deserializer::read_first;

    #[test]
    fn bytes_travel_like_a_vector_of_bytes() {
        let bytes = Bytes::from(b"some bytes".to_vec());
        let encoded = postcard::to_allocvec(&bytes).unwrap();
        assert_eq!(encoded, postcard::to_allocvec(&bytes.to_vec()).unwrap());
        assert_eq!(read_first::<Bytes>(&encoded).unwrap().0, bytes);
        assert_eq!(bytes.slice(5..).slice(..=0), Bytes::from(&b"b"[..]));
        assert!(bytes.slice(10..).is_empty());
    }

    #[test]
    fn bytes_that_are_read_in_place_are_not_copied() {
        let encoded = postcard::to_allocvec(&(Bytes::from(vec![7; 5000]), 8_u8)).unwrap();
        let mut writer = MemoryWriter::new().unwrap();
        writer.append(&encoded).unwrap();
        let memory = writer.seal().unwrap();
        let memory = Arc::new(SealedMemory::map(&memory, encoded.len() as u64).unwrap());
        let read = |bytes: &[u8]| read_first::<(Bytes, u8)>(bytes).unwrap().0;
        let (view, eight) = read_in_place(&memory, read);
        let place = view.as_ptr();
        assert!(memory.as_ptr_range().contains(&place) && eight == 8);
        let copy = read(&memory).0;
        assert!(
            !memory.as_ptr_range().contains(&copy.as_ptr()),
            "nothing says that it may refer to the memory"
        );
        drop(memory);
        assert_eq!((view.as_ptr(), &*view), (place, [7; 5000].as_slice()));
    }

    #[test]
    #[should_panic(expected = "a range of 2..4 in 3 bytes")]
    fn a_part_lies_within_the_whole() {
        let _ = Bytes::from(vec![1, 2, 3]).slice(2..4);
    }
}
