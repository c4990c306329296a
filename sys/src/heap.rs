//! How the C library frees the memory of this process.

#![allow(unsafe_code)]

use std::hint::black_box;

/// After how many steps of work what was freed is sorted.
const STEPS_PER_SORT: u64 = 1_024;

/// What this process frees, and has the C library sort in time.
///
/// glibc puts what is freed into one list, and sorts that when somebody asks for a size of which it has nothing: up to
/// ten thousand pieces for each such request, which takes milliseconds. Requests for common sizes need no sorting, so
/// the list grows meanwhile. Here it is sorted before it is long, which costs each piece the same.
#[derive(Debug, Default)]
pub struct FreedPieces {
    /// How much work there was since the last sort.
    steps: u64,
}

impl FreedPieces {
    /// Notes that work was done that took this many steps, each of which may have freed something.
    #[inline]
    pub fn note_work(&mut self, steps: u64) {
        self.steps += 1 + steps;
        if self.steps >= STEPS_PER_SORT {
            self.steps = 0;
            sort_freed();
        }
    }
}

/// Takes and frees two pieces that are too large to be kept for the next request of their size. If the list has a piece
/// of just this size, the first request takes that and sorts no further; the second one goes on.
#[cold]
fn sort_freed() {
    for bytes in [2_048, 4_096] {
        drop(black_box(Vec::<u8>::with_capacity(bytes)));
    }
}

/// Has the C library join each small piece of memory with its free neighbors as it is freed, where it can tell
/// (mallopt(3) of glibc). By default it collects such pieces in lists without a bound, and some later call that takes
/// or frees memory joins them all: tens of milliseconds after millions of them. Each thread still keeps a few freed
/// pieces for itself, so what is often taken and freed costs no more.
pub fn free_evenly() {
    #[cfg(target_env = "gnu")]
    // SAFETY: it joins the pieces that are in the lists now, under the lock of the allocator, and keeps these empty.
    unsafe {
        libc::mallopt(libc::M_MXFAST, 0);
    }
}

/// Gives the system every whole page of memory that this process has freed, where the C library can tell
/// (malloc_trim(3) of glibc). It takes some milliseconds for each 64 MiB.
pub fn give_back_freed() {
    #[cfg(target_env = "gnu")]
    // SAFETY: it changes only what the allocator has free, and locks what it looks at.
    unsafe {
        libc::malloc_trim(0);
    }
}

#[cfg(all(test, target_env = "gnu"))]
mod tests {
    use std::fs;
    use std::hint::black_box;

    use super::*;

    fn bytes_in_lists() -> i32 {
        // SAFETY: it reads what the allocator counts, under its locks.
        unsafe { libc::mallinfo() }.fsmblks
    }

    #[test]
    fn small_pieces_are_joined_as_they_are_freed() {
        free_evenly();
        // Other threads may have some from before.
        let before = bytes_in_lists();
        let pieces: Vec<_> = (0..10_000_u64).map(|number| black_box(Box::new(number))).collect();
        drop(pieces);
        assert!(bytes_in_lists() <= before);
    }

    fn resident_kib() -> usize {
        let status = fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    #[test]
    fn freed_memory_goes_back_even_if_some_stays_in_use_behind_it() {
        let mut blocks: Vec<Vec<u8>> = (0..16_384).map(|_| vec![1; 4096]).collect();
        let most = resident_kib();
        let last = blocks.pop();
        drop(blocks);
        give_back_freed();
        assert!(resident_kib() + 48 * 1024 < most, "{} of {most} KiB", resident_kib());
        drop(last);
    }
}
