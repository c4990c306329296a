//! Memory that a manager shares: mapped here, and read or written as atomic words.

use std::fmt;
use std::fs::File;
use std::io;
use std::marker::PhantomData;
use std::ops::Deref;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU32, AtomicU64};

use memmap2::{MmapOptions, MmapRaw};
use rustix::fs::{SealFlags, fcntl_get_seals};

/// What a segment is an array of.
pub(crate) trait Word: sealed::Word {}

impl<W: sealed::Word> Word for W {}

mod sealed {
    /// An atomic integer, for which all bytes are a value.
    pub(crate) trait Word {}

    impl Word for super::AtomicU32 {}
    impl Word for super::AtomicU64 {}
}

/// Shared memory: an array of words. A forked child shares it too.
pub(crate) struct Segment<W> {
    map: MmapRaw,
    words: PhantomData<W>,
}

/// What this process does with a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// It only reads. Words may only be loaded, and only with relaxed ordering; anything else is for memory that can be
    /// written.
    Read,
    /// It reads and writes.
    Write,
}

impl<W: Word> Segment<W> {
    /// Maps memory that a manager has handed over, of which it says that there are so many bytes.
    pub(crate) fn map(descriptor: OwnedFd, bytes: u64, access: Access) -> io::Result<Segment<W>> {
        let file = File::from(descriptor);
        let cannot_shrink = fcntl_get_seals(&file)?.contains(SealFlags::SHRINK);
        let length = usize::try_from(bytes)
            .ok()
            .filter(|_| bytes > 0 && file.metadata().is_ok_and(|file| file.len() >= bytes));
        let (true, Some(length)) = (cannot_shrink, length) else {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the memory is not what was said of it"));
        };
        let mut options = MmapOptions::new();
        options.len(length);
        let map = match access {
            Access::Read => options.map_raw_read_only(&file)?,
            Access::Write => options.map_raw(&file)?,
        };
        Ok(Segment { map, words: PhantomData })
    }
}

impl<W: Word> Deref for Segment<W> {
    type Target = [W];

    #[allow(unsafe_code)]
    fn deref(&self) -> &[W] {
        // SAFETY: the map begins at a page, so it is aligned for any integer; it is as long as `map` says, and stays
        // where it is for as long as `self`. Its file was longer than that when it was mapped and can not shrink, so
        // all of it is there. `W` is an atomic integer, for which all bytes are a value, and other processes may
        // write at any time, as other threads may. Where the map is for reading, `Access::Read` says what is allowed.
        unsafe { std::slice::from_raw_parts(self.map.as_ptr().cast::<W>(), self.map.len() / size_of::<W>()) }
    }
}

impl<W> fmt::Debug for Segment<W> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Segment of {} bytes", self.map.len())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use rustix::fs::{MemfdFlags, fcntl_add_seals, memfd_create};

    use super::*;

    fn memory(bytes: u64, seals: SealFlags) -> OwnedFd {
        let file = File::from(memfd_create("test", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING).unwrap());
        file.set_len(bytes).unwrap();
        fcntl_add_seals(&file, seals).unwrap();
        file.into()
    }

    #[test]
    fn what_is_written_is_read_by_another_map() {
        let memory = memory(4096, SealFlags::SHRINK);
        let written = Segment::<AtomicU64>::map(memory.try_clone().unwrap(), 4096, Access::Write).unwrap();
        let read = Segment::<AtomicU64>::map(memory, 4096, Access::Read).unwrap();
        written[511].store(u64::MAX, Ordering::SeqCst);
        assert_eq!((read.len(), read[511].load(Ordering::Relaxed)), (512, u64::MAX));
    }

    #[test]
    fn memory_that_could_go_away_is_not_mapped() {
        let map = |memory, bytes| Segment::<AtomicU32>::map(memory, bytes, Access::Read);
        assert!(map(memory(4096, SealFlags::empty()), 4096).is_err(), "it could be cut off");
        assert!(map(memory(4096, SealFlags::SHRINK), 8192).is_err(), "it is shorter");
        assert!(map(memory(4096, SealFlags::SHRINK), 0).is_err(), "there is nothing");
        assert!(map(std::fs::File::open("/dev/null").unwrap().into(), 4096).is_err(), "it is no memory");
    }
}
