//! The bytes of a call: its arguments on their way to a worker, and its result on the way back.
//!
//! Both are in postcard's format. Those of several calls stand one after the other, each preceded by their length, so
//! that everybody on the way can cut between any two: see [`protocol::calls`].

use std::fmt;
use std::sync::Arc;

use protocol::FailureKind;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::connection::link::Link;
use crate::values::carry;
use crate::values::deserializer::read_first;
use crate::values::payload::{OwnBlob, PayloadFault, append_payload};
use crate::{Error, ErrorKind};

/// Appends a value to these bytes, preceded by its length. A large one becomes a blob instead, without its length, if
/// there is a manager to take it; then the bytes stay as they are. After an error they are lost.
pub fn append_value<T: Serialize>(
    value: &T,
    mut bytes: Vec<u8>,
    link: Option<&Arc<Link>>,
) -> Result<(Vec<u8>, Option<OwnBlob>), CallError> {
    let start = bytes.len();
    // Most values are short, so that this leaves them where they are.
    bytes.push(0);
    let (mut bytes, blob) = append_payload(value, bytes, link).map_err(|fault| match fault {
        PayloadFault::Encode(error) => CallError::Encode(error),
        PayloadFault::Room(error) => CallError::Room(error),
    })?;
    if blob.is_some() {
        bytes.truncate(start);
        return Ok((bytes, blob));
    }
    let mut length = bytes.len() - start - 1;
    let more = length.checked_ilog2().unwrap_or(0) as usize / 7;
    if more > 0 {
        bytes.splice(start..start, std::iter::repeat_n(0, more));
    }
    let (last, others) =
        bytes[start..=start + more].split_last_mut().expect("a length takes a byte at least");
    for byte in others {
        *byte = length as u8 | 0x80;
        length >>= 7;
    }
    *last = length as u8;
    Ok((bytes, None))
}

/// Reads a value, with no bytes after it.
pub fn read_value<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CallError> {
    carry::take_failure();
    match read_first(bytes) {
        Ok((value, [])) => Ok(value),
        Ok((_, rest)) => Err(CallError::Leftover { bytes: rest.len() }),
        Err(error) => Err(match carry::take_failure() {
            Some(error) => CallError::Proxy(error),
            None => CallError::Decode(error),
        }),
    }
}

/// The reason why a value is not bytes, or bytes are not a value.
#[derive(Clone, Debug)]
pub enum CallError {
    /// A value cannot be encoded.
    Encode(postcard::Error),
    /// There is no room for a large value.
    Room(Error),
    /// The bytes do not decode as a value of the type that belongs here.
    Decode(postcard::Error),
    /// A proxy in the value could not be connected to its object.
    Proxy(Error),
    /// Bytes are left after the value, so the writer used another type.
    Leftover {
        /// How many.
        bytes: usize,
    },
}

impl CallError {
    /// The failure of a call whose arguments do not decode.
    pub fn failure_kind(&self) -> FailureKind {
        match self.error_kind() {
            ErrorKind::StaleInside => FailureKind::StaleEpoch,
            ErrorKind::NoSuchObjectInside => FailureKind::NoSuchObject,
            ErrorKind::WrongKindInside => FailureKind::WrongKind,
            _ => FailureKind::BadEncoding,
        }
    }

    /// The kind of the failure, for programs.
    pub(crate) fn error_kind(&self) -> ErrorKind {
        match self {
            CallError::Proxy(error) => error.kind().inside(),
            CallError::Room(error) => error.kind(),
            _ => ErrorKind::BadEncoding,
        }
    }
}

impl fmt::Display for CallError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CallError::Encode(postcard::Error::SerdeSerCustom) => {
                write!(formatter, "a value refused to be encoded")
            }
            CallError::Decode(postcard::Error::SerdeDeCustom) => {
                write!(formatter, "the type refused a decoded value")
            }
            CallError::Room(error) => write!(formatter, "{error}"),
            CallError::Encode(error) => write!(formatter, "a value cannot be encoded: {error}"),
            CallError::Decode(error) => write!(formatter, "the bytes do not decode: {error}"),
            CallError::Proxy(error) => write!(formatter, "a proxy does not arrive: {error}"),
            CallError::Leftover { bytes } => write!(formatter, "{bytes} bytes are left over"),
        }
    }
}

impl std::error::Error for CallError {}

#[cfg(test)]
mod tests {
    use protocol::calls;

    use super::*;

    #[test]
    fn values_come_back_whatever_their_length() {
        let texts = [0, 1, 126, 127, 128, 16_380, 16_384, 3 << 20].map(|length| "x".repeat(length));
        let mut bytes = Vec::new();
        let mut expected = Vec::new();
        for text in &texts {
            bytes = append_value(text, bytes, None).unwrap().0;
            calls::append(&mut expected, &postcard::to_allocvec(text).unwrap());
        }
        assert!(bytes == expected && calls::fit(&bytes, texts.len() as u64));
        let mut rest = bytes.as_slice();
        for text in &texts {
            assert_eq!(read_value::<String>(calls::take_first(&mut rest).unwrap()).unwrap(), *text);
        }
    }

    #[test]
    fn the_bytes_are_a_length_and_the_value() {
        assert_eq!(append_value(&(7_u8, true), vec![9], None).unwrap().0, [9, 2, 7, 1]);
        assert_eq!(append_value(&(), Vec::new(), None).unwrap().0, [0]);
        read_value::<()>(&[]).unwrap();
    }

    #[test]
    fn other_bytes_are_refused_in_words() {
        assert!(matches!(read_value::<u32>(&[]), Err(CallError::Decode(_))));
        assert!(matches!(read_value::<u8>(&[1, 1, 1]), Err(CallError::Leftover { bytes: 2 })));
        assert_eq!(CallError::Leftover { bytes: 2 }.to_string(), "2 bytes are left over");
        assert!(matches!(read_value::<bool>(&[7]), Err(CallError::Decode(_))));
    }
}
