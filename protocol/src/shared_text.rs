//! Reading texts that are shared: for a field with `#[serde(deserialize_with = "crate::shared_text::deserialize")]`.
//!
//! Serde reads a text into memory of its own and copies that into shared memory; this copies it there at once.

use alloc::sync::Arc;
use core::fmt;

use serde::de::{Deserializer, Error, Visitor};

/// Reads a text.
pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Arc<str>, D::Error> {
    deserializer.deserialize_str(TextVisitor)
}

struct TextVisitor;

impl Visitor<'_> for TextVisitor {
    type Value = Arc<str>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a text")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Arc<str>, E> {
        Ok(text.into())
    }
}
