//! Copies of many bytes into fresh memory.
//!
//! Most of what such a copy costs is not copying, but that the system gives fresh memory page by page. Huge pages are
//! 512 times fewer.

use std::mem::MaybeUninit;

use rustix::mm::{Advice, madvise};
use rustix::param::page_size;

/// From how many bytes on huge pages are asked for: so many that some fit, wherever the memory begins.
const BYTES_MIN: usize = 4 << 20;

/// A copy of these bytes, in huge pages if there are many of them and the system has such pages.
#[must_use]
pub fn to_vec(bytes: &[u8]) -> Vec<u8> {
    let mut copy = Vec::with_capacity(bytes.len());
    if bytes.len() >= BYTES_MIN {
        ask(copy.spare_capacity_mut());
    }
    copy.extend_from_slice(bytes);
    copy
}

/// Asks for huge pages for this memory.
#[allow(unsafe_code)]
fn ask(memory: &mut [MaybeUninit<u8>]) {
    let page = page_size();
    let start = memory.as_ptr().align_offset(page).min(memory.len());
    let whole = &mut memory[start..];
    let bytes = whole.len() / page * page;
    // SAFETY: the range is memory that is borrowed here. The advice changes neither what is in it nor where it is, only
    // in pages of which size the system gives it. Without such pages it fails, and all stays as it is.
    let _ = unsafe { madvise(whole.as_mut_ptr().cast(), bytes, Advice::LinuxHugepage) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_is_the_same_bytes() {
        for length in [0, 1, BYTES_MIN - 1, BYTES_MIN, BYTES_MIN + 1, 3 * BYTES_MIN + 12_345] {
            let bytes: Vec<u8> = (0..length).map(|place| (place / 3 + place) as u8).collect();
            assert!(to_vec(&bytes) == bytes, "{length} bytes");
        }
    }
}
