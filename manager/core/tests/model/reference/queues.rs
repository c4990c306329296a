//! Queues ("Queues").

use std::collections::BTreeMap;

use protocol::{BlobItemGrant, Code, Grant, ItemGrant, ObjectId, Reply, SessionId};

use super::blobs::Content;
use super::effects::Expected;
use super::sessions::{Unconfirmed, Used};
use super::waits::Decision;
use super::{Body, Caller, Model, ModelAnswer, Pin};

pub(crate) struct Queue {
    pub(crate) capacity: Option<u64>,
    /// The items in the queue, in the order in which they were put.
    pub(crate) items: Vec<Item>,
    pub(crate) is_closed: bool,
    /// What each session has not finished; none if the queue is not joinable.
    pub(crate) unfinished: Option<BTreeMap<SessionId, Vec<Delivery>>>,
    /// How many items were put and are not finished.
    pub(crate) unfinished_count: u64,
    puts: u64,
    deliveries: u64,
}

/// The number of a delivery, the thread that got it, and the item.
type Delivery = (u64, u64, Item);

#[derive(Debug)]
pub(crate) struct Item {
    pub(crate) content: Content,
    pub(crate) carries: Vec<Pin>,
    /// Its number among all that were put into its queue.
    pub(crate) put: u64,
}

impl Queue {
    pub(crate) fn new(capacity: Option<u64>, is_joinable: bool) -> Queue {
        Queue {
            capacity,
            items: Vec::new(),
            is_closed: false,
            unfinished: is_joinable.then(BTreeMap::new),
            unfinished_count: 0,
            puts: 0,
            deliveries: 0,
        }
    }

    pub(crate) fn put(&mut self, mut item: Item) {
        self.puts += 1;
        item.put = self.puts;
        self.items.push(item);
        self.unfinished_count += u64::from(self.unfinished.is_some());
    }

    /// Puts an item that was not acknowledged back, in the order in which the items were put.
    pub(crate) fn bring_back(&mut self, item: Item) {
        self.items.push(item);
        self.items.sort_by_key(|item| item.put);
    }

    pub(crate) fn bring_back_unfinished(&mut self, session: SessionId) {
        let items = self.unfinished.as_mut().and_then(|unfinished| unfinished.remove(&session));
        items.into_iter().flatten().for_each(|(_, _, item)| self.bring_back(item));
    }

    /// The items in the queue, and those that are not finished.
    pub(crate) fn all_items(&self) -> impl Iterator<Item = &Item> {
        let unfinished = self.unfinished.iter().flat_map(BTreeMap::values).flatten();
        self.items.iter().chain(unfinished.map(|(_, _, item)| item))
    }
}

impl Model {
    pub(crate) fn check_joinable(&mut self, id: ObjectId) -> Result<(), Code> {
        match self.queue(id)?.unfinished {
            Some(_) => Ok(()),
            None => Err(Code::BadTarget),
        }
    }

    /// All items that the manager keeps: in queues, with waits that want to put them, and with sessions that have not
    /// acknowledged them.
    pub(crate) fn all_items(&self) -> Vec<&Item> {
        let mut items = Vec::new();
        for object in self.objects.values() {
            if let Body::Queue(queue) = &object.body {
                items.extend(queue.all_items());
            }
        }
        let mut unconfirmed: Vec<&Unconfirmed> = Vec::new();
        for wait in self.waits.values() {
            items.extend(wait.items());
            if let Some(Decision::Taken { unconfirmed: grants, .. }) = &wait.decided {
                unconfirmed.extend(grants);
            }
        }
        for session in self.sessions.values() {
            unconfirmed.extend(session.unconfirmed.iter().map(|(_, grant)| grant));
        }
        for effect in &self.effects {
            if let Expected::Reply { unconfirmed: grants, .. } = effect {
                unconfirmed.extend(grants);
            }
        }
        items.extend(unconfirmed.into_iter().filter_map(|grant| match &grant.what {
            Used::Item(item) => Some(item),
            _ => None,
        }));
        items
    }

    /// How many calls and items the manager keeps, and their bytes, those of blobs among them.
    pub(crate) fn kept(&self) -> (usize, usize) {
        let items = self.all_items();
        let mut kept = (items.len(), items.iter().map(|item| item.content.bytes().len()).sum::<usize>());
        for object in self.objects.values() {
            if let Body::Batch(batch) = &object.body {
                let (calls, bytes) = batch.kept();
                kept = (kept.0 + calls, kept.1 + bytes);
            }
        }
        (kept.0, kept.1 + self.blob_bytes())
    }

    pub(crate) fn take_item(
        &mut self,
        id: ObjectId,
        caller: Caller,
        unconfirmed: &mut Vec<Unconfirmed>,
    ) -> Grant {
        let queue = self.queue(id).unwrap();
        let item = queue.items.remove(0);
        queue.deliveries += 1;
        let number = queue.deliveries;
        let (carries, content) = (!item.carries.is_empty(), item.content.clone());
        match &mut queue.unfinished {
            Some(unfinished) => {
                unfinished.entry(caller.session).or_default().push((number, caller.thread, item));
            }
            None => unconfirmed.push(self.unconfirmed(id, Used::Item(item))),
        }
        match content {
            Content::Bytes(payload) => Grant::Item(ItemGrant { number, carries, payload }),
            Content::Blob(blob) => {
                let bytes = self.give_blob(caller.session, blob);
                Grant::BlobItem(BlobItemGrant { number, carries, blob, bytes })
            }
        }
    }

    /// Finishes the item of this number, or else the oldest of the thread, or else the oldest of the session.
    pub(crate) fn queue_item_done(
        &mut self,
        caller: Caller,
        id: ObjectId,
        number: Option<u64>,
    ) -> ModelAnswer {
        self.check_joinable(id)?;
        let queue = self.queue(id)?;
        let items = queue.unfinished.as_mut().unwrap().get_mut(&caller.session).ok_or(Code::NotOwner)?;
        let position = match number {
            Some(number) => items.iter().position(|(other, _, _)| *other == number),
            None => items.iter().position(|(_, thread, _)| *thread == caller.thread).or(Some(0)),
        };
        items.remove(position.ok_or(Code::NotOwner)?);
        queue.unfinished.as_mut().unwrap().retain(|_, items| !items.is_empty());
        queue.unfinished_count -= 1;
        self.note_if_unused = true;
        Ok(Reply::Done)
    }

    pub(crate) fn queue_close(&mut self, id: ObjectId) -> ModelAnswer {
        self.queue(id)?.is_closed = true;
        Ok(Reply::Done)
    }
}
