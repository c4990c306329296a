//! What a program can wait for together with other objects, and what a wait takes.

use protocol::{Grant, Target};

use crate::connection::acks::AckHold;
use crate::objects::reference::Reference;
use crate::{EventCause, Item, LockGuard, Passed, Permit, Result};

/// Something to wait for together with others: proxies, and values that some of them make.
///
/// | this | waits until | and takes |
/// | --- | --- | --- |
/// | [`Event`](crate::Event) | it is set | nothing, or the one wake-up of an auto-reset event |
/// | [`Lock`](crate::Lock) | it is free or abandoned | the lock |
/// | [`RLock`](crate::RLock) | it is free, abandoned, or this thread's | the lock, once more |
/// | [`Semaphore`](crate::Semaphore) | it has a permit | one permit |
/// | [`semaphore.permits(n)`](crate::Semaphore::permits) | it has n permits | n permits |
/// | [`Queue`](crate::Queue) | it has an item | the first item |
/// | [`queue.putting(&item)`](crate::Queue::putting) | it has room | nothing: the item goes in |
/// | [`queue.joined()`](crate::Queue::joined) | every item is finished | nothing |
/// | [`Barrier`](crate::Barrier) | all parties have come | its place among them |
/// | [`Latch`](crate::Latch) | its count is zero | nothing |
///
/// Other crates cannot implement it.
pub trait Waitable: SealedWaitable {}

impl<T: SealedWaitable> Waitable for T {}

/// What a wait needs to know. Other crates cannot name this, and so cannot implement it.
pub trait SealedWaitable {
    /// The object.
    fn reference(&self) -> &Reference;
    /// What is wanted of it.
    fn target(&self) -> Target<'_>;
    /// Makes what the caller gets of the grant.
    fn receive(&self, grant: Grant) -> Result<Taken>;
}

/// What a wait for several objects took from one of them.
#[derive(Debug)]
#[non_exhaustive]
pub enum Taken {
    /// The event is set, with this cause.
    Event(EventCause),
    /// The lock, or a reentrant lock once more.
    Lock(LockGuard),
    /// Permits of a semaphore.
    Permit(Permit),
    /// The first item of a queue.
    Item(Item),
    /// The item was put into the queue.
    Put,
    /// Every item of the queue is finished.
    Joined,
    /// All parties have come to the barrier.
    Barrier(Passed),
    /// The latch is at zero.
    Latch,
}

impl Taken {
    /// Adds the hold on the answer that brought this, which matters for an item only.
    pub(crate) fn with_ack_hold(self, ack_hold: Option<AckHold>) -> Taken {
        match self {
            Taken::Item(item) => Taken::Item(item.with_ack_hold(ack_hold)),
            other => other,
        }
    }
}
