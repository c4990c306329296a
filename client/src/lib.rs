//! Proxies for the objects that a Rallypoint manager hosts, and pools of worker processes.
//!
//! A [`Manager`] is a handle to a manager process: one that this program starts for itself, or one that runs already.
//! Its methods make and open objects, and return proxies of them, such as [`Event`]. A program can clone proxies, share
//! them between threads, and send them to other processes with serde.
//!
//! ```no_run
//! use std::time::Duration;
//!
//! fn main() -> client::Result<()> {
//!     client::init();
//!     let manager = client::Manager::start()?;
//!     let stop = manager.event("stop")?;
//!     let other = stop.clone();
//!     std::thread::spawn(move || other.set_because("it is late"));
//!     match stop.wait(Duration::from_secs(5))? {
//!         Some(cause) => println!("{cause}"),
//!         None => println!("nobody stopped us for 5 s"),
//!     }
//!     Ok(())
//! }
//! ```
//!
//! # How a proxy travels
//!
//! Any serde format will do. Deserializing a proxy attaches it to its object, which fails if the object or the whole
//! manager is gone. The predicates of the [`Error`] that [`decode`] returns say why, as do those of the errors of tasks
//! and queues; [`take_decode_error`] returns that error to a caller that uses another format.
//!
//! # How a call travels
//!
//! A proxy hands a request to its `Reference`, which finds the `Link` of this process to its manager. The link's
//! `SharedConnection` sends it from the calling thread, which then reads the answer itself, or sleeps while another
//! thread reads for all. This crate has no thread of its own for that.

mod connection;
mod duration;
mod error;
mod guides;
pub mod inspect;
mod manager;
mod objects;
mod pipeline;
mod pool;
mod process;
mod sync;
pub mod task;
mod values;

pub use error::{Error, Result};
pub use guides::{python, speed};
pub use manager::Manager;
pub use objects::abandonment::Abandonment;
pub use objects::barrier::Barrier;
pub use objects::bound_child::BoundChild;
pub use objects::condition::{Condition, WokenBy};
pub use objects::event::Event;
pub use objects::event_cause::EventCause;
pub use objects::guard::LockGuard;
pub use objects::item::Item;
pub use objects::latch::Latch;
pub use objects::lock::{Lock, RLock};
pub use objects::mirror::EventMirror;
pub use objects::open_options::OpenOptions;
pub use objects::passed::Passed;
pub use objects::permit::Permit;
pub use objects::putting::Putting;
pub use objects::queue::{Items, Joined, Queue};
pub use objects::semaphore::{PermitRequest, Semaphore};
pub use objects::wait::{wait_all, wait_any};
pub use objects::waitable::{Taken, Waitable};
pub use pipeline::{Later, Pipeline};
#[cfg(feature = "progress")]
pub use pool::WithBar;
pub use pool::{
    AsyncResult, BatchBuilder, BatchHandle, Ending, Initialized, Pool, PoolBuilder, Progress, ResultIterator,
    StopReport,
};
pub use process::role::init;
pub use transport::{Address, AddressError};
pub use values::bytes::Bytes;
pub use values::encoding::{decode, encode, take_decode_error};

pub(crate) use error::ErrorKind;

/// What the rest of the product builds on. It is no part of the public interface, and may change at any time.
#[doc(hidden)]
pub mod internal {
    pub use client_core::{Operation, operations};

    pub use crate::connection::calls::PendingAnswer;
    pub use crate::connection::link::Link;
    pub use crate::error::ErrorKind;
    pub use crate::objects::reference::{Proxy, Reference};
    pub use crate::pool::{
        Assignment, Ended, Initializer, InitializerAnswer, LEAVING, READY, RETIRING, Service, WORKER,
    };
    pub use crate::process::descriptor_message::DescriptorMessage;
    pub use crate::process::role::{copy_of_this_program, init_with, role};
    pub use crate::process::thread::this_thread;
    pub use crate::task::{
        CallError, TaskScope, append_value, enter_task, is_known_stopped, is_stopped, name_fault, read_value,
        set_registered, set_worker_index,
    };
    pub use crate::values::carry::{Carried, collect_carried};
    pub use crate::values::payload::{OwnBlob, ReceivedPayload};
}
