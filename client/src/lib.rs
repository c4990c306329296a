//! Proxies for the objects that a Rallypoint manager hosts, and pools of worker processes.
//!
//! A [`Manager`] is a handle to a manager process: one that this program starts for itself, or one that is
//! there. Its methods make and open objects, each of which a proxy such as [`Event`] stands for. Proxies can
//! be cloned, shared by threads, and sent to other processes with serde.
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
//! Any serde format will do. A proxy that is deserialized is attached to its object, which can fail: the object is
//! gone, or the whole manager is. [`decode`] tells why by the predicates of its [`Error`], as tasks and queues do for
//! what they carry, and [`take_decode_error`] tells those who use another format.
//!
//! # How a call travels
//!
//! A proxy hands a request to its `Reference`, which finds the `Link` of this process to its manager. The
//! link's `Connection` sends it from the calling thread, which then reads the answer itself, or sleeps while
//! another thread reads for all. There is no thread of this crate's own in that.

mod abandonment;
mod barrier;
mod batch;
mod callers;
mod carry;
mod cause;
mod condition;
mod connect;
mod connection;
mod duration;
mod encoding;
mod endpoint;
mod error;
mod event;
#[cfg(test)]
mod fake_manager;
mod guard;
pub mod inspect;
mod item;
mod latch;
mod launch;
mod ledger;
mod link;
mod lock;
mod manager;
mod mirror;
mod options;
mod parcel;
mod pool;
mod proxy;
pub mod python;
mod queue;
mod reader;
mod reason;
mod receipts;
mod reference;
mod registry;
mod role;
mod seat;
mod segment;
mod semaphore;
mod sender;
pub mod speed;
mod sync;
pub mod task;
mod thread;
mod wait;

pub use abandonment::Abandonment;
pub use barrier::{Barrier, Passed};
pub use batch::{Later, RequestBatch};
pub use cause::Cause;
pub use condition::{Condition, WokenBy};
pub use encoding::{decode, encode, take_decode_error};
pub use error::{Error, Result};
pub use event::Event;
pub use guard::LockGuard;
pub use item::{Item, Putting};
pub use latch::Latch;
pub use lock::{Lock, RLock};
pub use manager::Manager;
pub use mirror::EventMirror;
pub use options::Options;
#[cfg(feature = "progress")]
pub use pool::WithBar;
pub use pool::{
    AsyncResult, BatchBuilder, BatchHandle, Ending, Initialized, Pool, PoolBuilder, Progress, ResultIterator,
    StopReport,
};
pub use queue::{Items, Joined, Queue};
pub use role::init;
pub use semaphore::{Permit, PermitRequest, Semaphore};
pub use wait::{Taken, Waitable, wait_all, wait_any};

pub(crate) use error::ErrorKind;

/// What the rest of the product builds on. It is no part of the public interface, and may change at any time.
#[doc(hidden)]
pub mod internal {
    pub use crate::carry::{Carried, collect_carried};
    pub use crate::duration::nanoseconds;
    pub use crate::error::{ErrorKind, unexpected};
    pub use crate::link::{Link, Pending};
    pub use crate::parcel::Parcel;
    pub use crate::pool::{
        Assignment, Ended, Initializer, InitializerAnswer, LEAVING, READY, RETIRING, Service, WORKER,
    };
    pub use crate::reference::{Proxy, Reference};
    pub use crate::role::{copy_of_this_program, init_with, role};
    pub use crate::task::{
        ChunkError, ChunkWriter, TaskScope, enter_task, is_stopped, name_fault, read_chunk, set_registered,
    };
    pub use crate::thread::this_thread;
}
