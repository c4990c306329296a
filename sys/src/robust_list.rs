//! A word of memory that says whether a thread lives or has ended, however it ended.
//!
//! A killed process can no longer write, so the kernel does. The word is a *robust futex*: each thread of Linux can
//! name a list of words that it holds, and when the thread ends, the kernel marks those that have its number in them
//! (see set_robust_list(2)). A process that has the word mapped only reads it.

use std::io;
use std::marker::PhantomPinned;
use std::pin::Pin;
use std::ptr;
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::thread::gettid;

/// The bit that the kernel sets in a word whose thread has ended: `FUTEX_OWNER_DIED`.
pub const OWNER_DIED: u32 = 0x4000_0000;

/// The list of the words that a thread holds, in the kernel's form; here it has one word.
#[repr(C)]
struct List {
    /// The first node; the last node points back at this.
    first: *const Node,
    /// How many bytes behind a node its word stands.
    word_offset: libc::c_long,
    /// A node that is being added or removed. There is never one.
    pending: *const Node,
    /// The only node.
    node: Node,
    /// The kernel knows where this is.
    _pinned: PhantomPinned,
}

/// A node of the list.
#[repr(C)]
struct Node {
    /// The next one, or the list itself.
    next: *const Node,
}

/// How many bytes of a [`List`] the kernel knows: those before the node.
const LIST_BYTES: usize = std::mem::offset_of!(List, node);

/// A word that holds the number of the thread that made this, as long as both live; then [`OWNER_DIED`].
///
/// Meanwhile it replaces the thread's other robust list: the C library keeps one for robust mutexes. So the thread must
/// hold none of these.
#[derive(Debug)]
pub struct RobustWord {
    /// What the kernel knows; none once it knows another list.
    list: Option<Pin<Box<List>>>,
    /// What the kernel knew before.
    before: *const List,
    /// The word. It stays forever, as the kernel may look at it after all of this process's code has ended.
    word: &'static AtomicU32,
    /// The thread.
    thread: u32,
}

// SAFETY: what the pointers of the list point at belongs to no thread. Another thread can do nothing with a robust word
// but drop it, and `drop` then leaves what the kernel knows as it is.
#[allow(unsafe_code)]
unsafe impl Send for RobustWord {}

impl RobustWord {
    /// Puts the number of this thread into the word, which this thread now holds.
    ///
    /// # Errors
    ///
    /// If the system has no robust lists.
    pub fn new(word: &'static AtomicU32) -> io::Result<RobustWord> {
        let thread = this_thread();
        let mut list = Box::new(List {
            first: ptr::null(),
            word_offset: 0,
            pending: ptr::null(),
            node: Node { next: ptr::null() },
            _pinned: PhantomPinned,
        });
        let node: *const Node = &raw const list.node;
        let address = |pointer: *const ()| pointer.addr() as libc::c_long;
        list.word_offset = address((&raw const *word).cast()).wrapping_sub(address(node.cast()));
        list.node.next = (&raw const *list).cast();
        list.first = node;
        let list = Box::into_pin(list);
        word.store(thread, Ordering::SeqCst);
        let before = robust_list()?;
        set_robust_list(&raw const *list)?;
        Ok(RobustWord { list: Some(list), before, word, thread })
    }
}

impl Drop for RobustWord {
    fn drop(&mut self) {
        self.word.store(OWNER_DIED, Ordering::SeqCst);
        if this_thread() != self.thread || set_robust_list(self.before).is_err() {
            // The kernel looks at the list when that thread ends, and then at the word, where it finds another number.
            std::mem::forget(self.list.take());
        }
    }
}

/// The number that the kernel has for this thread.
fn this_thread() -> u32 {
    gettid().as_raw_nonzero().get().cast_unsigned()
}

/// The list of the words that this thread holds, as the kernel knows it.
#[allow(unsafe_code)]
fn robust_list() -> io::Result<*const List> {
    let (mut list, mut bytes) = (ptr::null::<List>(), 0_usize);
    // SAFETY: 0 stands for this thread, and both places outlive the call, which writes an address and a length to them.
    match unsafe { libc::syscall(libc::SYS_get_robust_list, 0, &raw mut list, &raw mut bytes) } {
        0 => Ok(list),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Tells the kernel the list of the words that this thread holds.
#[allow(unsafe_code)]
fn set_robust_list(list: *const List) -> io::Result<()> {
    // SAFETY: the call stores the address and checks the length, and touches no memory. The kernel reads the list when
    // the thread ends, and checks its addresses as any of user space; `RobustWord` keeps the list there until then.
    match unsafe { libc::syscall(libc::SYS_set_robust_list, list, LIST_BYTES) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

impl std::fmt::Debug for List {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("List")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_ends_is_marked_and_so_is_a_word_that_is_dropped() {
        static DROPPED: AtomicU32 = AtomicU32::new(0);
        static LEFT: AtomicU32 = AtomicU32::new(0);
        let before = robust_list().unwrap();
        let held = RobustWord::new(&DROPPED).unwrap();
        assert_eq!(DROPPED.load(Ordering::SeqCst), held.thread);
        assert_ne!(robust_list().unwrap(), before);
        drop(held);
        assert_eq!(DROPPED.load(Ordering::SeqCst), OWNER_DIED);
        assert_eq!(robust_list().unwrap(), before, "the C library has its list again");

        let thread = std::thread::spawn(|| {
            let held = RobustWord::new(&LEFT).unwrap();
            assert_eq!(LEFT.load(Ordering::SeqCst), held.thread);
            // As if the process were killed here: nothing of ours runs any more.
            std::mem::forget(held);
        });
        thread.join().unwrap();
        let begun = std::time::Instant::now();
        // A thread that joins another may see its end before the kernel is done with it.
        while LEFT.load(Ordering::SeqCst) & OWNER_DIED == 0 {
            assert!(begun.elapsed().as_secs() < 20, "the kernel marks what an ended thread held");
            std::thread::yield_now();
        }
    }
}
