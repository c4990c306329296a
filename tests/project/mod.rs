//! The project itself: its style and its examples.

pub(crate) mod examples;
pub(crate) mod style;
