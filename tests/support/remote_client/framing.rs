//! Orders and reports as frames, which both processes write and read.

use std::io::{Read, Write};

use serde::Serialize;
use serde::de::DeserializeOwned;

/// The argument of a remote client that connects only when a proxy arrives.
pub(super) const CONNECT_LATER: &str = "connect later";

/// Writes a value.
pub(super) fn write<T: Serialize>(output: &mut impl Write, value: &T) {
    let mut bytes = Vec::new();
    protocol::append_frame(&mut bytes, value).unwrap();
    output.write_all(&bytes).and_then(|()| output.flush()).unwrap();
}

/// The next value, or none at the end of the stream.
pub(super) fn read<T: DeserializeOwned>(input: &mut impl Read) -> Option<T> {
    let mut length = [0; 4];
    input.read_exact(&mut length).ok()?;
    let mut bytes = vec![0; u32::from_le_bytes(length) as usize];
    input.read_exact(&mut bytes).ok()?;
    Some(postcard::from_bytes(&bytes).unwrap())
}
