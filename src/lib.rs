//! A place where processes meet: named synchronization objects, hosted by a manager process, and pools of worker
//! processes that can be stopped safely.
//!
//! This crate is what programs depend on. It gathers what [`client`] and [`worker`] offer.

/// The program on the front page compiles.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct FrontPage;

pub use client::*;
pub use worker::{Ended, Registry, Service, init, is_worker, tasks};
