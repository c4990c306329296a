//! Memory that the processes of a measurement share: words to wait on, and a time.
//!
//! This file is unsafe because it maps memory that other processes write, which nothing safe can offer.

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

/// The size of the memory: one page.
const BYTES: usize = 4096;

/// How long to wait for the end of a measurement that takes less than a second.
const DONE_TIME_MAX: Timespec = Timespec { tv_sec: 60, tv_nsec: 0 };

const _: () = assert!(size_of::<MeasurementMemory>() <= BYTES);

/// A word on a cache line of its own, which processes change and wait on.
#[derive(Debug)]
#[repr(C, align(64))]
pub(crate) struct PaddedWord(AtomicU32);

/// What the processes of a measurement share.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct MeasurementMemory {
    /// The number of the round: the participants wait for the next.
    pub(crate) gate: PaddedWord,
    /// The word that the measured processes wait on.
    pub(crate) word: PaddedWord,
    /// How many threads have begun to wait.
    pub(crate) arrived: PaddedWord,
    /// How many threads are awake again.
    pub(crate) awake: PaddedWord,
    /// Whether the measurement is over, which the measuring process waits for.
    pub(crate) done: PaddedWord,
    /// When it was over, by [`now_ns`].
    pub(crate) done_ns: AtomicU64,
}

impl MeasurementMemory {
    /// New shared memory, all zero, and the path by which other processes open it while this one lives.
    pub(crate) fn create() -> Result<(&'static MeasurementMemory, String)> {
        let file = File::from(memfd_create("bench", MemfdFlags::CLOEXEC)?);
        ftruncate(&file, BYTES as u64)?;
        let path = format!("/proc/{}/fd/{}", std::process::id(), file.as_raw_fd());
        let shared = MeasurementMemory::map(&file)?;
        // The path works as long as the descriptor is open.
        std::mem::forget(file);
        Ok((shared, path))
    }

    /// The memory that another process created.
    pub(crate) fn open(path: impl AsRef<Path>) -> Result<&'static MeasurementMemory> {
        let path = path.as_ref();
        let file = File::options().read(true).write(true).open(path);
        MeasurementMemory::map(&file.with_context(|| format!("opening shared memory at {}", path.display()))?)
    }

    fn map(file: &File) -> Result<&'static MeasurementMemory> {
        // SAFETY: a fresh mapping, at an address that the kernel chooses, touches nothing that is there.
        let address = unsafe {
            mmap(ptr::null_mut(), BYTES, ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED, file, 0)?
        };
        // SAFETY: the mapping is page-aligned, as large as the file and as `MeasurementMemory`, and never unmapped;
        // this program has made the file and never shortens it. It began as zeros, which is valid for atomics, and all
        // processes access it as atomics alone.
        Ok(unsafe { &*address.cast::<MeasurementMemory>() })
    }

    /// Ends the measurement now, and wakes the waiter in [`await_done`](Self::await_done).
    pub(crate) fn finish(&self) {
        self.done_ns.store(now_ns(), Ordering::Release);
        self.done.set(1);
        self.done.wake(1);
    }

    /// Waits until the measurement is over. Returns when that was.
    pub(crate) fn await_done(&self) -> Result<u64> {
        ensure!(self.done.wait_while_for(0, Some(DONE_TIME_MAX)), "not all waiters have woken up");
        Ok(self.done_ns.load(Ordering::Acquire))
    }
}

impl PaddedWord {
    /// The value.
    pub(crate) fn get(&self) -> u32 {
        self.0.load(Ordering::Acquire)
    }

    /// The value, by the cheapest read of memory.
    pub(crate) fn peek(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }

    /// Stores a value. Wakes nobody.
    pub(crate) fn set(&self, value: u32) {
        self.0.store(value, Ordering::Release);
    }

    /// Adds one. Returns the new value.
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

    /// Waits in the kernel while it has this value.
    pub(crate) fn wait_while(&self, value: u32) {
        self.wait_while_for(value, None);
    }

    /// The same, for this time at most. Returns whether the value has changed.
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
