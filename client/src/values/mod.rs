//! Values on their way between processes: as bytes, and with the proxies that they carry.

pub(crate) mod carry;
pub(crate) mod encoding;
