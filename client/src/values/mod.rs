//! Values on their way between processes: their bytes, and the proxies that they carry.

pub(crate) mod bytes;
pub(crate) mod carry;
pub(crate) mod deserializer;
pub(crate) mod encoding;
pub(crate) mod payload;
pub(crate) mod serializer;
