//! The orders that a remote client follows: one enum for each kind of object, and one for all of them.

use std::time::Duration;

use client::{Barrier, Condition, Event, Latch, Lock, Queue, RLock, Semaphore};
use serde::{Deserialize, Serialize};

/// An order, as it travels.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) enum ClientOrder {
    Event(EventOrder),
    Lock(LockOrder),
    Condition(ConditionOrder),
    Semaphore(SemaphoreOrder),
    Queue(QueueOrder),
    Barrier(BarrierOrder),
    Latch(LatchOrder),
    /// Ends the client by a panic.
    Panic,
}

/// Lets a test give the order of a kind where an [`ClientOrder`] is wanted.
macro_rules! orders {
    ($($kind:ident($order:ident)),* $(,)?) => {
        $(impl From<$order> for ClientOrder {
            fn from(order: $order) -> ClientOrder {
                ClientOrder::$kind(order)
            }
        })*
    };
}

orders! {
    Event(EventOrder),
    Lock(LockOrder),
    Condition(ConditionOrder),
    Semaphore(SemaphoreOrder),
    Queue(QueueOrder),
    Barrier(BarrierOrder),
    Latch(LatchOrder),
}

/// All of these except `Rally`, `Serve` and `CountDown` concern the event that the client opened or took last.
///
/// A wait can be two orders, `Begin` and `Finish`. When the first is done, the wait has reached the manager, so the
/// test can go on to what is to happen meanwhile.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) enum EventOrder {
    /// Opens an event, or makes it.
    Open { name: String, auto_reset: bool },
    /// Takes an event whose proxy these bytes are, in postcard.
    Take(Vec<u8>),
    /// Sets the event.
    Set { reason: Option<String> },
    /// Clears the event.
    Clear,
    /// Asks whether the event is set.
    IsSet,
    /// Waits for the event.
    Wait { timeout: Option<Duration> },
    /// Begins to wait for the event.
    Begin,
    /// Ends the wait that was begun.
    Finish,
    /// Asks for the event's mirror.
    Mirror,
    /// Waits at the mirror.
    Watch { timeout: Duration },
    /// Waits for the event in this number of threads, and reports how each wait ended.
    Crowd { threads: usize },
    /// Waits for one event and sets the other, this number of times.
    Rally { mine: Event, theirs: Event, rounds: u32 },
    /// Counts a latch down to zero, in one pipeline after the other.
    CountDown { latch: Latch },
    /// Sets one event and waits for the other in one step, this number of times.
    Serve { mine: Event, theirs: Event, rounds: u32 },
}

/// The guards are a stack: orders that release concern the guard that was acquired last.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) enum LockOrder {
    /// Acquires a lock.
    Acquire(Lock, Option<Duration>),
    /// Acquires a reentrant lock.
    AcquireAgain(RLock, Option<Duration>),
    /// Acquires a lock, unless an event is set.
    AcquireUnless(Lock, Event),
    /// Acquires all of these locks in one step.
    AcquireAll(Vec<Lock>),
    /// Drops the guard.
    Drop,
    /// Releases the lock, and waits for the answer.
    Release,
    /// Releases the lock and waits for an event in one step.
    ReleaseAndWait(Event),
    /// Keeps the lock without a guard.
    Keep,
    /// Releases a lock for which there is no guard.
    ReleaseKept(Lock),
    /// Takes a lock from its holder.
    ForceRelease(Lock),
    /// Takes a reentrant lock from its holder.
    ForceReleaseAgain(RLock),
    /// Asks whether the guard has something to release.
    IsHeld,
    /// Adds one to a number in a file, this number of times, each with the lock held.
    Count { lock: Lock, file: String, rounds: u32 },
}

/// The guards are those of [`LockOrder`].
#[derive(Clone, Serialize, Deserialize)]
pub(crate) enum ConditionOrder {
    /// Acquires the lock of a condition.
    Enter(Condition),
    /// Waits for a condition with the guard.
    Wait(Condition, Option<Duration>),
    /// Waits for a condition until an event is set.
    WaitFor(Condition, Event, Option<Duration>),
    /// Waits for a condition or an event.
    WaitOr(Condition, Event, Option<Duration>),
    /// Notifies this number of waiters, or all.
    Notify(Condition, Option<usize>),
    /// Takes turns with another client, this number of times: waits until one event is set, clears it, and sets the
    /// other.
    Rally { condition: Condition, mine: Event, theirs: Event, rounds: u32 },
}

/// The permits are a stack, as guards are.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) enum SemaphoreOrder {
    /// Acquires permits.
    Take(Semaphore, u64, Option<Duration>),
    /// Drops the permits.
    Drop,
    /// Releases the permits, and waits for the answer.
    Release,
    /// Forgets the permits without releasing them.
    Forget,
    /// Adds permits.
    Add(Semaphore, u64),
}

/// All of these except `GetPair` concern the queue that the client was given last.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) enum QueueOrder {
    /// Uses this queue from now on.
    Use(Queue<u64>),
    /// Puts an item.
    Put(u64),
    /// Puts an item, if there is room in time.
    PutTimeout(u64, Duration),
    /// Gets an item.
    Get,
    /// Gets an item, if one comes in time.
    GetTimeout(Duration),
    /// Gets an item that carries two events, sets both, and keeps them.
    GetPair(Queue<(Event, Event)>),
    /// Gets all items until the queue is closed.
    Drain,
    /// Reports that an item is finished.
    TaskDone,
    /// Gets an item in another thread, which also reports that it is finished.
    GetAndFinishInThread,
    /// Waits until all items are finished.
    Join,
}

/// All of these except `Use` concern the barrier that the client was given last.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) enum BarrierOrder {
    /// Uses this barrier from now on.
    Use(Barrier),
    /// Waits at the barrier.
    Pass(Option<Duration>),
    /// Waits at the barrier, with an action.
    PassWith(BarrierAction),
    /// Breaks the barrier.
    Abort(String),
}

/// The action that a party runs for all.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) enum BarrierAction {
    /// Counts the latch down.
    CountDown,
    /// Fails.
    Fail(String),
    /// Panics.
    Panic(String),
    /// Sets the first event and waits for the second.
    Hold(Event, Event),
}

/// All of these except `Use` concern the latch that the client was given last.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) enum LatchOrder {
    /// Uses this latch from now on.
    Use(Latch),
    /// Counts the latch down.
    CountDown(u64),
    /// Waits for the latch.
    Open(Option<Duration>),
    /// Counts the latch down, and waits for it.
    CountDownAndOpen,
}
