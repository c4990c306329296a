//! The queue: values on their way from producers to consumers.

use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use client_core::WaitTarget;
use client_core::operations::{GetTarget, JoinTarget, QueueClose, QueueItemDone, QueueLength};
use protocol::{Grant, Kind, Spec, Target};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::objects::item::Encoded;
use crate::objects::proxy::proxy;
use crate::objects::reference::{Reference, without_timeout};
use crate::objects::waitable::SealedWaitable;
use crate::process::thread::this_thread;
use crate::{Item, Manager, OpenOptions, Putting, Result, Taken};

/// Values on their way from producers to consumers: in order, each to one consumer. This is a proxy.
///
/// It is Python's `Queue`, and its `JoinableQueue` with [`joinable`](OpenOptions::joinable). The values are of any
/// serde type without borrowed parts, and of any size: what is large travels as memory, which the manager does not
/// copy; [`Bytes`](crate::Bytes) are then read where they are. They can carry proxies, whose objects live at least
/// until the item is acknowledged. All processes that open a queue by its name have to use the same `T`; an item that
/// is not a `T` to its receiver is an error there.
///
/// # An item is lost only when its receiver has acknowledged it
/// - In a plain queue, **the next request of the process that got it acknowledges it**, whatever request that is, and
///   of whichever of its threads. A loop over `get` acknowledges each item when it gets the next. If the process dies
///   before, the item goes back into the queue. A process that ends in order has acknowledged all it got. It ends in
///   order if it drops every proxy and handle of this manager, as when `main` returns and no static or other thread
///   keeps one. Anything else counts as a death: a signal, `process::exit`, `abort`, and a panic that drops the last of
///   them, so an item that makes a consumer panic comes back.
/// - In a joinable queue, **[`task_done`](Self::task_done) acknowledges it**, and nothing else does. When a process
///   ends, in whatever way, its unfinished items go back into the queue, in the order in which they were put, and
///   [`join`](Self::join) waits for their next receivers. Use a joinable queue for work that must not be lost.
///
/// So an item may be handed out twice, if its first receiver dies between the work and the acknowledgement. Items that
/// came back may fill a queue beyond its capacity.
///
/// A queue without a name whose items carry proxies of that same queue, or of another that carries it, keeps itself
/// alive until consumers get these items or the manager ends: the manager does not look for such cycles.
///
/// # Fairness
/// First come, first served, among consumers and among producers. When a process dies, its waits vanish: what it waited
/// to put is never put, and the next waiter gets what it waited for. When the manager dies, all items are lost and
/// every call fails at once ([`is_manager_gone`](crate::Error::is_manager_gone)).
///
/// ```no_run
/// # use client as rallypoint;
/// # fn main() -> rallypoint::Result<()> {
/// let manager = rallypoint::Manager::start()?;
/// let words = manager.queue_options::<String>().capacity(100).joinable(true).create_new("words")?;
/// words.put(&"hello".to_owned())?;
/// words.close()?;
///
/// for word in &words {
///     println!("{}", word?);
///     words.task_done()?;
/// }
/// assert!(words.join(None)?);
/// # Ok(())
/// # }
/// ```
pub struct Queue<T> {
    reference: Arc<Reference>,
    values: PhantomData<fn(T) -> T>,
}

impl<T> Queue<T> {
    /// How many items are in the queue. Items that were handed out do not count, acknowledged or not.
    ///
    /// # Errors
    ///
    /// [`is_no_such_object`](crate::Error::is_no_such_object) if the queue was removed.
    pub fn len(&self) -> Result<u64> {
        self.reference.run(QueueLength { id: self.id() })
    }

    /// Whether no item is in the queue.
    ///
    /// # Errors
    ///
    /// As with [`len`](Self::len).
    pub fn is_empty(&self) -> Result<bool> {
        self.len().map(|length| length == 0)
    }

    /// Reports that an item of a joinable queue is finished: the oldest one that the calling thread got and has not
    /// finished. A thread that has none finishes the oldest of its process, so one thread can get items for others.
    ///
    /// # Errors
    ///
    /// [`is_not_owner`](crate::Error::is_not_owner) if this process has no unfinished item;
    /// [`is_bad_target`](crate::Error::is_bad_target) if the queue is not joinable.
    pub fn task_done(&self) -> Result<()> {
        self.reference.run(QueueItemDone { id: self.id(), item: None, thread: this_thread() })
    }

    /// Waits until every item that was ever put into a joinable queue is finished. False if the timeout ends first;
    /// with `None` it waits forever.
    ///
    /// # Errors
    ///
    /// [`is_bad_target`](crate::Error::is_bad_target) if the queue is not joinable.
    pub fn join(&self, timeout: impl Into<Option<Duration>>) -> Result<bool> {
        let joined = self.reference.wait(JoinTarget { queue: self.id() }, timeout.into())?;
        Ok(joined.is_some())
    }

    /// A [`join`](Self::join) as something to wait for together with other objects.
    pub fn joined(&self) -> Joined {
        Joined { queue: Arc::clone(&self.reference) }
    }

    /// Closes the queue for everyone and forever: it takes no more items. From then on a `put` fails with
    /// [`is_closed`](crate::Error::is_closed), even one that waits; a `get` still takes the items that are left, and
    /// then fails likewise. Closing the queue again changes nothing.
    ///
    /// # Errors
    ///
    /// As with [`len`](Self::len).
    pub fn close(&self) -> Result<()> {
        self.reference.run(QueueClose { id: self.id() })
    }

    /// The object itself, for the rest of the product.
    #[doc(hidden)]
    pub fn reference(&self) -> &Reference {
        &self.reference
    }
}

impl<T: Serialize> Queue<T> {
    /// Puts an item at the end, and waits for room if the queue is full.
    ///
    /// # Errors
    ///
    /// [`is_closed`](crate::Error::is_closed) if the queue is; [`is_bad_encoding`](crate::Error::is_bad_encoding) if
    /// the value does not encode; [`is_bad_target`](crate::Error::is_bad_target) if it carries a proxy of another
    /// manager, which this one cannot keep alive; [`is_limit`](crate::Error::is_limit) if it encodes to more than 64
    /// GiB, or if the manager stores as much as it may. Then nothing is put. A large item is refused before it is
    /// encoded if it is, or begins with, this many bytes in one piece.
    pub fn put(&self, item: &T) -> Result<()> {
        self.insert(item, None).map(drop)
    }

    /// Puts an item at the end. False if the queue is full; then nothing is put.
    ///
    /// # Errors
    ///
    /// As with [`put`](Self::put).
    pub fn try_put(&self, item: &T) -> Result<bool> {
        self.insert(item, Some(Duration::ZERO))
    }

    /// Puts an item at the end, and waits for room. False if the timeout ends first; then nothing is put.
    ///
    /// # Errors
    ///
    /// As with [`put`](Self::put).
    pub fn put_timeout(&self, item: &T, timeout: Duration) -> Result<bool> {
        self.insert(item, Some(timeout))
    }

    /// A `put` as something to wait for together with other objects.
    ///
    /// # Errors
    ///
    /// If the value cannot become an item, as with [`put`](Self::put).
    pub fn putting<'a>(&self, item: &'a T) -> Result<Putting<'a>> {
        Putting::new(item, &self.reference)
    }

    fn insert(&self, item: &T, timeout: Option<Duration>) -> Result<bool> {
        let item = Encoded::new(item, &self.reference)?;
        let put = self.reference.wait(item.target(self.id()), timeout)?;
        Ok(put.is_some())
    }
}

impl<T: DeserializeOwned> Queue<T> {
    /// Takes the first item, and waits for one if the queue is empty.
    ///
    /// # Errors
    ///
    /// [`is_closed`](crate::Error::is_closed) if the queue is, and empty; [`is_removed`](crate::Error::is_removed) if
    /// it is removed meanwhile; [`is_bad_encoding`](crate::Error::is_bad_encoding) if the item is not a `T`: then it is
    /// lost, and in a joinable queue it is finished without a `task_done` ([`Item::decode`] says why). If a proxy in it
    /// has no object, [`is_no_such_object`](crate::Error::is_no_such_object) holds too; without `is_bad_encoding` that
    /// means that the queue does not exist.
    pub fn get(&self) -> Result<T> {
        without_timeout(self.take(None)?)
    }

    /// Takes the first item; none if the queue is empty now.
    ///
    /// # Errors
    ///
    /// As with [`get`](Self::get).
    pub fn try_get(&self) -> Result<Option<T>> {
        self.take(Some(Duration::ZERO))
    }

    /// Takes the first item, and waits for one; none if the timeout ends first.
    ///
    /// # Errors
    ///
    /// As with [`get`](Self::get).
    pub fn get_timeout(&self, timeout: Duration) -> Result<Option<T>> {
        self.take(Some(timeout))
    }

    /// The items as they come, each taken as by [`get`](Self::get), until the queue is closed and empty.
    ///
    /// An item that does not decode is an error, and the iterator goes on. After any other error it ends.
    pub fn iter(&self) -> Items<'_, T> {
        Items { queue: Some(self) }
    }

    fn take(&self, timeout: Option<Duration>) -> Result<Option<T>> {
        let taken = self.reference.wait_with_ack_hold(GetTarget { queue: self.id() }, timeout)?;
        let Some((item, ack_hold)) = taken else { return Ok(None) };
        Item::new(item, &self.reference).with_ack_hold(ack_hold).decode().map(Some)
    }
}

/// A clone is the same queue.
impl<T> Clone for Queue<T> {
    fn clone(&self) -> Queue<T> {
        Queue { reference: Arc::clone(&self.reference), values: PhantomData }
    }
}

proxy!(Queue<T>, Kind::Queue);

impl<T> SealedWaitable for Queue<T> {
    fn reference(&self) -> &Reference {
        &self.reference
    }

    fn target(&self) -> Target<'_> {
        GetTarget { queue: self.id() }.into_target()
    }

    fn receive(&self, grant: Grant) -> Result<Taken> {
        Ok(Taken::Item(Item::new(GetTarget::granted(grant)?, &self.reference)))
    }
}

/// The wait until every item of a joinable queue is finished, as something to wait for. [`Queue::joined`] makes it.
#[derive(Clone, Debug)]
pub struct Joined {
    queue: Arc<Reference>,
}

impl SealedWaitable for Joined {
    fn reference(&self) -> &Reference {
        &self.queue
    }

    fn target(&self) -> Target<'_> {
        JoinTarget { queue: self.queue.id() }.into_target()
    }

    fn receive(&self, grant: Grant) -> Result<Taken> {
        JoinTarget::granted(grant)?;
        Ok(Taken::Joined)
    }
}

/// An iterator over the items of a queue as they come. [`Queue::iter`] makes it.
#[derive(Debug)]
pub struct Items<'a, T> {
    /// None when there is nothing more to come.
    queue: Option<&'a Queue<T>>,
}

impl<T: DeserializeOwned> Iterator for Items<'_, T> {
    type Item = Result<T>;

    fn next(&mut self) -> Option<Result<T>> {
        let item = self.queue?.get();
        if item.as_ref().is_err_and(|error| !error.is_bad_encoding()) {
            self.queue = None;
        }
        item.map(Some).or_else(|error| if error.is_closed() { Ok(None) } else { Err(error) }).transpose()
    }
}

impl<'a, T: DeserializeOwned> IntoIterator for &'a Queue<T> {
    type Item = Result<T>;
    type IntoIter = Items<'a, T>;

    fn into_iter(self) -> Items<'a, T> {
        self.iter()
    }
}

impl Manager {
    /// The queue of this name, made now if there is none: without a bound, and not joinable.
    ///
    /// # Errors
    ///
    /// As with [`OpenOptions::open_or_create`].
    pub fn queue<T>(&self, name: &str) -> Result<Queue<T>> {
        self.queue_options().open_or_create(name)
    }

    /// A new queue without a name, which lives as long as there are proxies of it: without a bound, and not joinable.
    pub fn anonymous_queue<T>(&self) -> Result<Queue<T>> {
        self.queue_options().anonymous()
    }

    /// Options to open or make a queue in any other way.
    pub fn queue_options<T>(&self) -> OpenOptions<'_, Queue<T>> {
        OpenOptions::new(self, Spec::Queue { capacity: None, is_joinable: false })
    }
}

impl<T> OpenOptions<'_, Queue<T>> {
    /// How many items the queue has at most. A `put` into a full queue waits. Without this, only the manager's own
    /// limit bounds the queue; 0 is an error ([`is_bad_argument`](crate::Error::is_bad_argument)), since nothing could
    /// ever be put.
    pub fn capacity(mut self, items: u64) -> Self {
        if let Spec::Queue { capacity, .. } = &mut self.spec {
            *capacity = Some(items);
        }
        self
    }

    /// Whether an item stays unfinished until its receiver calls [`task_done`](Queue::task_done), and goes to another
    /// consumer if the receiver dies before that. Off by default.
    pub fn joinable(mut self, joinable: bool) -> Self {
        if let Spec::Queue { is_joinable, .. } = &mut self.spec {
            *is_joinable = joinable;
        }
        self
    }
}
