//! Items of queues as bytes: how values become items, and items become values again.

use std::any::type_name;
use std::fmt;
use std::sync::Arc;

use client_core::Operation;
use client_core::operations::{PutTarget, QueueTaskDone};
use protocol::limits::PAYLOAD_BYTES_MAX;
use protocol::{ItemGrant, ObjectId};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::connection::acks::AckHold;
use crate::objects::reference::Reference;
use crate::process::thread::this_thread;
use crate::values::carry;
use crate::values::encoding::{Fault, read, why_not_encoded};
use crate::{Error, ErrorKind, Result};

/// An item that a wait for several objects took from a queue, still encoded.
///
/// It has left the queue. Decode it soon if it may carry proxies: until it is decoded or dropped, this process
/// acknowledges none of the grants that came after it, and if the process dies, all of them go to others. After 32,768
/// such grants, every wait of this process fails with [`is_limit`](Error::is_limit), until the item is decoded or
/// dropped. An item without proxies can be kept for any time.
pub struct Item {
    grant: ItemGrant,
    queue: Arc<Reference>,
    /// Keeps alive the objects whose proxies are in the item; none if there are no proxies.
    ack_hold: Option<AckHold>,
}

impl Item {
    pub(crate) fn new(grant: ItemGrant, queue: &Arc<Reference>) -> Item {
        Item { grant, queue: Arc::clone(queue), ack_hold: None }
    }

    pub(crate) fn with_ack_hold(self, ack_hold: Option<AckHold>) -> Item {
        Item { ack_hold, ..self }
    }

    /// The value.
    ///
    /// # Errors
    ///
    /// [`is_bad_encoding`](Error::is_bad_encoding) if the item is not a `T`, or carries a proxy that cannot be attached
    /// to its object. In the latter case another predicate says why: [`is_no_such_object`](Error::is_no_such_object),
    /// [`is_wrong_kind`](Error::is_wrong_kind) or [`is_stale`](Error::is_stale). This finishes the item, in a joinable
    /// queue as `task_done` does, so do not call that for it. Nobody gets the item again: otherwise a consumer that
    /// dies of the error, and is started again, would get it forever.
    pub fn decode<T: DeserializeOwned>(self) -> Result<T> {
        let decoded = decode(self.grant.payload.as_bytes());
        if decoded.as_ref().is_err_and(Error::is_bad_encoding) {
            self.finish();
        }
        decoded
    }

    /// Acknowledges the item, whatever kind of queue it is from.
    fn finish(self) {
        drop(self.ack_hold);
        let (id, item) = (self.queue.id(), Some(self.grant.number));
        let done = QueueTaskDone { id, item, thread: this_thread() };
        // In a joinable queue this finishes the item. In a plain one the manager refuses it, which nobody learns; but
        // like every request, it acknowledges what this process has received.
        if let Ok(link) = self.queue.link() {
            // If the manager is gone, so is the item.
            let _ = link.send(done.into_request());
        }
    }
}

/// Shows how large it is.
impl fmt::Debug for Item {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Item({:?})", self.grant.payload)
    }
}

/// A value on its way into a queue.
#[derive(Debug)]
pub(crate) struct Encoded {
    bytes: Vec<u8>,
    /// The objects whose proxies are in it.
    carries: Vec<ObjectId>,
}

impl Encoded {
    /// Encodes a value for this queue.
    pub(crate) fn new<T: Serialize>(value: &T, queue: &Reference) -> Result<Encoded> {
        let (encoded, carries) = carry::collect_carried_of(queue.epoch(), || postcard::to_allocvec(value));
        Encoded::check(type_name::<T>(), encoded, carries?)
    }

    fn check(what: &str, encoded: postcard::Result<Vec<u8>>, carries: Vec<ObjectId>) -> Result<Encoded> {
        let bytes = encoded.map_err(|error| {
            let text = format!("a {what} cannot become an item of a queue: {}", why_not_encoded(&error));
            Error::new(ErrorKind::BadEncoding, text)
        })?;
        if bytes.len() > PAYLOAD_BYTES_MAX {
            let text = format!("an item has at most {PAYLOAD_BYTES_MAX} bytes, this one has {}", bytes.len());
            return Err(Error::new(ErrorKind::Limit, text));
        }
        Ok(Encoded { bytes, carries })
    }

    /// How many bytes it has.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    pub(crate) fn target(&self, queue: ObjectId) -> PutTarget<'_> {
        PutTarget { queue, item: &self.bytes, carries: self.carries.clone() }
    }
}

/// The value that an item is.
fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T> {
    let (kind, what) = match read(bytes) {
        Ok(value) => return Ok(value),
        Err(Fault::Proxy(failure)) if failure.is_manager_gone() => return Err(failure),
        Err(Fault::Proxy(failure)) => {
            (failure.kind().inside(), format!("a proxy in it cannot be attached: {failure}"))
        }
        Err(Fault::Bytes(what)) => (ErrorKind::BadEncoding, what),
    };
    let text = format!("an item of a queue is not a {}, and was dropped: {what}", type_name::<T>());
    Err(Error::new(kind, text))
}

#[cfg(test)]
mod tests {
    use serde::Serializer;
    use serde::ser::Error as _;

    use super::*;

    fn encoded<T: Serialize>(value: &T) -> Result<Encoded> {
        Encoded::check(type_name::<T>(), postcard::to_allocvec(value), Vec::new())
    }

    #[test]
    fn a_value_comes_back_and_nothing_else_does() {
        let seven = encoded(&(7_u8, "seven".to_owned())).unwrap();
        assert_eq!(decode::<(u8, String)>(&seven.bytes).unwrap(), (7, "seven".to_owned()));
        for error in [
            decode::<u8>(&seven.bytes).map(drop).unwrap_err(),
            decode::<(u8, u8, [u8; 9])>(&seven.bytes).map(drop).unwrap_err(),
            decode::<(u8, bool)>(&seven.bytes).map(drop).unwrap_err(),
        ] {
            assert!(error.is_bad_encoding(), "{error:?}");
        }
        let error = decode::<u8>(&seven.bytes).unwrap_err();
        assert_eq!(
            error.to_string(),
            "an item of a queue is not a u8, and was dropped: 6 of its 7 bytes are left over"
        );
    }

    #[test]
    fn an_item_that_cannot_be_encoded_is_an_error() {
        struct Unserializable;
        impl Serialize for Unserializable {
            fn serialize<S: Serializer>(&self, _: S) -> std::result::Result<S::Ok, S::Error> {
                Err(S::Error::custom("no"))
            }
        }
        let error = encoded(&Unserializable).unwrap_err();
        assert!(error.is_bad_encoding() && error.to_string().contains("Unserializable"), "{error:?}");
    }

    #[test]
    fn an_item_that_is_too_large_is_an_error_before_it_is_sent() {
        let largest = vec![0_u8; PAYLOAD_BYTES_MAX - 4];
        assert_eq!(encoded(&largest).unwrap().bytes.len(), PAYLOAD_BYTES_MAX);
        let error = encoded(&vec![0_u8; PAYLOAD_BYTES_MAX - 3]).unwrap_err();
        assert!(error.is_limit(), "{error:?}");
    }
}
