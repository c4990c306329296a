//! `PROTOCOL.md` is enough to write a client. These tests compare the page with the crate, both ways.
//!
//! [`page`] reads the page: its tables of types, its numbers and its worked examples. [`samples`] has one value of
//! every message, variant and struct, and does not compile while one is missing. So the compiler leads a person who
//! adds a variant here, a failing test leads from here to the page, and that is all.

mod arbitrary;
mod examples;
mod numbers;
mod page;
mod samples;
mod tables;
