//! Values with proxies in them as bytes: how they are written, and why one could not be read.

use std::any::type_name;

use postcard::ser_flavors::{AllocVec, Flavor};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::values::deserializer::read_first;
use crate::values::{carry, serializer};
use crate::{Error, ErrorKind, Result};

/// Encodes a value, which may hold proxies, as queues and pools do: in postcard's format.
///
/// The bytes keep no object alive. A program that sends them in another way than through a queue or a pool must keep
/// the proxies until the bytes have arrived.
///
/// ```no_run
/// # use client as rallypoint;
/// # fn main() -> rallypoint::Result<()> {
/// let manager = rallypoint::Manager::connect()?;
/// let stop = manager.event("stop")?;
/// std::fs::write("stop.proxy", rallypoint::encode(&stop)?).expect("the folder can be written to");
///
/// // Later, in another process.
/// let bytes = std::fs::read("stop.proxy").expect("it was written");
/// match rallypoint::decode::<rallypoint::Event>(&bytes) {
///     Ok(stop) => stop.set()?,
///     Err(error) if error.is_stale() => println!("that manager has ended, and its event with it"),
///     Err(error) => return Err(error),
/// }
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// [`is_bad_encoding`](Error::is_bad_encoding) if the value cannot be encoded.
pub fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>> {
    let (written, output) = serializer::write(value, AllocVec::new());
    written.and_then(|()| output.finalize()).map_err(|error| {
        let text = format!("a {} does not encode: {}", type_name::<T>(), why_not_encoded(&error));
        Error::new(ErrorKind::BadEncoding, text)
    })
}

/// Decodes a value that [`encode`] wrote, and attaches every proxy in it to its object.
///
/// # Errors
///
/// If a proxy cannot be attached, the error says why:
/// - [`is_stale`](Error::is_stale): it comes from an earlier life of the manager, whose objects ended with it;
/// - [`is_no_such_object`](Error::is_no_such_object): its object never was, was removed, or was freed with its last
///   proxy;
/// - [`is_wrong_kind`](Error::is_wrong_kind): its object is of another kind than the proxy;
/// - [`is_not_running`](Error::is_not_running) or [`is_manager_gone`](Error::is_manager_gone): its manager has ended.
///
/// [`is_bad_encoding`](Error::is_bad_encoding) if the bytes are not exactly one `T` for any other reason.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T> {
    read(bytes).map_err(|fault| match fault {
        Fault::Proxy(error) => error,
        Fault::Bytes(why) => {
            Error::new(ErrorKind::BadEncoding, format!("these bytes are not a {}: {why}", type_name::<T>()))
        }
    })
}

/// Why the last proxy that did not deserialize on this thread could not be attached to its object, with the predicates
/// that [`decode`] lists. None if no proxy failed since the last call.
///
/// It is for programs that decode proxies from another format than that of [`decode`]. Serde lets a proxy fail with a
/// text at most, and some formats drop even that. So call this before decoding, to forget earlier failures, and again
/// when decoding has failed:
///
/// ```
/// # use client as rallypoint;
/// fn decode(bytes: &[u8]) -> Result<rallypoint::Event, rallypoint::Error> {
///     rallypoint::take_decode_error();
///     postcard::from_bytes(bytes).map_err(|error| match rallypoint::take_decode_error() {
///         Some(error) => error,
///         None => panic!("the bytes are not a proxy: {error}"),
///     })
/// }
///
/// let nowhere = ("/nowhere/manager.sock", [7_u8; 16], [7_u8; 16]);
/// let error = decode(&postcard::to_allocvec(&nowhere)?).unwrap_err();
/// assert!(error.is_not_running());
/// # Ok::<(), postcard::Error>(())
/// ```
pub fn take_decode_error() -> Option<Error> {
    carry::take_failure()
}

/// Why bytes were not read.
pub(crate) enum Fault {
    /// A proxy among the values could not be attached to its object.
    Proxy(Error),
    /// The bytes are something else; the text says what.
    Bytes(String),
}

/// Reads one value, with no bytes after it.
pub(crate) fn read<T: DeserializeOwned>(bytes: &[u8]) -> std::result::Result<T, Fault> {
    carry::take_failure();
    match read_first(bytes) {
        Ok((value, [])) => Ok(value),
        Ok((_, rest)) => {
            Err(Fault::Bytes(format!("{} of its {} bytes are left over", rest.len(), bytes.len())))
        }
        Err(error) => Err(match (carry::take_failure(), error) {
            (Some(failure), _) => Fault::Proxy(failure),
            (None, postcard::Error::SerdeDeCustom) => Fault::Bytes("the type refused the value".to_owned()),
            (None, error) => Fault::Bytes(error.to_string()),
        }),
    }
}

/// What postcard says of a value, as text.
pub(crate) fn why_not_encoded(error: &postcard::Error) -> String {
    match error {
        postcard::Error::SerdeSerCustom => "the value refused to be encoded".to_owned(),
        error => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_comes_back_and_nothing_else_does() {
        let bytes = encode(&(7_u8, "seven".to_owned())).unwrap();
        assert_eq!(decode::<(u8, String)>(&bytes).unwrap(), (7, "seven".to_owned()));
        let error = decode::<u8>(&bytes).unwrap_err();
        assert!(error.is_bad_encoding() && error.to_string().ends_with("6 of its 7 bytes are left over"));
        assert!(decode::<(u8, bool)>(&bytes).unwrap_err().is_bad_encoding());
        assert_eq!(take_decode_error(), None);
    }

    #[test]
    fn an_error_of_a_proxy_is_that_of_this_value_and_told_once() {
        carry::note_failure(&Error::new(ErrorKind::Stale, "of another value"));
        assert!(decode::<bool>(&[7]).unwrap_err().is_bad_encoding());
        carry::note_failure(&Error::new(ErrorKind::Stale, "of this value"));
        assert!(take_decode_error().is_some_and(|error| error.is_stale()));
        assert_eq!(take_decode_error(), None);
    }
}
