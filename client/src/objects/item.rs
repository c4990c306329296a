//! Items of queues as bytes: how values become items, and items become values again.

use std::any::type_name;
use std::fmt;
use std::sync::Arc;

use client_core::Operation;
use client_core::operations::{PutContent, PutTarget, QueueItemDone, TakenContent, TakenItem};
use protocol::{ObjectId, Payload};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::connection::acks::AckHold;
use crate::objects::reference::Reference;
use crate::process::thread::this_thread;
use crate::values::carry;
use crate::values::encoding::{Fault, read, why_not_encoded};
use crate::values::payload::{EncodedPayload, OwnBlob, PayloadFault, ReceivedPayload, encode_payload};
use crate::{Error, ErrorKind, Result};

/// An item that a wait for several objects took from a queue, still encoded.
///
/// It has left the queue. Decode it soon if it may carry proxies: until it is decoded or dropped, this process
/// acknowledges none of the grants that came after it, and if the process dies, all of them go to others. After 32,768
/// such grants, every wait of this process fails with [`is_limit`](Error::is_limit), until the item is decoded or
/// dropped. The same holds for a large item, of 256 KiB or more. A small item without proxies can be kept for any time.
pub struct Item {
    number: u64,
    content: ItemContent,
    queue: Arc<Reference>,
    /// Keeps the item, and the objects whose proxies are in it, until both are here; none if there are no proxies and
    /// the item is not large.
    ack_hold: Option<AckHold>,
}

/// An encoded item, or what gets it.
enum ItemContent {
    Payload(Payload),
    Blob(OwnBlob),
    /// A blob that ended with its manager.
    Lost(Error),
}

impl Item {
    pub(crate) fn new(taken: TakenItem, queue: &Arc<Reference>) -> Item {
        let content = match taken.content {
            TakenContent::Payload(payload) => ItemContent::Payload(payload),
            TakenContent::Blob { blob: id, bytes } => match queue.link() {
                Ok(link) => ItemContent::Blob(OwnBlob { link: Arc::clone(link), id, bytes }),
                Err(error) => ItemContent::Lost(error),
            },
        };
        Item { number: taken.number, content, queue: Arc::clone(queue), ack_hold: None }
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
        let decoded = match &self.content {
            ItemContent::Payload(payload) => decode(payload.as_bytes()),
            ItemContent::Blob(blob) => ReceivedPayload::fetch(blob)?.read(decode),
            ItemContent::Lost(error) => Err(error.clone()),
        };
        if decoded.as_ref().is_err_and(Error::is_bad_encoding) {
            self.finish();
        }
        decoded
    }

    /// Acknowledges the item, whatever kind of queue it is from.
    fn finish(self) {
        drop((self.content, self.ack_hold));
        let (id, item) = (self.queue.id(), Some(self.number));
        let done = QueueItemDone { id, item, thread: this_thread() };
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
        match &self.content {
            ItemContent::Payload(payload) => write!(formatter, "Item({payload:?})"),
            ItemContent::Blob(blob) => write!(formatter, "Item({} bytes)", blob.bytes),
            ItemContent::Lost(error) => write!(formatter, "Item({error})"),
        }
    }
}

/// A value on its way into a queue.
#[derive(Debug)]
pub(crate) struct Encoded {
    payload: EncodedPayload,
    /// The objects whose proxies are in it.
    carries: Vec<ObjectId>,
}

impl Encoded {
    /// Encodes a value for this queue.
    pub(crate) fn new<T: Serialize>(value: &T, queue: &Reference) -> Result<Encoded> {
        let link = queue.link()?;
        let (encoded, carries) = carry::collect_carried_of(queue.epoch(), || encode_payload(value, link));
        Encoded::check(type_name::<T>(), encoded, carries?)
    }

    fn check(
        what: &str,
        encoded: std::result::Result<EncodedPayload, PayloadFault>,
        carries: Vec<ObjectId>,
    ) -> Result<Encoded> {
        let payload = encoded.map_err(|fault| match fault {
            PayloadFault::Room(error) => error,
            PayloadFault::Encode(error) => {
                let text = format!("a {what} cannot become an item of a queue: {}", why_not_encoded(&error));
                Error::new(ErrorKind::BadEncoding, text)
            }
        })?;
        Ok(Encoded { payload, carries })
    }

    /// How many bytes it has.
    pub(crate) fn len(&self) -> u64 {
        self.payload.len()
    }

    pub(crate) fn target(&self, queue: ObjectId) -> PutTarget<'_> {
        let item = match &self.payload {
            EncodedPayload::Inline(bytes) => PutContent::Payload(bytes),
            EncodedPayload::Blob(blob) => PutContent::Blob(blob.id),
        };
        PutTarget { queue, item, carries: self.carries.clone() }
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

    fn encoded<T: Serialize>(value: &T) -> Result<Vec<u8>> {
        let encoded = postcard::to_allocvec(value);
        let payload = encoded.map(EncodedPayload::Inline).map_err(PayloadFault::Encode);
        match Encoded::check(type_name::<T>(), payload, Vec::new())?.payload {
            EncodedPayload::Inline(bytes) => Ok(bytes),
            EncodedPayload::Blob(blob) => panic!("{blob:?}"),
        }
    }

    #[test]
    fn a_value_comes_back_and_nothing_else_does() {
        let seven = encoded(&(7_u8, "seven".to_owned())).unwrap();
        assert_eq!(decode::<(u8, String)>(&seven).unwrap(), (7, "seven".to_owned()));
        for error in [
            decode::<u8>(&seven).map(drop).unwrap_err(),
            decode::<(u8, u8, [u8; 9])>(&seven).map(drop).unwrap_err(),
            decode::<(u8, bool)>(&seven).map(drop).unwrap_err(),
        ] {
            assert!(error.is_bad_encoding(), "{error:?}");
        }
        let error = decode::<u8>(&seven).unwrap_err();
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
}
