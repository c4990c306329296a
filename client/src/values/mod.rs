//! Values on their way between processes: their bytes, and the proxies that they carry.

pub(crate) mod carry;
pub(crate) mod encoding;
