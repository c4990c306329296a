//! The project itself: its style and its examples.

pub(crate) mod circles;
pub(crate) mod examples;
pub(crate) mod functions;
pub(crate) mod imports;
pub(crate) mod modules;
pub(crate) mod sources;
pub(crate) mod style;
pub(crate) mod type_names;
