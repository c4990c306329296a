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

/// Has the C library do its work as memory is freed, and none of it later all at once, where it can tell (mallopt(3) of
/// glibc).
///
/// It joins each small piece with its free neighbors. By default it collects such pieces in lists without a bound, and
/// some later call that takes or frees memory joins them all: tens of milliseconds after millions of them. Each thread
/// still keeps a few freed pieces for itself, so what is often taken and freed costs no more.
///
/// And it gives nothing back to the system by itself. By default it does so when the last piece of the heap is freed,
/// however much is free below that: a hundred milliseconds for a gigabyte. [`FreedPages`] gives it back in parts.
pub fn free_evenly() {
    #[cfg(target_env = "gnu")]
    // SAFETY: it joins the pieces that are in the lists now, under the lock of the allocator, and keeps these empty.
    unsafe {
        libc::mallopt(libc::M_MXFAST, 0);
        libc::mallopt(libc::M_TRIM_THRESHOLD, -1);
        // Where it comes to by itself if it may, after it has freed something as large.
        libc::mallopt(libc::M_MMAP_THRESHOLD, MAPPED_BYTES_MIN);
    }
}

/// From how many bytes on each piece of memory is a mapping of its own: the most that glibc takes.
#[cfg(target_env = "gnu")]
const MAPPED_BYTES_MIN: libc::c_int = 32 << 20;

/// The sizes of the pieces that are taken to give their pages back, the largest first.
const PIECE_BYTES_MAX: usize = 1 << 20;
const PIECE_BYTES_MIN: usize = 16 << 10;

/// How many times smaller the next size is.
const PIECE_PARTS: usize = 4;

/// How much one step takes, in bytes and in pieces, and how many pieces one frees.
const STEP_BYTES: usize = 4 << 20;
const STEP_PIECES: usize = 128;

/// After how many pieces that had no memory of the system's the next size follows.
const EMPTY_PIECES_MAX: usize = 8;

/// What this process has freed and gives to the system, in steps of a millisecond or so.
///
/// malloc_trim(3) does the same in one go, which takes some milliseconds for each 64 MiB. Here each step takes free
/// pieces, and tells the system that it may have their pages. All pieces are held until no more are there, so none
/// comes twice; then they are freed.
#[derive(Debug)]
pub struct FreedPages {
    /// How many more bytes to take at most.
    bytes_left: usize,
    /// The size of the next pieces.
    piece_bytes: usize,
    /// How many of the last pieces in a row had no memory.
    empty_pieces: usize,
    /// What was taken.
    pieces: Vec<Vec<u8>>,
}

impl FreedPages {
    /// About this many bytes were freed.
    pub fn new(bytes: usize) -> FreedPages {
        FreedPages { bytes_left: bytes, piece_bytes: PIECE_BYTES_MAX, empty_pieces: 0, pieces: Vec::new() }
    }

    /// Gives back the next part. Returns false once all is done.
    pub fn give_back_part(&mut self) -> bool {
        let (mut bytes, mut pieces) = (0, 0);
        while bytes < STEP_BYTES && pieces < STEP_PIECES && self.has_more_to_take() {
            bytes += self.piece_bytes;
            pieces += 1;
            self.take_piece();
        }
        if !self.has_more_to_take() {
            self.pieces.truncate(self.pieces.len().saturating_sub(STEP_PIECES - pieces));
            sort_freed();
        }
        self.has_more_to_take() || !self.pieces.is_empty()
    }

    fn has_more_to_take(&self) -> bool {
        self.bytes_left > 0 && self.piece_bytes >= PIECE_BYTES_MIN
    }

    /// Takes a piece, and gives its pages back.
    fn take_piece(&mut self) {
        let mut piece = Vec::new();
        if piece.try_reserve_exact(self.piece_bytes).is_err() {
            self.bytes_left = 0;
            return;
        }
        if give_pages_back(&mut piece) {
            self.bytes_left = self.bytes_left.saturating_sub(self.piece_bytes);
            self.empty_pieces = 0;
        } else {
            self.empty_pieces += 1;
        }
        self.pieces.push(piece);
        if self.empty_pieces == EMPTY_PIECES_MAX {
            self.piece_bytes /= PIECE_PARTS;
            self.empty_pieces = 0;
        }
    }
}

/// Tells the system that it may have the pages that are wholly in a piece of memory, which has no content. Returns
/// whether there was one.
#[cfg(target_env = "gnu")]
fn give_pages_back(piece: &mut Vec<u8>) -> bool {
    const PAGE_BYTES: usize = 4096;
    let mut is_there = [0_u8; PIECE_BYTES_MAX / PAGE_BYTES];
    let room = piece.spare_capacity_mut();
    let before = room.as_ptr().align_offset(PAGE_BYTES).min(room.len());
    let pages = ((room.len() - before) / PAGE_BYTES).min(is_there.len());
    let first = room[before..].as_mut_ptr().cast();
    // SAFETY: it asks about mapped pages, with room for an answer about each.
    let asked = unsafe { libc::mincore(first, pages * PAGE_BYTES, is_there.as_mut_ptr()) };
    if asked != 0 || !is_there[..pages].iter().any(|page| page & 1 == 1) {
        return false;
    }
    // SAFETY: the pages belong to a vector that has no content, and nothing else is in them.
    unsafe { libc::madvise(first, pages * PAGE_BYTES, libc::MADV_DONTNEED) == 0 }
}

/// Other C libraries do it by themselves.
#[cfg(not(target_env = "gnu"))]
fn give_pages_back(_: &mut Vec<u8>) -> bool {
    false
}

#[cfg(all(test, target_env = "gnu"))]
mod tests {
    use std::fs;
    use std::sync::Mutex;

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

    /// One test at a time measures how much memory this process has.
    static MEASURING: Mutex<()> = Mutex::new(());

    fn resident_kib() -> usize {
        let status = fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    #[test]
    fn freed_memory_goes_back_even_if_some_stays_in_use_behind_it() {
        let _alone = MEASURING.lock();
        for bytes in [4096, 24 << 10] {
            let mut blocks: Vec<Vec<u8>> = (0..(64 << 20) / bytes).map(|_| vec![1; bytes]).collect();
            let most = resident_kib();
            let last = blocks.pop();
            drop(blocks);
            let mut freed = FreedPages::new(64 << 20);
            let mut steps = 1;
            while freed.give_back_part() {
                steps += 1;
            }
            assert!(resident_kib() + 48 * 1024 < most, "{} of {most} KiB", resident_kib());
            assert!(steps > 4, "{steps} steps");
            drop(last);
        }
    }

    /// Every second piece is freed, so that no free one is large.
    #[test]
    fn freed_memory_goes_back_from_between_what_is_in_use() {
        let _alone = MEASURING.lock();
        let mut blocks: Vec<Vec<u8>> = (0..2_000).map(|_| vec![1; 40 << 10]).collect();
        let most = resident_kib();
        let mut is_kept = false;
        blocks.retain(|_| {
            is_kept = !is_kept;
            is_kept
        });
        let mut freed = FreedPages::new(40 << 20);
        while freed.give_back_part() {}
        assert!(resident_kib() + 20 * 1024 < most, "{} of {most} KiB", resident_kib());
        assert!(blocks.iter().flatten().all(|byte| *byte == 1));
    }
}
