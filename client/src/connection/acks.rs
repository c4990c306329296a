//! Which answers this process has read and will not lose any more, as every request tells the manager.
//!
//! What the manager granted with an answer that is not confirmed goes to the next in line if this process dies.
//! An answer that is read is as good as received, with one exception: an item of a queue may carry proxies, whose
//! objects are kept alive by the item alone until this process has attached itself to them. So an answer that
//! brings such an item comes with a [`Receipt`], and neither it nor a later one is confirmed while that is kept.
//!
//! The manager ends the connection of a process that confirms nothing for too long. So before that, this process begins
//! no more waits, until the receipt is dropped.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use protocol::limits::UNCONFIRMED_MAX;
use protocol::{Grant, Reply};

use crate::sync::lock;
use crate::{Error, ErrorKind, Result};

/// With how many grants that are not confirmed no more are asked for. As many again may come by the waits under way.
const GRANTS_MAX: u64 = UNCONFIRMED_MAX as u64 / 2;

/// What a connection has read and not lost.
#[derive(Debug)]
pub(crate) struct Receipts {
    /// How many answers, from the first on, the manager may forget about. Grows only.
    confirmed: AtomicU64,
    /// Whether the kept receipts keep too much from being confirmed.
    is_full: AtomicBool,
    book: Mutex<Book>,
    /// The process that reads the answers.
    process: u32,
}

#[derive(Debug, Default)]
struct Book {
    /// How many answers were read.
    read: u64,
    /// How many grants these brought.
    grants: u64,
    /// The numbers of those whose receipts are kept, and how many grants came before each.
    kept: BTreeMap<u64, u64>,
}

/// Keeps an answer from being confirmed, until it is dropped.
#[derive(Debug)]
pub(crate) struct Receipt {
    receipts: Arc<Receipts>,
    number: u64,
}

impl Receipts {
    pub(crate) fn new() -> Receipts {
        Receipts {
            confirmed: AtomicU64::new(0),
            is_full: AtomicBool::new(false),
            book: Mutex::default(),
            process: std::process::id(),
        }
    }

    /// How many answers the next request confirms. While its thread panics that is none: what the thread drops on its
    /// way out must not acknowledge what it has not done. If the process goes on, a later request does.
    pub(crate) fn confirmed(&self) -> u64 {
        if std::thread::panicking() { 0 } else { self.confirmed.load(Ordering::Relaxed) }
    }

    /// Refuses a wait whose answer could make the manager end the connection.
    pub(crate) fn check(&self) -> Result<()> {
        if !self.is_full.load(Ordering::Relaxed) {
            return Ok(());
        }
        let text = format!(
            "an item with proxies was got and neither decoded nor dropped, and {GRANTS_MAX} grants came since"
        );
        Err(Error::new(ErrorKind::Limit, text))
    }

    /// Counts an answer that was read. It is confirmed from now on, unless there is a receipt for it.
    pub(crate) fn note(self: &Arc<Self>, reply: &Reply) -> Option<Receipt> {
        let mut book = lock(&self.book);
        book.read += 1;
        let number = book.read;
        let receipt = carries_proxies(reply).then(|| Receipt { receipts: Arc::clone(self), number });
        if receipt.is_some() {
            let grants = book.grants;
            book.kept.insert(number, grants);
        }
        book.grants += grants(reply);
        self.update(&book);
        receipt
    }

    fn update(&self, book: &Book) {
        let (confirmed, grants) = match book.kept.first_key_value() {
            Some((first, before)) => (first - 1, book.grants - before),
            None => (book.read, 0),
        };
        self.confirmed.store(confirmed, Ordering::Relaxed);
        self.is_full.store(grants >= GRANTS_MAX, Ordering::Relaxed);
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

fn carries_proxies(reply: &Reply) -> bool {
    match reply {
        Reply::Taken(taken) => {
            taken.grants.iter().any(|grant| matches!(grant, Grant::Item(item) if item.carries))
        }
        _ => false,
    }
}

/// How many grants an answer brings: at least as many as the manager wants to be confirmed.
fn grants(reply: &Reply) -> u64 {
    match reply {
        Reply::Taken(taken) => taken.grants.len() as u64,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use protocol::{ItemGrant, Payload, Taken};

    use super::*;

    fn item() -> Reply {
        item_that(true)
    }

    fn item_that(carries: bool) -> Reply {
        let item = ItemGrant { number: 1, carries, payload: Payload::from([].as_slice()) };
        let grants = [Grant::Item(item)].into_iter().collect();
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

    #[test]
    fn an_item_that_carries_nothing_is_confirmed_at_once() {
        let receipts = Arc::new(Receipts::new());
        assert!(receipts.note(&item_that(false)).is_none());
        assert_eq!(receipts.confirmed(), 1);
    }

    #[test]
    fn a_receipt_that_is_kept_for_too_long_ends_the_waits_and_not_the_connection() {
        let receipts = Arc::new(Receipts::new());
        let first = receipts.note(&item()).unwrap();
        let second = receipts.note(&item()).unwrap();
        for _ in 2..GRANTS_MAX {
            assert_eq!(receipts.check(), Ok(()));
            receipts.note(&item_that(false));
        }
        assert!(receipts.check().unwrap_err().is_limit());
        drop(first);
        assert_eq!(receipts.check(), Ok(()), "the second has kept one less");
        receipts.note(&item_that(false));
        assert!(receipts.check().unwrap_err().is_limit());
        drop(second);
        assert_eq!(receipts.check(), Ok(()));
    }
}
