//! Noticing a fork without a system call: memory that the kernel clears in a forked child.

use std::io;
use std::sync::atomic::{AtomicU8, Ordering};

use memmap2::{MmapOptions, MmapRaw};

/// A mark that this process has set, and that no child has that it forks.
#[derive(Debug)]
pub struct ForkMark {
    /// A page of its own. It is 1, and in a forked child 0.
    page: MmapRaw,
}

impl ForkMark {
    /// Sets a mark.
    ///
    /// # Errors
    ///
    /// If the system has no memory for it, or cannot clear memory in children (Linux before 4.14).
    #[allow(unsafe_code)]
    pub fn set() -> io::Result<ForkMark> {
        let page = MmapRaw::from(MmapOptions::new().len(1).map_anon()?);
        // SAFETY: the range is exactly that of the map, which is private and anonymous, as this advice needs it. It
        // changes nothing in this process.
        let advised = unsafe { libc::madvise(page.as_mut_ptr().cast(), page.len(), libc::MADV_WIPEONFORK) };
        if advised != 0 {
            return Err(io::Error::last_os_error());
        }
        let mark = ForkMark { page };
        mark.word().store(1, Ordering::Relaxed);
        Ok(mark)
    }

    /// Whether this process is the one that has set the mark.
    #[must_use]
    #[inline]
    pub fn is_here(&self) -> bool {
        self.word().load(Ordering::Relaxed) == 1
    }

    #[allow(unsafe_code)]
    fn word(&self) -> &AtomicU8 {
        // SAFETY: the map has at least one byte, which lives as long as `self`. Only this function gives it out, and
        // all bytes are a value of an atomic integer.
        unsafe { AtomicU8::from_ptr(self.page.as_mut_ptr()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[allow(unsafe_code)]
    fn a_forked_child_has_no_mark() {
        let mark = ForkMark::set().unwrap();
        assert!(mark.is_here());
        // SAFETY: the child only looks at the mark and ends at once, by a call that runs nothing else of the program.
        let child = unsafe { libc::fork() };
        if child == 0 {
            // SAFETY: see above.
            unsafe { libc::_exit(i32::from(mark.is_here())) };
        }
        let mut status = -1;
        // SAFETY: the child is this process's own, and nobody else waits for it.
        assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
        assert_eq!(status, 0);
        assert!(mark.is_here(), "the parent keeps it");
    }
}
