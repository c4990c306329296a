//! The items of a joinable queue that were handed out and are not finished.

use alloc::collections::BTreeSet;

use protocol::ThreadId;
use serde::{Deserialize, Serialize};

use crate::objects::queue::QueueItem;
use crate::store::small_map::SmallMap;

/// An item that is not finished, and the thread that got it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct HandedOut {
    pub(crate) number: u64,
    pub(crate) thread: ThreadId,
    pub(crate) item: QueueItem,
}

/// The items that one session has and has not finished, by their numbers, in the order in which it got them.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct UnfinishedItems {
    items: SmallMap<u64, HandedOut>,
    /// Which thread got which item, once there were too many to look through; none before.
    of_threads: BTreeSet<(ThreadId, u64)>,
}

impl UnfinishedItems {
    pub(crate) fn new() -> UnfinishedItems {
        // Most sessions have one at a time.
        UnfinishedItems { items: SmallMap::with_room(1), of_threads: BTreeSet::new() }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.items.len()
    }

    pub(crate) fn add(&mut self, handed_out: HandedOut) {
        let (thread, number) = (handed_out.thread, handed_out.number);
        self.items.insert(number, handed_out);
        if !self.of_threads.is_empty() {
            self.of_threads.insert((thread, number));
        } else if self.items.is_large() {
            self.of_threads = self.items.values().map(|item| (item.thread, item.number)).collect();
        }
    }

    pub(crate) fn remove(&mut self, number: u64) -> Option<HandedOut> {
        let handed_out = self.items.remove(number)?;
        self.of_threads.remove(&(handed_out.thread, number));
        Some(handed_out)
    }

    /// Takes the oldest.
    pub(crate) fn pop_first(&mut self) -> Option<HandedOut> {
        self.remove(self.items.first_key()?)
    }

    /// The number of the oldest that a thread got.
    pub(crate) fn first_of(&self, thread: ThreadId) -> Option<u64> {
        if self.of_threads.is_empty() {
            return self.items.values().find(|item| item.thread == thread).map(|item| item.number);
        }
        self.of_threads.range((thread, 0)..=(thread, u64::MAX)).next().map(|&(_, number)| number)
    }
}
