//! `PROTOCOL.md` is enough to write a client from. These tests hold the page to the crate and the crate to the page.
//!
//! [`page`] reads the page: its tables of types, its numbers and its worked examples. [`samples`] has one value of
//! every message, variant and struct, and does not compile while one is missing. So whoever adds a variant is led
//! here by the compiler, from here to the page by a failing test, and nowhere else.

mod arbitrary;
mod examples;
mod numbers;
mod page;
mod samples;
mod tables;
