//! What Rallypoint asks of the operating system beyond the standard library.
//!
//! All `unsafe` code of the product is here, and everything that only Linux has. A port to another system takes this
//! package written anew, and a transport.
//!
//! | module | what it wraps |
//! | --- | --- |
//! | [`poll`] | waiting for descriptors, with a time |
//! | [`bounded_write`] | writing to an output that perhaps nobody reads |
//! | [`process`] | pidfds: watching, signalling and identifying one process; who is at the other end of a socket |
//! | [`signals`] | what this process does when it gets a signal |
//! | [`inherited`] | what a process inherits: signals that are ignored or blocked |
//! | [`process_group`] | process groups and sessions, signalled as a whole |
//! | [`process_session`] | process sessions: everything that a process has started, ended as a whole |
//! | [`process_stat`] | what the system tells about a process |
//! | [`shared_memory`] | anonymous files (memfd), sealed and mapped as arrays of atomic words |
//! | [`fork_mark`] | memory that the kernel clears in a forked child |
//! | [`sealed_memory`] | anonymous files that nobody can change any more, mapped for reading |
//! | [`bulk_copy`] | copies of many bytes into memory that the system gives in one go |
//! | [`same_type`] | values of a generic type that are vectors of bytes |
//! | [`futex`] | sleeping on a word until another thread or process wakes the sleeper |
//! | [`heap`] | how memory is freed, and given back to the system |
//! | [`robust_list`] | a word that the kernel marks when the thread that owns it ends |
//! | [`descriptors`] | open descriptors that travel over a Unix socket (`SCM_RIGHTS`) |
//! | [`wake`] | a descriptor by which one thread ends the poll of another |
//! | [`limits`] | the resource limits of this process |
//!
//! Errors are [`std::io::Error`]s with the system's error number, unless a function says otherwise.

pub mod bounded_write;
pub mod bulk_copy;
pub mod descriptors;
pub mod fork_mark;
pub mod futex;
pub mod heap;
pub mod inherited;
pub mod limits;
pub mod poll;
pub mod process;
pub mod process_group;
pub mod process_session;
pub mod process_stat;
pub mod robust_list;
pub mod same_type;
pub mod sealed_memory;
pub mod shared_memory;
pub mod signals;
pub mod wake;

pub use rustix::process::Signal;
