//! A place where processes meet: named synchronization objects, which a manager process hosts, and pools of worker
//! processes that can be stopped safely.
//!
//! This crate is what programs depend on. A program begins with [`init`], gets a [`Manager`], and from it the objects
//! ([`Event`], [`Lock`], [`Condition`], [`Semaphore`], [`Barrier`], [`Latch`], [`Queue`]) and pools ([`Pool`]):
//!
//! ```no_run
//! use rallypoint::{Manager, Pool, Registry};
//!
//! fn square(number: u64) -> u64 {
//!     number * number
//! }
//!
//! fn main() -> rallypoint::Result<()> {
//!     rallypoint::init(Registry::new().task(square));
//!
//!     let manager = Manager::start()?;
//!     let pool = Pool::builder(&manager).processes(4).start()?;
//!     println!("{:?}", pool.map(square, 1..=10)?);
//!     Ok(())
//! }
//! ```
//!
//! # Where to read on
//!
//! - [`wait_any`] and [`wait_all`] wait for several objects at once.
//! - [`task`] is for the functions that run in workers: it says whether they are to stop, and sleeps until then.
//! - [`tasks`] are functions that the program `worker` serves, such as running a command.
//! - [`inspect`] shows which process holds an object, and which ones wait for it.
//! - [`speed`] says what calls cost, and [`python`] how all this differs from Python's `multiprocessing`.

/// The program on the front page compiles.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct FrontPage;

/// The code of the programs. It is no part of the public interface, and may change at any time.
#[cfg(feature = "programs")]
#[doc(hidden)]
pub mod command;

// Managers, and what happens to calls.
pub use client::{
    Address, AddressError, Error, Later, Manager, OpenOptions, Pipeline, Result, inspect, python, speed,
};
// Objects.
pub use client::{
    Abandonment, Barrier, BoundChild, Condition, Event, EventCause, EventMirror, Item, Items, Joined, Latch,
    Lock, LockGuard, Passed, Permit, PermitRequest, Putting, Queue, RLock, Semaphore, Taken, Waitable,
    WokenBy, wait_all, wait_any,
};
// Values that travel.
pub use client::{Bytes, decode, encode, take_decode_error};
// Pools.
#[cfg(feature = "progress")]
pub use client::WithBar;
pub use client::{
    AsyncResult, BatchBuilder, BatchHandle, Ending, Initialized, Pool, PoolBuilder, Progress, ResultIterator,
    StopReport, task,
};
// Workers.
pub use worker::{Ended, Registry, Service, init, is_worker, tasks};
