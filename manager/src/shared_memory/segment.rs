//! Memory that is shared with clients: a file without a name, mapped here, whose descriptor they get.
//!
//! The file can not shrink, so whoever has it mapped can not be hurt by what others do to it. What they write into it
//! is another matter: every word is an atomic, and every value of one is expected.

use std::fmt;
use std::fs::File;
use std::io;
use std::marker::PhantomData;
use std::ops::Deref;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU32, AtomicU64};

use memmap2::{MmapOptions, MmapRaw};
use rustix::fs::{FallocateFlags, MemfdFlags, SealFlags, fallocate, fcntl_add_seals, memfd_create};
use rustix::io::Errno;
use rustix::process::{Resource, getrlimit};

/// What a segment is an array of.
pub(crate) trait Word: sealed::Word {}

impl<W: sealed::Word> Word for W {}

mod sealed {
    /// An atomic integer, for which all bytes are a value.
    pub(crate) trait Word {}

    impl Word for super::AtomicU32 {}
    impl Word for super::AtomicU64 {}
}

/// Shared memory: an array of words, all of them 0 at first. Memory is used only for those that were written.
pub(crate) struct Segment<W> {
    /// The memory.
    map: MmapRaw,
    /// What it is an array of.
    words: PhantomData<W>,
}

/// Who may write into a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Writers {
    /// Only who has made it. Clients can map it for reading alone.
    ThisProcess,
    /// Everybody who has its descriptor.
    All,
}

impl<W: Word> Segment<W> {
    /// Makes a segment of so many bytes, and returns with it what clients need to map it.
    pub(crate) fn new(bytes: usize, writers: Writers) -> io::Result<(Segment<W>, OwnedFd)> {
        // Beyond that limit the kernel would end the process with SIGXFSZ.
        if getrlimit(Resource::Fsize).current.is_some_and(|most| most < bytes as u64) {
            return Err(Errno::FBIG.into());
        }
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        let file = File::from(memfd_create("rallypoint", flags)?);
        file.set_len(bytes as u64)?;
        if writers == Writers::All {
            // All of it will be used. That there is none left is an error here, and would be a signal later.
            fallocate(&file, FallocateFlags::empty(), 0, bytes as u64)?;
        }
        // Mapped first, as later maps for writing may be what is sealed.
        let map = MmapOptions::new().len(bytes).map_raw(&file)?;
        let mut seals = SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL;
        if writers == Writers::ThisProcess {
            seals |= SealFlags::FUTURE_WRITE;
        }
        fcntl_add_seals(&file, seals)?;
        Ok((Segment { map, words: PhantomData }, file.into()))
    }
}

impl<W> Segment<W> {
    /// How many bytes there are.
    pub(crate) fn bytes(&self) -> usize {
        self.map.len()
    }
}

impl<W: Word> Deref for Segment<W> {
    type Target = [W];

    #[allow(unsafe_code)]
    fn deref(&self) -> &[W] {
        // SAFETY: the map begins at a page, so it is aligned for any integer; it is as long as `map` says, and stays
        // where it is for as long as `self`. Its file can not shrink, so all of it is there. `W` is an atomic integer,
        // for which all bytes are a value, and other processes may write at any time, as other threads may.
        unsafe { std::slice::from_raw_parts(self.map.as_ptr().cast::<W>(), self.map.len() / size_of::<W>()) }
    }
}

impl<W> fmt::Debug for Segment<W> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Segment of {} bytes", self.bytes())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use super::*;

    #[test]
    fn what_one_map_writes_another_reads() {
        let (segment, descriptor) = Segment::<AtomicU64>::new(4096, Writers::All).unwrap();
        let map = MmapOptions::new().len(4096).map_raw(&File::from(descriptor)).unwrap();
        let other = Segment::<AtomicU64> { map, words: PhantomData };
        segment[511].store(7, Ordering::SeqCst);
        other[0].store(8, Ordering::SeqCst);
        assert_eq!((other.len(), other[511].load(Ordering::SeqCst)), (512, 7));
        assert_eq!(segment[0].load(Ordering::SeqCst), 8);
    }

    #[test]
    fn nobody_shrinks_it_and_nobody_else_writes_where_that_is_not_meant() {
        let (segment, descriptor) = Segment::<AtomicU32>::new(4096, Writers::ThisProcess).unwrap();
        let file = File::from(descriptor);
        assert!(file.set_len(0).is_err());
        assert!(file.set_len(8192).is_err());
        assert!(MmapOptions::new().len(4096).map_raw(&file).is_err(), "a map for writing is refused");
        assert!(std::io::Write::write(&mut &file, b"x").is_err());
        assert!(MmapOptions::new().len(4096).map_raw_read_only(&file).is_ok());
        segment[0].store(1, Ordering::SeqCst);
        assert_eq!(segment[0].load(Ordering::SeqCst), 1);
    }
}
