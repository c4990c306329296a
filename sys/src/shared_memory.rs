//! Memory that processes share: an anonymous file (memfd), mapped as an array of atomic words.
//!
//! The process that makes the memory seals it: its file cannot shrink, so nothing that one process does to the file can
//! hurt another that has mapped it. The others may still write anything into it: every word is an atomic, and the
//! reader of a word expects any value.

use std::fmt;
use std::fs::File;
use std::io;
use std::marker::PhantomData;
use std::ops::Deref;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU32, AtomicU64};

use memmap2::{MmapOptions, MmapRaw};
use rustix::fs::{
    FallocateFlags, MemfdFlags, SealFlags, fallocate, fcntl_add_seals, fcntl_get_seals, memfd_create,
};
use rustix::io::Errno;

use crate::limits;

/// The element of shared memory: an atomic integer, for which all bytes are a value.
pub trait Word: sealed::Sealed {}

impl<W: sealed::Sealed> Word for W {}

mod sealed {
    pub trait Sealed {}

    impl Sealed for super::AtomicU32 {}
    impl Sealed for super::AtomicU64 {}
}

/// An array of words in memory that other processes have mapped, too. A forked child shares it as well.
pub struct SharedWords<W> {
    /// The memory.
    map: MmapRaw,
    /// Its elements.
    words: PhantomData<W>,
}

/// Which processes may write into memory that this one makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writers {
    /// This process alone. Others can map the memory only for reading.
    ThisProcess,
    /// Every process that has the descriptor.
    All,
}

/// What this process does with memory that another has made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// It only reads. It may only load words, and only with relaxed ordering; anything else is for memory that it can
    /// write.
    Read,
    /// It reads and writes.
    Write,
}

impl<W: Word> SharedWords<W> {
    /// Makes memory of this many bytes, all of them 0, and returns it with the descriptor by which others map it. The
    /// system provides memory that only this process writes as it is written; it reserves other memory at once.
    ///
    /// # Errors
    ///
    /// If the system does not have enough memory, or this process may not make a file of that size.
    pub fn create(bytes: usize, writers: Writers) -> io::Result<(SharedWords<W>, OwnedFd)> {
        // Beyond that limit the kernel would end the process with SIGXFSZ.
        if limits::file_bytes_max() < bytes as u64 {
            return Err(Errno::FBIG.into());
        }
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        let file = File::from(memfd_create("rallypoint", flags)?);
        file.set_len(bytes as u64)?;
        if writers == Writers::All {
            // All of it will be used. A lack of memory is an error here, and would be a signal later.
            fallocate(&file, FallocateFlags::empty(), 0, bytes as u64)?;
        }
        // Mapped before it is sealed, since a seal may forbid later maps for writing.
        let map = MmapOptions::new().len(bytes).map_raw(&file)?;
        let mut seals = SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL;
        if writers == Writers::ThisProcess {
            seals |= SealFlags::FUTURE_WRITE;
        }
        fcntl_add_seals(&file, seals)?;
        Ok((SharedWords { map, words: PhantomData }, file.into()))
    }

    /// Maps memory that another process has made, and that has this many bytes by its account.
    ///
    /// # Errors
    ///
    /// With [`InvalidData`](io::ErrorKind::InvalidData) if the file is shorter than that, or could become so; if the
    /// system cannot map it.
    pub fn map(descriptor: OwnedFd, bytes: u64, access: Access) -> io::Result<SharedWords<W>> {
        let file = File::from(descriptor);
        let cannot_shrink = fcntl_get_seals(&file)?.contains(SealFlags::SHRINK);
        let length = usize::try_from(bytes)
            .ok()
            .filter(|_| bytes > 0 && file.metadata().is_ok_and(|file| file.len() >= bytes));
        let (true, Some(length)) = (cannot_shrink, length) else {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "the memory is smaller than announced, or could shrink",
            ));
        };
        let mut options = MmapOptions::new();
        options.len(length);
        let map = match access {
            Access::Read => options.map_raw_read_only(&file)?,
            Access::Write => options.map_raw(&file)?,
        };
        Ok(SharedWords { map, words: PhantomData })
    }
}

impl<W> SharedWords<W> {
    /// The size of the memory, in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.map.len()
    }
}

impl<W: Word> Deref for SharedWords<W> {
    type Target = [W];

    #[inline]
    #[allow(unsafe_code)]
    fn deref(&self) -> &[W] {
        // SAFETY: the map begins at a page, so it is aligned for any integer; it is as long as `map` says, and stays
        // where it is for as long as `self` lives. Its file is at least as long and cannot shrink: `create` has set its
        // length and sealed it, and `map` has checked both. So all of it is there. `W` is an atomic integer, for which
        // all bytes are a value, and other processes may write at any time, as other threads may. Where the map is for
        // reading alone, `Access::Read` says what is allowed; a store would end the process, and corrupts nothing.
        unsafe { std::slice::from_raw_parts(self.map.as_ptr().cast::<W>(), self.map.len() / size_of::<W>()) }
    }
}

impl<W> fmt::Debug for SharedWords<W> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "SharedWords of {} bytes", self.bytes())
    }
}

/// A file without a path, in memory. It lives as long as a process has it open. Only `/proc` shows its name.
///
/// # Errors
///
/// If the system has no memory or no descriptor left for it.
pub fn anonymous_file(name: &str) -> io::Result<File> {
    Ok(File::from(memfd_create(name, MemfdFlags::CLOEXEC)?))
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Seek, Write};
    use std::sync::atomic::Ordering;

    use super::*;

    fn memory(bytes: u64, seals: SealFlags) -> OwnedFd {
        let file = File::from(memfd_create("test", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING).unwrap());
        file.set_len(bytes).unwrap();
        fcntl_add_seals(&file, seals).unwrap();
        file.into()
    }

    #[test]
    fn what_one_map_writes_another_reads() {
        let (made, descriptor) = SharedWords::<AtomicU64>::create(4096, Writers::All).unwrap();
        let read =
            SharedWords::<AtomicU64>::map(descriptor.try_clone().unwrap(), 4096, Access::Read).unwrap();
        let written = SharedWords::<AtomicU64>::map(descriptor, 4096, Access::Write).unwrap();
        made[511].store(7, Ordering::SeqCst);
        written[0].store(u64::MAX, Ordering::SeqCst);
        assert_eq!((read.len(), read[511].load(Ordering::Relaxed)), (512, 7));
        assert_eq!(read[0].load(Ordering::Relaxed), u64::MAX);
        assert_eq!(made[0].load(Ordering::SeqCst), u64::MAX);
        assert_eq!((made.bytes(), read.bytes()), (4096, 4096));
    }

    #[test]
    fn nobody_shrinks_it_and_nobody_else_writes_where_that_is_not_meant() {
        let (made, descriptor) = SharedWords::<AtomicU32>::create(4096, Writers::ThisProcess).unwrap();
        let map =
            |access| SharedWords::<AtomicU32>::map(descriptor.try_clone().unwrap(), 4096, access).map(drop);
        assert!(map(Access::Write).is_err(), "a map for writing is refused");
        assert!(map(Access::Read).is_ok());
        let file = File::from(descriptor);
        assert!(file.set_len(0).is_err());
        assert!(file.set_len(8192).is_err());
        assert!((&file).write(b"x").is_err());
        made[0].store(1, Ordering::SeqCst);
        assert_eq!(made[0].load(Ordering::SeqCst), 1);
    }

    #[test]
    fn memory_that_could_go_away_is_not_mapped() {
        let map = |memory, bytes| SharedWords::<AtomicU32>::map(memory, bytes, Access::Read);
        assert!(map(memory(4096, SealFlags::empty()), 4096).is_err(), "it could be cut off");
        assert!(map(memory(4096, SealFlags::SHRINK), 8192).is_err(), "it is shorter");
        assert!(map(memory(4096, SealFlags::SHRINK), 0).is_err(), "there is nothing");
        assert!(map(File::open("/dev/null").unwrap().into(), 4096).is_err(), "it is no memory");
    }

    #[test]
    fn an_anonymous_file_is_read_as_it_was_written() {
        let mut file = anonymous_file("test").unwrap();
        file.write_all(b"text").unwrap();
        file.rewind().unwrap();
        let mut text = String::new();
        file.read_to_string(&mut text).unwrap();
        assert_eq!(text, "text");
    }
}
