//! Memory that the processes of a measurement share: words to wait for, and moments.
//!
//! The one place with `unsafe`: nothing else maps a file that other processes write.

#![allow(unsafe_code)]

use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::ptr;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use anyhow::{Context, Result, ensure};
use rustix::fs::{MemfdFlags, ftruncate, memfd_create};
use rustix::io::Errno;
use rustix::mm::{MapFlags, ProtFlags, mmap};
use rustix::thread::futex;
use rustix::time::{ClockId, Timespec, clock_gettime};

/// How large the memory is: a page holds it all.
const BYTES: usize = 4096;

/// How long to wait for the end of what takes less than a second.
const DONE_TIME_MAX: Timespec = Timespec { tv_sec: 60, tv_nsec: 0 };

const _: () = assert!(size_of::<Shared>() <= BYTES);

/// A word on a cache line of its own, which processes change and wait for.
#[derive(Debug)]
#[repr(C, align(64))]
pub(crate) struct Word(AtomicU32);

/// What the processes of a measurement share.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Shared {
    /// Counts the rounds: the participants wait for the next.
    pub(crate) gate: Word,
    /// What is waited for in the measurement.
    pub(crate) word: Word,
    /// How many have begun to wait.
    pub(crate) arrived: Word,
    /// How many are awake again.
    pub(crate) awake: Word,
    /// Whether it is over: what the measuring process waits for.
    pub(crate) done: Word,
    /// The moment in which it was over, by [`now_ns`].
    pub(crate) done_ns: AtomicU64,
}

impl Shared {
    /// New shared memory, all zero, and the path by which other processes open it while this one lives.
    pub(crate) fn create() -> Result<(&'static Shared, String)> {
        let file = File::from(memfd_create("bench", MemfdFlags::CLOEXEC)?);
        ftruncate(&file, BYTES as u64)?;
        let path = format!("/proc/{}/fd/{}", std::process::id(), file.as_raw_fd());
        let shared = Shared::map(&file)?;
        // The path is good for as long as the descriptor is open.
        std::mem::forget(file);
        Ok((shared, path))
    }

    /// The memory that another process created.
    pub(crate) fn open(path: impl AsRef<Path>) -> Result<&'static Shared> {
        let path = path.as_ref();
        let file = File::options().read(true).write(true).open(path);
        Shared::map(&file.with_context(|| format!("opening shared memory at {}", path.display()))?)
    }

    fn map(file: &File) -> Result<&'static Shared> {
        // SAFETY: a fresh mapping, at an address that the kernel chooses, touches nothing that is there.
        let address = unsafe {
            mmap(ptr::null_mut(), BYTES, ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED, file, 0)?
        };
        // SAFETY: the mapping is page-aligned, as large as the file and as `Shared`, and never unmapped; the file is
        // of this program's making and is never made shorter. It began as zeros, which is valid for atomics, and all
        // processes access it as atomics alone.
        Ok(unsafe { &*address.cast::<Shared>() })
    }

    /// Says that it is over, now, to the waiter in [`await_done`](Self::await_done).
    pub(crate) fn finish(&self) {
        self.done_ns.store(now_ns(), Ordering::Release);
        self.done.set(1);
        self.done.wake(1);
    }

    /// Waits until somebody says that it is over. The moment in which it was.
    pub(crate) fn await_done(&self) -> Result<u64> {
        ensure!(self.done.wait_while_for(0, Some(DONE_TIME_MAX)), "not everybody has woken up");
        Ok(self.done_ns.load(Ordering::Acquire))
    }
}

impl Word {
    /// What it is.
    pub(crate) fn get(&self) -> u32 {
        self.0.load(Ordering::Acquire)
    }

    /// What it is, as cheaply as memory can be read.
    pub(crate) fn peek(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }

    /// Makes it this. Wakes nobody.
    pub(crate) fn set(&self, value: u32) {
        self.0.store(value, Ordering::Release);
    }

    /// Adds one. What it is then.
    pub(crate) fn increment(&self) -> u32 {
        self.0.fetch_add(1, Ordering::AcqRel) + 1
    }

    /// Wakes this many waiters, at most.
    pub(crate) fn wake(&self, waiters: u32) {
        // The address is that of a word, so nothing can be wrong with it.
        let _ = futex::wake(&self.0, futex::Flags::empty(), waiters);
    }

    /// Wakes all waiters.
    pub(crate) fn wake_all(&self) {
        self.wake(i32::MAX as u32);
    }

    /// Waits, in the kernel, until it is something else.
    pub(crate) fn wait_while(&self, value: u32) {
        self.wait_while_for(value, None);
    }

    /// The same for this long at most. Whether it is something else.
    fn wait_while_for(&self, value: u32, time_max: Option<Timespec>) -> bool {
        while self.get() == value {
            match futex::wait(&self.0, futex::Flags::empty(), value, time_max.as_ref()) {
                Ok(()) | Err(Errno::AGAIN | Errno::INTR) => {}
                Err(Errno::TIMEDOUT) => return false,
                Err(error) => panic!("a word of shared memory cannot be waited for: {error}"),
            }
        }
        true
    }
}

/// This moment, in nanoseconds of the clock that all processes share.
pub(crate) fn now_ns() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}
