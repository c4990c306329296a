//! Which answers this process has read and will not lose any more, as every request tells the manager.
//!
//! What the manager granted with an answer that is not confirmed goes to the next in line if this process dies.
//! An answer that is read is as good as received, with one exception: an item of a queue may carry proxies, whose
//! objects are kept alive by the item alone until this process has attached itself to them. So an answer that
//! brings an item comes with a [`Receipt`], and neither it nor a later one is confirmed while that is kept.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use protocol::{Grant, Reply};

use crate::sync::lock;

/// What a connection has read and not lost.
#[derive(Debug)]
pub(crate) struct Receipts {
    /// How many answers, from the first on, the manager may forget about. Grows only.
    confirmed: AtomicU64,
    book: Mutex<Book>,
    /// The process that reads the answers.
    process: u32,
}

#[derive(Debug, Default)]
struct Book {
    /// How many answers were read.
    read: u64,
    /// The numbers of those whose receipts are kept.
    kept: BTreeSet<u64>,
}

/// Keeps an answer from being confirmed, until it is dropped.
#[derive(Debug)]
pub(crate) struct Receipt {
    receipts: Arc<Receipts>,
    number: u64,
}

impl Receipts {
    pub(crate) fn new() -> Receipts {
        Receipts { confirmed: AtomicU64::new(0), book: Mutex::default(), process: std::process::id() }
    }

    /// How many answers the next request confirms.
    pub(crate) fn confirmed(&self) -> u64 {
        self.confirmed.load(Ordering::Relaxed)
    }

    /// Counts an answer that was read. It is confirmed from now on, unless there is a receipt for it.
    pub(crate) fn note(self: &Arc<Self>, reply: &Reply) -> Option<Receipt> {
        let mut book = lock(&self.book);
        book.read += 1;
        let number = book.read;
        let receipt = brings_item(reply).then(|| Receipt { receipts: Arc::clone(self), number });
        if receipt.is_some() {
            book.kept.insert(number);
        }
        self.update(&book);
        receipt
    }

    fn update(&self, book: &Book) {
        let confirmed = book.kept.first().map_or(book.read, |first| first - 1);
        self.confirmed.store(confirmed, Ordering::Relaxed);
    }
}

impl Drop for Receipt {
    fn drop(&mut self) {
        // A forked child got a copy of what is its parent's to confirm, and perhaps of a lock that nobody opens.
        if self.receipts.process == std::process::id() {
            let mut book = lock(&self.receipts.book);
            book.kept.remove(&self.number);
            self.receipts.update(&book);
        }
    }
}

fn brings_item(reply: &Reply) -> bool {
    match reply {
        Reply::Taken(taken) => taken.grants.iter().any(|grant| matches!(grant, Grant::Item(_))),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use protocol::{Payload, Taken};

    use super::*;

    fn item() -> Reply {
        let grants = [Grant::Item(Payload::from([].as_slice()))].into_iter().collect();
        Reply::Taken(Taken { index: 0, grants, reacquired: None })
    }

    #[test]
    fn nothing_is_confirmed_from_the_first_kept_receipt_on() {
        let receipts = Arc::new(Receipts::new());
        assert!(receipts.note(&Reply::Done).is_none());
        let first = receipts.note(&item()).unwrap();
        assert!(receipts.note(&Reply::Done).is_none());
        let second = receipts.note(&item()).unwrap();
        assert!(receipts.note(&Reply::Done).is_none());
        assert_eq!(receipts.confirmed(), 1);
        drop(first);
        assert_eq!(receipts.confirmed(), 3);
        drop(second);
        assert_eq!(receipts.confirmed(), 5);
    }

    #[test]
    fn receipts_are_dropped_in_any_order() {
        let receipts = Arc::new(Receipts::new());
        let [first, second] = [(); 2].map(|()| receipts.note(&item()).unwrap());
        drop(second);
        assert_eq!(receipts.confirmed(), 0);
        drop(first);
        assert_eq!(receipts.confirmed(), 2);
    }
}
