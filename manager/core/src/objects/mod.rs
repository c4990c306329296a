//! The kinds of objects: a file for each, and here their table.
//!
//! Every choice by the kind of an object is in this folder. Here are its body, what a waiter can want of it, what makes
//! it, and its requests; [`preconditions`] has what these need. What an object then does is in the file of its kind, as
//! an [`ObjectBody`](object_body::ObjectBody). Two things are elsewhere: pools and batches, which are objects as well,
//! are in [`pools`](crate::pools), and which requests depend on the holder of a lock is in
//! [`deferred_release`](crate::sessions::deferred_release).

use alloc::boxed::Box;
use alloc::collections::BTreeSet;

use protocol::{
    Grant, LockChoice, Name, ObjectId, Payload, Refusal, Reply, Request, SessionId, Signal, Spec, Target,
    Wanted,
};
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use self::barrier::Barrier;
use self::condition::Condition;
use self::ended::EndedObject;
use self::event::{Event, SetBy};
use self::latch::Latch;
use self::lock::Lock;
use self::queue::{Queue, QueueItem};
use self::semaphore::Semaphore;
use crate::State;
use crate::pools::batch::{Batch, BatchSpec};
use crate::pools::pool::Pool;
use crate::store::blob::Content;
use crate::store::catalog::Handle;
use crate::store::memory::{BATCH_BYTES, EVENT_BYTES};
use crate::store::slab::Key;
use crate::waiting::wait::{Caller, Lane};
use crate::waiting::wait_queue::WaitQueueEntry;

pub(crate) mod barrier;
pub(crate) mod condition;
pub(crate) mod ended;
pub(crate) mod event;
pub(crate) mod latch;
pub(crate) mod lock;
pub(crate) mod mirror;
pub(crate) mod preconditions;
pub(crate) mod queue;
pub(crate) mod reason;
pub(crate) mod semaphore;
pub(crate) mod unfinished_items;

/// What distinguishes the kinds.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Body {
    Event(Event),
    Pool(Box<Pool>),
    Batch(Box<Batch>),
    /// Of kind lock or reentrant lock.
    Lock(Box<Lock>),
    Condition(Box<Condition>),
    Semaphore(Box<Semaphore>),
    Barrier(Box<Barrier>),
    Latch(Latch),
    Queue(Box<Queue>),
    /// Of any kind, but it has ended.
    Ended(Box<EndedObject>),
}

impl Body {
    /// The lock of a condition.
    pub(crate) fn lock_of_condition(&self) -> Option<Key> {
        match self {
            Body::Condition(condition) => Some(condition.lock()),
            _ => None,
        }
    }

    /// The conditions over a lock, which end with it.
    pub(crate) fn conditions_mut(&mut self) -> Option<&mut BTreeSet<Key>> {
        match self {
            Body::Lock(lock) => Some(&mut lock.conditions),
            _ => None,
        }
    }

    /// What those are refused with who wait for it, if it has ended.
    pub(crate) fn refusal_of_ended(&self) -> Option<Refusal> {
        match self {
            Body::Ended(ended) => Some(ended.refusal()),
            _ => None,
        }
    }

    /// How much memory it takes, whatever may happen to it.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Body::Event(_) => EVENT_BYTES,
            // Its map of batches has an entry or two.
            Body::Pool(_) => 544,
            Body::Batch(batch) => BATCH_BYTES + batch.function.len(),
            // How its holder ended, in the longest words.
            Body::Lock(_) => 672,
            Body::Condition(_) => 96,
            Body::Semaphore(_) => 144,
            // Why it is broken, with the longest reason.
            Body::Barrier(_) => 1_536,
            // A latch is small, and what is left of an object that has ended was paid for.
            Body::Latch(_) | Body::Ended(_) => 0,
            Body::Queue(_) => 224,
        }
    }
}

/// Does something with a body, of whichever kind: `with_body!(body, it => it.kind())`.
macro_rules! with_body {
    ($body:expr, $it:ident => $result:expr) => {
        match $body {
            Body::Event($it) => $result,
            Body::Pool($it) => $result,
            Body::Batch($it) => $result,
            Body::Lock($it) => $result,
            Body::Condition($it) => $result,
            Body::Semaphore($it) => $result,
            Body::Barrier($it) => $result,
            Body::Latch($it) => $result,
            Body::Queue($it) => $result,
            Body::Ended($it) => $result,
        }
    };
}

/// Calls a function of `ObjectBody` that takes the whole state, for the kind of a body: `for_kind!(body, serve(…))`.
macro_rules! for_kind {
    ($body:expr, $function:ident($($argument:expr),*)) => {
        match $body {
            Body::Event(_) => crate::objects::Event::$function($($argument),*),
            Body::Pool(_) => crate::objects::Pool::$function($($argument),*),
            Body::Batch(_) => crate::objects::Batch::$function($($argument),*),
            Body::Lock(_) => crate::objects::Lock::$function($($argument),*),
            Body::Condition(_) => crate::objects::Condition::$function($($argument),*),
            Body::Semaphore(_) => crate::objects::Semaphore::$function($($argument),*),
            Body::Barrier(_) => crate::objects::Barrier::$function($($argument),*),
            Body::Latch(_) => crate::objects::Latch::$function($($argument),*),
            Body::Queue(_) => crate::objects::Queue::$function($($argument),*),
            Body::Ended(_) => crate::objects::EndedObject::$function($($argument),*),
        }
    };
}

pub(crate) mod object_body;

/// What a waiter wants of a target's object.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Want {
    /// That an event is set.
    Event,
    /// Calls of a pool: one to begin, and others prefetched, this many in all.
    Calls { most: u32 },
    /// Results of a batch, at least this many.
    Results { least: u32 },
    /// To hold a lock, or a reentrant one once more.
    Lock,
    /// To hold the lock again that its wait gave up.
    Relock,
    /// A notification.
    Notification,
    /// This many permits.
    Permits(u64),
    /// That all parties have come; once they have, this one's index.
    Barrier { has_action: bool, index: Option<u32> },
    /// That a latch is at zero.
    Latch,
    /// An item of a queue.
    Item,
    /// Room in a queue for this item.
    Room(Box<QueueItem>),
    /// That all items of a queue are finished.
    Joined,
    /// Nothing any more: the waiter has another entry in the wait queue of this object, a barrier, and only that entry
    /// can serve or refuse it.
    Settled,
}

impl Want {
    /// The wait queue for waiters that want this.
    pub(crate) fn lane(&self) -> Lane {
        match self {
            Want::Room(_) => Lane::Putters,
            Want::Joined => Lane::Joiners,
            _ => Lane::Main,
        }
    }

    /// Whether the object must be examined as soon as a waiter for this comes.
    pub(crate) fn is_served_together(&self) -> bool {
        matches!(self, Want::Barrier { .. })
    }

    /// Whether the wait is for a lock.
    pub(crate) fn is_lock(&self) -> bool {
        matches!(self, Want::Lock | Want::Relock)
    }

    /// Whether even a wait that gives up at once has an effect: it gives its lock to others, or breaks a barrier.
    pub(crate) fn affects_others(&self) -> bool {
        matches!(self, Want::Notification | Want::Barrier { .. })
    }

    /// What is wanted, for an inspection.
    pub(crate) fn inspect(&self) -> Wanted {
        match *self {
            Want::Event => Wanted::Event,
            Want::Calls { .. } => Wanted::Calls,
            Want::Results { .. } => Wanted::Results,
            Want::Lock => Wanted::Lock,
            Want::Relock => Wanted::Relock,
            Want::Notification => Wanted::Notification,
            Want::Permits(permits) => Wanted::Permits { permits },
            Want::Barrier { .. } | Want::Settled => Wanted::Barrier,
            Want::Latch => Wanted::Latch,
            Want::Item => Wanted::Item,
            Want::Room(_) => Wanted::Room,
            Want::Joined => Wanted::Joined,
        }
    }
}

/// A grant of something that granting uses up. It would be lost with the process that it is on its way to.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Unconfirmed {
    /// It cleared an auto-reset event that was set by this cause, and that requests had cleared this often.
    Event { handle: Handle, clears: u32, set_by: SetBy },
    /// It notified a condition, not for all.
    Notification(Handle),
    /// It took an item out of a queue.
    Item(Handle, QueueItem),
}

impl Unconfirmed {
    /// The object that it was granted by.
    pub(crate) fn handle(&self) -> Handle {
        let (Unconfirmed::Event { handle, .. }
        | Unconfirmed::Notification(handle)
        | Unconfirmed::Item(handle, _)) = *self;
        handle
    }
}

/// Whether a grant moves nothing, so that nothing is lost if its receiver never learns of it.
pub(crate) fn moves_nothing(grant: &Grant) -> bool {
    matches!(grant, Grant::Notified | Grant::Event(_) | Grant::Latch | Grant::Joined)
}

/// Whether two specs ask for the same object. The id of a lock that is made anew with a condition does not count.
pub(crate) fn is_same(found: Spec, asked: Spec) -> bool {
    use LockChoice::Own;
    match (found, asked) {
        (
            Spec::Condition { over: Own { is_reentrant: found, .. } },
            Spec::Condition { over: Own { is_reentrant: asked, .. } },
        ) => found == asked,
        (found, asked) => found == asked,
    }
}

impl State {
    /// Makes the object of a spec, or refuses parameters that it cannot have.
    pub(crate) fn make(&mut self, id: ObjectId, name: Option<Name>, spec: Spec) -> Result<Key, Refusal> {
        let body = match spec {
            Spec::Event { auto_reset } => Body::Event(Event::new(auto_reset)),
            Spec::Pool => Body::Pool(Box::new(Pool::new())),
            Spec::Lock => Body::Lock(Box::new(Lock::new(false))),
            Spec::RLock => Body::Lock(Box::new(Lock::new(true))),
            Spec::Condition { over } => return self.condition_make(id, name, over),
            Spec::Semaphore { permits, is_bounded } => {
                Body::Semaphore(Box::new(Semaphore::new(permits, is_bounded)?))
            }
            Spec::Barrier { parties } => Body::Barrier(Box::new(Barrier::new(parties)?)),
            Spec::Latch { count } => Body::Latch(Latch::new(count)),
            Spec::Queue { capacity, is_joinable } => {
                Body::Queue(Box::new(Queue::new(capacity, is_joinable)?))
            }
        };
        self.create(id, name, body)
    }

    /// What a target wants. Stores the item that it brings.
    pub(crate) fn want(&mut self, object: Key, target: &Target<'_>) -> Want {
        match target {
            Target::Event { .. } => Want::Event,
            Target::Calls { most, .. } => Want::Calls { most: *most },
            Target::Results { .. } => Want::Results { least: 1 },
            Target::ManyResults { least, .. } => Want::Results { least: *least },
            Target::Lock { .. } | Target::RLock { .. } => Want::Lock,
            Target::Condition { .. } => Want::Notification,
            Target::Semaphore { permits, .. } => Want::Permits(*permits),
            Target::Barrier { has_action, .. } => Want::Barrier { has_action: *has_action, index: None },
            Target::Latch { .. } => Want::Latch,
            Target::Get { .. } => Want::Item,
            Target::Put { item, carries, .. } => {
                let item = Content::Bytes(Payload::from(*item));
                Want::Room(Box::new(self.store_item(object, item, carries)))
            }
            Target::PutBlob { blob, carries, .. } => {
                self.blob_keep(*blob);
                Want::Room(Box::new(self.store_item(object, Content::Blob(*blob), carries)))
            }
            Target::Join { .. } => Want::Joined,
        }
    }

    /// Takes what a waiter wants. Its object has it ready.
    pub(crate) fn take(
        &mut self,
        entry: WaitQueueEntry,
        caller: Caller,
        unconfirmed: &mut SmallVec<[Unconfirmed; 1]>,
    ) -> Grant {
        let key = entry.object;
        match entry.want {
            Want::Event => self.event_take(key, unconfirmed),
            Want::Calls { most } => self.calls_take(key, caller.session, most),
            Want::Results { .. } => self.results_take(key, caller.session),
            Want::Lock => Grant::Lock(self.lock_take(key, caller)),
            Want::Relock => unreachable!("a waiter for its own lock was decided before"),
            Want::Notification | Want::Barrier { .. } | Want::Settled => {
                unreachable!("conditions and barriers serve their waiters themselves")
            }
            Want::Permits(permits) => self.permits_take(key, caller.session, permits),
            Want::Latch => Grant::Latch,
            Want::Item => self.item_take(key, caller, unconfirmed),
            Want::Room(item) => self.item_put(key, *item),
            Want::Joined => Grant::Joined,
        }
    }

    /// Carries out a request that is decided at once.
    pub(crate) fn simple_request(
        &mut self,
        session: SessionId,
        body: &Request<'_>,
    ) -> Result<Reply, Refusal> {
        let caller = |thread| Caller { session, thread };
        match *body {
            Request::Open { id, name, spec, mode } => self.open(session, id, name, spec, mode),
            Request::Attach { id, kind, epoch } => self.attach(session, id, kind, epoch),
            Request::Detach { id } => self.detach(session, id),
            Request::Remove { id } => self.remove(session, id),
            Request::Wait { .. }
            | Request::SignalAndWait { .. }
            | Request::BatchRun { .. }
            | Request::Share { .. }
            | Request::BindProcesses { .. } => {
                unreachable!("what does not answer at once with a reply is no simple request")
            }
            Request::BlobOpen { .. }
            | Request::BlobSend { .. }
            | Request::BlobWrite { .. }
            | Request::BlobFetch { .. }
            | Request::BlobRead { .. }
            | Request::BatchAddBlob { .. }
            | Request::BlobClose { .. } => self.blob_request(session, body),
            Request::Cancel { request } => Ok(self.cancel(session, request)),
            Request::EventSet { id, reason } => self.event_set(session, id, reason),
            Request::EventClear { id } => self.event_clear(id),
            Request::EventIsSet { id } => self.event_is_set(id),
            Request::EventCause { id } => self.event_cause(id),
            Request::BatchOpen { id, pool, function, options } => {
                self.batch_open(session, BatchSpec { id, pool, function, options })
            }
            Request::BatchCancel { id } => self.batch_cancel(id),
            Request::BatchSignal { id, signal } => self.batch_signal(id, signal),
            Request::BatchAdd { id, ref chunks, last } => self.batch_add(session, id, chunks, last),
            Request::BatchProgress { id } => self.batch_progress(id),
            Request::CallsEnd { batch, first, ref ends, ref carries } => {
                self.calls_end(session, batch, first, ends, carries)
            }
            Request::CallsGiveBack { batch, first } => self.calls_give_back(session, batch, first),
            Request::PoolClose { id } => self.pool_close(id),
            Request::PoolTerminate { id, reason } => self.pool_terminate(session, id, reason),
            Request::Release { id, holding, thread } => self.release_lock(caller(thread), id, holding),
            Request::ForceRelease { id } => self.force_release(session, id),
            Request::ConditionLock { id } => self.condition_lock(id),
            Request::Notify { id, count, holding, thread } => self.notify(caller(thread), id, count, holding),
            Request::SemaphoreRelease { id, permits } => self.semaphore_release(session, id, permits),
            Request::SemaphoreForget { id, permits } => self.semaphore_forget(session, id, permits),
            Request::SemaphoreAvailable { id } => self.semaphore_available(id),
            Request::BarrierPass { id, turn } => self.barrier_pass(session, id, turn),
            Request::BarrierAbort { id, turn, reason } => self.barrier_abort(session, id, turn, reason),
            Request::BarrierReset { id } => self.barrier_reset(session, id),
            Request::BarrierStatus { id } => self.barrier_status(id),
            Request::LatchCountDown { id, count } => self.latch_count_down(id, count),
            Request::LatchCount { id } => self.latch_count(id),
            Request::QueueLength { id } => self.queue_length(id),
            Request::QueueItemDone { id, item, thread } => self.queue_item_done(caller(thread), id, item),
            Request::QueueClose { id } => self.queue_close(id),
            Request::ListSessions { after } => Ok(self.list_sessions(after)),
            Request::ListObjects { after } => Ok(self.list_objects(after)),
            Request::Inspect { object } => self.inspect(object),
            Request::EventMirror { id } => self.event_mirror(id),
            // It means something only to the driver, which then applies the end of the session.
            Request::UnbindProcesses { leader } => {
                self.effects.push(crate::Effect::Unbind { session, leader });
                Ok(Reply::Done)
            }
            Request::Goodbye => Ok(Reply::Done),
        }
    }

    /// Carries out the first half of a signal and wait.
    pub(crate) fn signal(&mut self, caller: Caller, signal: &Signal<'_>) -> Result<Reply, Refusal> {
        match *signal {
            Signal::EventSet { id, reason } => self.event_set(caller.session, id, reason),
            Signal::Release { id, holding } => self.release_lock(caller, id, holding),
            Signal::SemaphoreRelease { id, permits } => self.semaphore_release(caller.session, id, permits),
            Signal::LatchCountDown { id, count } => self.latch_count_down(id, count),
        }
    }
}
