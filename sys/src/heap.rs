//! The memory that this process has freed and not given back to the system.

#![allow(unsafe_code)]

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

    use super::*;

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
