//! Queues: items move from producers to consumers, in order, each to one.
//!
//! An item that was handed to a process goes back into the queue, in the order of the puts, if the process dies before
//! it has *acknowledged* it. In a plain queue the acknowledgement is the next request of that process, whatever it is:
//! so a consumer that loops over `get` acknowledges each item by asking for the next. In a joinable queue it is
//! `task_done`, which finishes one item; the queue is joined when all are finished.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::format;
use core::mem;

use protocol::limits::{CARRIES_MAX, CARRIES_PER_REQUEST_MAX, PAYLOAD_BYTES_MAX};
use protocol::{
    BlobItemGrant, Code, Grant, ItemGrant, Kind, ObjectId, ObjectState, Refusal, Reply, SessionId, Spec,
};
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use crate::State;
use crate::inspect::LIST_MAX;
use crate::objects::object_body::ObjectBody;
use crate::objects::unfinished_items::{HandedOut, UnfinishedItems};
use crate::objects::{Body, Unconfirmed, Want};
use crate::sessions::session::Abandoner;
use crate::store::blob::Content;
use crate::store::catalog::{Object, Pin};
use crate::store::lifetime::{ObjectEnd, Remains};
use crate::store::long_queue::LongQueue;
use crate::store::memory::{CALL_BYTES, CARRIED_BYTES, JOINABLE_BYTES};
use crate::store::slab::Key;
use crate::waiting::wait::{Caller, Lane, Readiness};
use crate::waiting::wait_queue::WaitQueue;

/// The wait queues of a queue, in the order in which they are served.
pub(crate) const LANES: &[Lane] = &[Lane::Main, Lane::Putters, Lane::Joiners];

/// A queue.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Queue {
    capacity: Option<u64>,
    /// Those that were never handed out, in the order in which they were put.
    items: LongQueue<QueueItem>,
    /// Those that came back, by their numbers. They were put before all others.
    returned: BTreeMap<u64, QueueItem>,
    is_closed: bool,
    /// The items that are not finished, by the session that has them; none if it is not joinable.
    unfinished: Option<BTreeMap<SessionId, UnfinishedItems>>,
    /// How many items were put and are not finished, if it is joinable.
    unfinished_count: u64,
    /// How many items were put. The count is the number of the last one.
    put: u64,
    /// How many items were handed out. The count is the number of the last one.
    handed_out: u64,
    /// The waiters that want to put.
    putters: WaitQueue,
    /// The waiters for all items to be finished.
    joiners: WaitQueue,
}

/// An item: in the queue, with a waiter that wants to put it, or with a session that has to acknowledge it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct QueueItem {
    content: Content,
    /// Its number among all that were put into its queue; 0 before it is.
    number: u64,
    /// Keeps alive the objects whose proxies are in it.
    carries: Box<[Pin]>,
    /// Whether it is for a joinable queue.
    is_joinable: bool,
}

impl QueueItem {
    fn bytes(&self) -> usize {
        item_bytes(self.carries.len(), self.is_joinable)
    }
}

/// How much memory an item takes beyond that of a call with its bytes.
fn item_bytes(carries: usize, is_joinable: bool) -> usize {
    CARRIED_BYTES * carries + if is_joinable { JOINABLE_BYTES } else { 0 }
}

/// What the targets of one wait bring.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Brought {
    items: usize,
    bytes: usize,
    /// How many objects they carry.
    carries: usize,
    /// How much memory they take at most.
    memory: usize,
}

impl Queue {
    pub(crate) fn new(capacity: Option<u64>, is_joinable: bool) -> Result<Queue, Refusal> {
        if capacity == Some(0) {
            return Err(Refusal::new(
                Code::BadArgument,
                "a queue with a bound has room for at least one item",
            ));
        }
        Ok(Queue {
            capacity,
            items: LongQueue::default(),
            returned: BTreeMap::new(),
            is_closed: false,
            unfinished: is_joinable.then(BTreeMap::new),
            unfinished_count: 0,
            put: 0,
            handed_out: 0,
            putters: WaitQueue::default(),
            joiners: WaitQueue::default(),
        })
    }

    fn length(&self) -> u64 {
        (self.returned.len() + self.items.len()) as u64
    }

    fn is_empty(&self) -> bool {
        self.items.is_empty() && self.returned.is_empty()
    }

    fn readiness_to_get(&self) -> Readiness {
        let is_empty = self.is_empty();
        if self.is_closed && is_empty {
            return Readiness::Never(Refusal::new(Code::Closed, "the queue is closed and empty"));
        }
        Readiness::when(!is_empty)
    }

    fn readiness_to_put(&self) -> Readiness {
        if self.is_closed {
            return Readiness::Never(Refusal::new(Code::Closed, "the queue is closed"));
        }
        Readiness::when(self.capacity.is_none_or(|capacity| self.length() < capacity))
    }

    /// Puts an item back that was not acknowledged, among the others in the order in which they were put.
    fn put_back(&mut self, item: QueueItem) {
        self.returned.insert(item.number, item);
    }

    /// Takes the first item.
    fn pop(&mut self) -> Option<QueueItem> {
        if !self.returned.is_empty() {
            return self.returned.pop_first().map(|(_, item)| item);
        }
        self.items.pop_front()
    }

    /// Takes a finished item from the session that got it, if there is one.
    fn finish(&mut self, caller: Caller, number: Option<u64>) -> Option<QueueItem> {
        let unfinished = self.unfinished.as_mut()?;
        let items = unfinished.get_mut(&caller.session)?;
        let handed_out = match number.or_else(|| items.first_of(caller.thread)) {
            Some(number) => items.remove(number)?,
            None => items.pop_first()?,
        };
        if items.is_empty() {
            unfinished.remove(&caller.session);
        }
        self.unfinished_count -= 1;
        Some(handed_out.item)
    }

    fn has_unfinished(&self, session: SessionId) -> bool {
        self.unfinished.as_ref().is_some_and(|unfinished| unfinished.contains_key(&session))
    }
}

impl ObjectBody for Queue {
    fn kind(&self) -> Kind {
        Kind::Queue
    }

    fn spec(&self, _: &State) -> Option<Spec> {
        Some(Spec::Queue { capacity: self.capacity, is_joinable: self.unfinished.is_some() })
    }

    fn inspect(&self, state: &State, _: &Object) -> ObjectState {
        let unfinished = self.unfinished.iter().flatten().take(LIST_MAX);
        ObjectState::Queue {
            length: self.length(),
            capacity: self.capacity,
            unfinished: self.unfinished.is_some().then_some(self.unfinished_count),
            is_closed: self.is_closed,
            holders: unfinished
                .map(|(&session, items)| (state.session_info(session), items.len() as u64))
                .collect(),
        }
    }

    fn readiness(&self, want: &Want, _: Caller) -> Readiness {
        match want {
            Want::Item => self.readiness_to_get(),
            Want::Room(_) => self.readiness_to_put(),
            Want::Joined => Readiness::when(self.unfinished_count == 0),
            _ => unreachable!("the kind was checked when the wait began"),
        }
    }

    fn is_used_up(&self, want: &Want) -> bool {
        !matches!(want, Want::Joined)
    }

    fn lanes(&self) -> &'static [Lane] {
        LANES
    }

    fn wait_queue_in(&self, lane: Lane) -> &WaitQueue {
        if lane == Lane::Putters { &self.putters } else { &self.joiners }
    }

    fn wait_queue_mut(&mut self, lane: Lane) -> &mut WaitQueue {
        if lane == Lane::Putters { &mut self.putters } else { &mut self.joiners }
    }

    fn abandoned(state: &mut State, key: Key, abandoner: &Abandoner, _: &str) -> bool {
        state.items_return(key, abandoner.session)
    }

    fn given_back(state: &mut State, key: Key, grant: Unconfirmed) {
        if let Unconfirmed::Item(_, item) = grant {
            state.item_given_back(key, item);
        }
    }

    fn destroyed(&mut self, state: &mut State, key: Key, _: &ObjectEnd) {
        if self.is_empty() && self.unfinished.as_ref().is_none_or(BTreeMap::is_empty) {
            return;
        }
        let handed_out = self.unfinished.take().unwrap_or_default();
        state.held_by_none(key, handed_out.keys());
        state.let_go_of(Box::new(Remains {
            items: mem::take(&mut self.items),
            returned: mem::take(&mut self.returned),
            handed_out,
            ..Remains::default()
        }));
    }
}

impl State {
    /// Refuses an item that no queue could hold, or for which the manager has no room now. `brought` counts what
    /// the same wait brings; with this one afterwards.
    pub(crate) fn check_item(
        &self,
        bytes_of_item: usize,
        carries: &[ObjectId],
        brought: &mut Brought,
    ) -> Result<(), Refusal> {
        brought.items += 1;
        brought.bytes += bytes_of_item;
        brought.carries += carries.len();
        brought.memory += CALL_BYTES + bytes_of_item + item_bytes(carries.len(), true);
        let Brought { items, bytes, carries: carried, memory } = *brought;
        let (items_max, bytes_max) = (self.limits.calls_and_items_max, self.limits.stored_bytes_max);
        let text = if bytes_of_item > PAYLOAD_BYTES_MAX {
            format!("an item has at most {PAYLOAD_BYTES_MAX} bytes, this one has {bytes_of_item}")
        } else if carries.len() > CARRIES_MAX {
            format!("an item carries at most {CARRIES_MAX} proxies, and this one has more")
        } else if carried > CARRIES_PER_REQUEST_MAX {
            format!(
                "the items of a wait carry at most {CARRIES_PER_REQUEST_MAX} proxies together, and these more; put \
                 them in several waits"
            )
        } else if self.stored_calls_and_items + items > items_max {
            format!(
                "the manager holds {} of at most {items_max} calls and items",
                self.stored_calls_and_items
            )
        } else if self.stored_bytes + bytes > bytes_max {
            format!(
                "the manager stores {} of at most {bytes_max} bytes for calls and items",
                self.stored_bytes
            )
        } else {
            return self.check_memory(memory);
        };
        Err(Refusal::new(Code::LimitReached, text))
    }

    pub(crate) fn check_joinable(&self, key: Key) -> Result<(), Refusal> {
        match &self.catalog.at(key).body {
            Body::Queue(queue) if queue.unfinished.is_some() => Ok(()),
            _ => Err(Refusal::new(Code::BadTarget, format!("{} is not joinable", self.describe(key)))),
        }
    }

    /// Takes an item into the manager's keeping, before it is in any queue.
    pub(crate) fn store_item(&mut self, key: Key, content: Content, carries: &[ObjectId]) -> QueueItem {
        let is_joinable = self.queue_at(key).unfinished.is_some();
        self.stored_calls_and_items += 1;
        self.stored_bytes += content.stored_bytes();
        let carries = carries.iter().filter_map(|&id| self.pin(id)).collect();
        let item = QueueItem { content, number: 0, carries, is_joinable };
        self.memory.charge(item.bytes());
        item
    }

    /// Releases an item from the manager's keeping.
    pub(crate) fn discard_item(&mut self, item: QueueItem) {
        self.memory.give_back(item.bytes());
        self.stored_calls_and_items -= 1;
        self.stored_bytes -= item.content.stored_bytes();
        if let Content::Blob(blob) = item.content {
            self.blob_release(blob, 1);
        }
        self.step(item.carries.len() as u64);
        item.carries.into_iter().for_each(|pin| self.unpin(pin));
    }

    pub(crate) fn item_put(&mut self, key: Key, mut item: QueueItem) -> Grant {
        let queue = self.queue_at(key);
        queue.put += 1;
        item.number = queue.put;
        queue.items.push_back(item);
        queue.unfinished_count += u64::from(queue.unfinished.is_some());
        self.touch(key);
        Grant::Put
    }

    /// The size of the next item.
    pub(crate) fn next_item_bytes(&self, key: Key) -> usize {
        match &self.catalog.at(key).body {
            Body::Queue(queue) => {
                let first = queue.returned.values().next().or_else(|| queue.items.front());
                first.map_or(0, |item| item.content.stored_bytes())
            }
            _ => unreachable!("the kind was checked when the key was found"),
        }
    }

    /// Hands the first item to a session, which keeps it until it is acknowledged.
    pub(crate) fn item_take(
        &mut self,
        key: Key,
        caller: Caller,
        unconfirmed: &mut SmallVec<[Unconfirmed; 1]>,
    ) -> Grant {
        let handle = self.catalog.handle(key);
        let queue = self.queue_at(key);
        let item = queue.pop().expect("a ready queue has an item");
        let is_closed = queue.is_closed;
        queue.handed_out += 1;
        let number = queue.handed_out;
        let carries = !item.carries.is_empty();
        let granted = match &item.content {
            Content::Bytes(payload) => Ok(payload.clone()),
            Content::Blob(blob) => Err(*blob),
        };
        let Caller { session, thread } = caller;
        match &mut queue.unfinished {
            Some(unfinished) => {
                let items = unfinished.entry(session).or_insert_with(UnfinishedItems::new);
                items.add(HandedOut { number, thread, item });
                self.session_at(session).hold(key);
            }
            None => unconfirmed.push(Unconfirmed::Item(handle, item)),
        }
        match is_closed {
            // It may have been the last.
            true => self.touch(key),
            false => self.touch_lane(key, Lane::Putters),
        }
        match granted {
            Ok(payload) => Grant::Item(ItemGrant { number, carries, payload }),
            Err(blob) => {
                let bytes = self.blob_grant(session, blob);
                Grant::BlobItem(BlobItemGrant { number, carries, blob, bytes })
            }
        }
    }

    /// Puts an item back that a dead process had not acknowledged.
    fn item_given_back(&mut self, key: Key, item: QueueItem) {
        self.queue_at(key).put_back(item);
        self.touch(key);
    }

    /// Puts the next item back that a session got from a joinable queue and has not finished. Returns whether there are
    /// more.
    fn items_return(&mut self, key: Key, session: SessionId) -> bool {
        let queue = self.queue_at(key);
        let Some(unfinished) = &mut queue.unfinished else { return false };
        let Some(items) = unfinished.get_mut(&session) else { return false };
        let next = items.pop_first();
        let has_more = !items.is_empty();
        if !has_more {
            unfinished.remove(&session);
        }
        if let Some(handed_out) = next {
            queue.put_back(handed_out.item);
        }
        self.touch(key);
        has_more
    }

    /// Finishes the item of this number; without one, the oldest of the calling thread, or else of its session.
    pub(crate) fn queue_item_done(
        &mut self,
        caller: Caller,
        id: ObjectId,
        number: Option<u64>,
    ) -> Result<Reply, Refusal> {
        let key = self.catalog.find(id, Kind::Queue)?;
        self.check_joinable(key)?;
        let Some(item) = self.queue_at(key).finish(caller, number) else {
            let which = if number.is_some() { "item of this number" } else { "item" };
            let text = format!("this process has no unfinished {which} of {}", self.describe(key));
            return Err(Refusal::new(Code::NotOwner, text));
        };
        if !self.queue_at(key).has_unfinished(caller.session) {
            self.session_at(caller.session).hold_no_more(key);
        }
        self.discard_item(item);
        self.touch(key);
        Ok(Reply::Done)
    }

    pub(crate) fn queue_length(&mut self, id: ObjectId) -> Result<Reply, Refusal> {
        let key = self.catalog.find(id, Kind::Queue)?;
        Ok(Reply::Count(self.queue_at(key).length()))
    }

    pub(crate) fn queue_close(&mut self, id: ObjectId) -> Result<Reply, Refusal> {
        let key = self.catalog.find(id, Kind::Queue)?;
        self.queue_at(key).is_closed = true;
        self.touch(key);
        Ok(Reply::Done)
    }

    fn queue_at(&mut self, key: Key) -> &mut Queue {
        match &mut self.catalog.at_mut(key).body {
            Body::Queue(queue) => queue,
            _ => unreachable!("the kind was checked when the key was found"),
        }
    }
}
