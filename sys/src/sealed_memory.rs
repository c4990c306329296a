//! Sealed memory: bytes in an anonymous file (memfd) that nobody can change any more, passed on as a descriptor and
//! read where they are.
//!
//! A writer fills the file and seals it: from then on the kernel refuses every write, every map for writing, and every
//! change of the size, whichever process asks. It does not seal a file that is mapped for writing, or whose pages the
//! system still writes for someone. So the bytes that a receiver maps are as constant as those of an immutable value,
//! even if it does not trust the sender: that is what lets it read them as a slice.

use std::fmt;
use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::ops::Deref;
use std::os::fd::{AsFd, OwnedFd};

use memmap2::{MmapOptions, MmapRaw};
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, fcntl_get_seals, fstat, memfd_create};
use rustix::io::{Errno, pread};

use crate::limits;

/// What makes a file constant.
const SEALS: SealFlags = SealFlags::SHRINK.union(SealFlags::GROW).union(SealFlags::WRITE);

/// Memory that is written once, from its beginning to its end, and then sealed.
#[derive(Debug)]
pub struct MemoryWriter {
    file: File,
    bytes: u64,
}

/// Sealed memory, mapped for reading.
pub struct SealedMemory {
    map: MmapRaw,
}

/// Why memory is not what was announced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unsealed {
    /// The descriptor is not one of a file in memory that can be sealed.
    NoMemory,
    /// Its bytes could still change.
    Changeable,
    /// It has this many bytes, and another number was announced.
    OtherSize(u64),
}

impl MemoryWriter {
    /// Empty memory to write into.
    ///
    /// # Errors
    ///
    /// If the system has no memory or no descriptor left for it, or knows no such files.
    pub fn new() -> io::Result<MemoryWriter> {
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        Ok(MemoryWriter { file: File::from(memfd_create("rallypoint", flags)?), bytes: 0 })
    }

    /// Appends bytes.
    ///
    /// # Errors
    ///
    /// If the system has no memory left, or this process may not make a file so large. What was appended then is not
    /// known.
    pub fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let after = self.bytes + bytes.len() as u64;
        // Beyond that limit the kernel would end the process with SIGXFSZ.
        if limits::file_bytes_max() < after {
            return Err(Errno::FBIG.into());
        }
        self.file.write_all(bytes)?;
        self.bytes = after;
        Ok(())
    }

    /// How many bytes were appended.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Seals the memory.
    ///
    /// # Errors
    ///
    /// If the system refuses, as it does while something else writes into the memory.
    pub fn seal(self) -> io::Result<OwnedFd> {
        fcntl_add_seals(&self.file, SEALS | SealFlags::SEAL)?;
        Ok(self.file.into())
    }

    /// Takes what was appended back into the memory of this process.
    ///
    /// # Errors
    ///
    /// If the system cannot read it.
    pub fn into_vec(mut self) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::with_capacity(usize::try_from(self.bytes).map_err(|_| Errno::NOMEM)?);
        self.file.rewind()?;
        self.file.read_to_end(&mut bytes)?;
        Ok(bytes)
    }
}

/// Checks that this is memory of exactly this many bytes that nobody can change any more. Does not read it.
///
/// # Errors
///
/// If it is not.
pub fn check(memory: impl AsFd, bytes: u64) -> Result<(), Unsealed> {
    // Only files in memory have seals.
    let seals = fcntl_get_seals(&memory).map_err(|_| Unsealed::NoMemory)?;
    if !seals.contains(SEALS) {
        return Err(Unsealed::Changeable);
    }
    // Sealed, so this is how many there are forever.
    let size = fstat(&memory).map_err(|_| Unsealed::NoMemory)?.st_size;
    match u64::try_from(size) {
        Ok(size) if size == bytes => Ok(()),
        size => Err(Unsealed::OtherSize(size.unwrap_or(0))),
    }
}

/// Reads a part of sealed memory, up to its end.
///
/// # Errors
///
/// Those of pread(2).
pub fn read_part(memory: impl AsFd, offset: u64, bytes: &mut [u8]) -> io::Result<usize> {
    let mut read = 0;
    while read < bytes.len() {
        match pread(&memory, &mut bytes[read..], offset + read as u64) {
            Ok(0) => break,
            Ok(more) => read += more,
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(read)
}

impl SealedMemory {
    /// Maps memory that has this many bytes, and at least one.
    ///
    /// # Errors
    ///
    /// With [`InvalidData`](io::ErrorKind::InvalidData) if it is not sealed, or has another size; if the system cannot
    /// map it.
    pub fn map(memory: impl AsFd, bytes: u64) -> io::Result<SealedMemory> {
        check(&memory, bytes).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        let length = usize::try_from(bytes).map_err(|_| Errno::NOMEM)?;
        let memory = memory.as_fd();
        let map = MmapOptions::new().len(length).map_raw_read_only(&memory)?;
        Ok(SealedMemory { map })
    }
}

impl Deref for SealedMemory {
    type Target = [u8];

    #[inline]
    #[allow(unsafe_code)]
    fn deref(&self) -> &[u8] {
        // SAFETY: the map is as long as `map` says, and stays where it is for as long as `self` lives. `map` has
        // checked that its file is exactly as long, and that it is sealed: nobody can shrink it, so all of the map is
        // there, and nobody can write to it or map it for writing, so no byte changes while the slice lives. Bytes need
        // no alignment, and all of their values are valid.
        unsafe { std::slice::from_raw_parts(self.map.as_ptr(), self.map.len()) }
    }
}

impl fmt::Debug for SealedMemory {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "SealedMemory of {} bytes", self.map.len())
    }
}

impl fmt::Display for Unsealed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unsealed::NoMemory => {
                formatter.write_str("the descriptor is not one of memory that can be sealed")
            }
            Unsealed::Changeable => {
                formatter.write_str("the memory is not sealed, so that its bytes could change")
            }
            Unsealed::OtherSize(bytes) => {
                write!(formatter, "the memory has {bytes} bytes, which are not as many as announced")
            }
        }
    }
}

impl std::error::Error for Unsealed {}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;

    use super::*;

    fn written(parts: &[&[u8]]) -> MemoryWriter {
        let mut writer = MemoryWriter::new().unwrap();
        parts.iter().for_each(|part| writer.append(part).unwrap());
        writer
    }

    #[test]
    fn sealed_bytes_are_read_as_they_were_written_and_nobody_changes_them() {
        let writer = written(&[b"one ", b"two"]);
        assert_eq!(writer.bytes(), 7);
        let memory = writer.seal().unwrap();
        let mapped = SealedMemory::map(&memory, 7).unwrap();
        assert_eq!(&*mapped, b"one two");
        let mut part = [0; 8];
        assert_eq!(read_part(&memory, 4, &mut part).unwrap(), 3);
        assert_eq!(&part[..3], b"two");
        assert_eq!(read_part(&memory, 9, &mut part).unwrap(), 0);
        let file = File::from(memory);
        assert!(file.write_at(b"x", 0).is_err());
        assert!(file.set_len(0).is_err() && file.set_len(8).is_err());
        assert!(MmapOptions::new().map_raw(&file).is_err(), "it cannot be mapped for writing");
        drop(file);
        assert_eq!(&*mapped, b"one two");
    }

    #[test]
    fn what_is_not_sealed_or_not_as_announced_is_refused() {
        let check_map = |memory: &File, bytes| {
            assert!(SealedMemory::map(memory, bytes).is_err());
            check(memory, bytes).unwrap_err()
        };
        assert_eq!(check_map(&File::open("/dev/null").unwrap(), 0), Unsealed::NoMemory);
        assert_eq!(check_map(&tempfile(), 4), Unsealed::NoMemory);
        let open = written(&[b"four"]).file;
        assert_eq!(check_map(&open, 4), Unsealed::Changeable);
        fcntl_add_seals(&open, SealFlags::SHRINK | SealFlags::GROW).unwrap();
        assert_eq!(check_map(&open, 4), Unsealed::Changeable, "it could be written");
        fcntl_add_seals(&open, SealFlags::WRITE).unwrap();
        assert_eq!(check_map(&open, 5), Unsealed::OtherSize(4));
        assert_eq!(check(&open, 4), Ok(()));
        let sparse = MemoryWriter::new().unwrap();
        sparse.file.set_len(64 << 30).unwrap();
        let sparse = sparse.seal().unwrap();
        assert_eq!(
            check(&sparse, 4096),
            Err(Unsealed::OtherSize(64 << 30)),
            "its size counts, not its pages"
        );
    }

    fn tempfile() -> File {
        let flags = rustix::fs::OFlags::RDWR | rustix::fs::OFlags::TMPFILE;
        let file = rustix::fs::open(std::env::temp_dir(), flags, rustix::fs::Mode::RUSR).unwrap();
        let mut file = File::from(file);
        file.write_all(b"four").unwrap();
        file
    }

    #[test]
    fn memory_that_is_mapped_for_writing_is_not_sealed() {
        let writer = written(&[b"four"]);
        let map = MmapOptions::new().map_raw(&writer.file).unwrap();
        let file = writer.file.try_clone().unwrap();
        assert!(writer.seal().is_err());
        drop(map);
        MemoryWriter { file, bytes: 4 }.seal().unwrap();
    }

    #[test]
    fn what_was_written_comes_back() {
        assert_eq!(written(&[b"one ", b"two"]).into_vec().unwrap(), b"one two");
    }
}
