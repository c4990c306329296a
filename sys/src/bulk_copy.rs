//! Copies of many bytes into fresh memory.
//!
//! Most of what such a copy costs is not copying: the system gives fresh memory page by page, each at the first access
//! to it, and so it maps the pages of a file. To ask for many pages at once takes half as long.

use std::ops::Range;

/// From how many bytes on pages are asked for.
const BYTES_MIN: usize = 1 << 20;

/// How many bytes are asked for and copied at a time: few enough to be in a cache from one to the other.
const PIECE_BYTES: usize = 1 << 20;

/// The largest size of a page on any machine. What is asked for must begin where a page does.
const PAGE_BYTES_MAX: usize = 64 << 10;

/// A copy of these bytes.
#[must_use]
pub fn to_vec(bytes: &[u8]) -> Vec<u8> {
    let mut copy = Vec::with_capacity(bytes.len());
    if bytes.len() < BYTES_MIN {
        copy.extend_from_slice(bytes);
        return copy;
    }
    // What the system does not know it refuses, and then there is no need to ask again.
    let (mut fills, mut maps) = (true, true);
    for piece in bytes.chunks(PIECE_BYTES) {
        let range = copy.len()..copy.len() + piece.len();
        fills = fills && ask(copy.as_ptr(), range.clone(), libc::MADV_POPULATE_WRITE);
        maps = maps && ask(bytes.as_ptr(), range, libc::MADV_POPULATE_READ);
        copy.extend_from_slice(piece);
    }
    copy
}

/// Asks for the pages of a range of memory that begins here and belongs to the caller. A page of which another part
/// comes before the range is among them, and one of which another part follows is not; so ranges that follow each other
/// get all pages. Returns false if the system refuses.
#[allow(unsafe_code)]
fn ask(memory: *const u8, range: Range<usize>, advice: libc::c_int) -> bool {
    let first = memory.addr().next_multiple_of(PAGE_BYTES_MAX) - memory.addr();
    let at_page = |place: usize| {
        let beyond = (memory.addr() + place) % PAGE_BYTES_MAX;
        if beyond <= place { place - beyond } else { first }
    };
    let (start, end) = (at_page(range.start).max(first), at_page(range.end));
    if start >= end {
        return true;
    }
    let start_of_pages = memory.wrapping_add(start).cast_mut().cast();
    // SAFETY: from the first whole page on, the range is memory of the caller's. The advice changes neither what is in
    // it nor where it is: the system gives and maps the pages that an access would make it give. Where it cannot, it
    // says so, and an access does what it always did.
    unsafe { libc::madvise(start_of_pages, end - start, advice) == 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_is_the_same_bytes() {
        for length in [0, 1, BYTES_MIN - 1, BYTES_MIN, BYTES_MIN + 1, 3 * PIECE_BYTES + 12_345] {
            let bytes: Vec<u8> = (0..length).map(|place| (place / 3 + place) as u8).collect();
            for start in [0, 1, 4096].map(|start: usize| start.min(length)) {
                assert!(to_vec(&bytes[start..]) == bytes[start..], "{length} bytes from {start} on");
            }
        }
    }
}
