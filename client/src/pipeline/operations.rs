//! The requests of a pipeline, by object.

use std::sync::Arc;
use std::time::Duration;

use client_core::operations::{
    ConditionNotify, EventClear, EventIsSet, EventSet, GetEventCause, LatchCount, LatchCountDown, Open,
    QueueClose, QueueItemDone, QueueLength, SemaphoreAvailable, SemaphoreRelease, Wait, WaitEnd, brings_item,
};
use client_core::{Operation, Unexpected};
use protocol::{ObjectId, OpenMode, Targets, WaitMode};
use serde::Serialize;
use uuid::Uuid;

use super::{Later, Pipeline};
use crate::objects::item::Encoded;
use crate::objects::reason::check_reason;
use crate::objects::reference::{Proxy, Reference, wait_for};
use crate::process::thread::this_thread;
use crate::{Condition, Event, EventCause, Latch, OpenOptions, Queue, Semaphore, Taken, Waitable};

/// Opening objects.
impl<'a> Pipeline<'a> {
    /// Opens the object of this name, or makes it, as [`OpenOptions::open_or_create`] does: many names in one round
    /// trip.
    ///
    /// ```no_run
    /// # use client as rallypoint;
    /// # fn main() -> rallypoint::Result<()> {
    /// let manager = rallypoint::Manager::connect()?;
    /// let opened = manager.pipeline(|pipeline| {
    ///     let names = (0..100).map(|number| format!("stop {number}"));
    ///     names.map(|name| pipeline.open_or_create(manager.event_options(), &name)).collect::<Vec<_>>()
    /// })?;
    /// let events = opened.into_iter().map(rallypoint::Later::get).collect::<rallypoint::Result<Vec<_>>>()?;
    /// assert_eq!(events.len(), 100);
    /// # Ok(())
    /// # }
    /// ```
    pub fn open_or_create<P: Proxy + 'a>(&mut self, options: OpenOptions<'_, P>, name: &str) -> Later<P> {
        let (spec, link) = (options.spec, Arc::clone(self.link));
        let id = ObjectId(Uuid::new_v4());
        let open = Open { id, name: Some(name), spec, mode: OpenMode::OpenOrCreate };
        self.ask(options.link(), open, move |id, _| {
            P::from_reference(Reference::adopt(link, id, spec.kind()))
        })
    }
}

/// Events.
impl Pipeline<'_> {
    /// Sets an event: [`Event::set`].
    pub fn set(&mut self, event: &Event) -> Later<()> {
        self.set_for(event, None)
    }

    /// Sets an event, and says why: [`Event::set_because`].
    pub fn set_because(&mut self, event: &Event, reason: &str) -> Later<()> {
        self.set_for(event, Some(reason))
    }

    fn set_for(&mut self, event: &Event, reason: Option<&str>) -> Later<()> {
        let reference = event.reference();
        let link = reason.map_or(Ok(()), check_reason).and_then(|()| reference.link());
        self.ask(link, EventSet { id: reference.id(), reason }, |(), _| Ok(()))
    }

    /// Clears an event: [`Event::clear`].
    pub fn clear(&mut self, event: &Event) -> Later<()> {
        self.run(event.reference(), |id| EventClear { id })
    }

    /// Whether an event is set: [`Event::is_set`].
    pub fn is_set(&mut self, event: &Event) -> Later<bool> {
        self.run(event.reference(), |id| EventIsSet { id })
    }

    /// What set an event: [`Event::cause`].
    pub fn cause(&mut self, event: &Event) -> Later<Option<EventCause>> {
        let reference = event.reference();
        let cause = GetEventCause { id: reference.id() };
        self.ask(reference.link(), cause, |cause, _| Ok(cause.map(EventCause::from)))
    }
}

/// Latches, semaphores and conditions.
impl Pipeline<'_> {
    /// Counts a latch down by one: [`Latch::count_down`].
    pub fn count_down(&mut self, latch: &Latch) -> Later<u64> {
        self.count_down_by(latch, 1)
    }

    /// Counts a latch down by this many: [`Latch::count_down_by`].
    pub fn count_down_by(&mut self, latch: &Latch, count: u64) -> Later<u64> {
        self.run(latch.reference(), |id| LatchCountDown { id, count })
    }

    /// What is left to count down: [`Latch::count`].
    pub fn count(&mut self, latch: &Latch) -> Later<u64> {
        self.run(latch.reference(), |id| LatchCount { id })
    }

    /// Adds permits to a semaphore: [`Semaphore::release`].
    pub fn release(&mut self, semaphore: &Semaphore, permits: u64) -> Later<()> {
        self.run(semaphore.reference(), |id| SemaphoreRelease { id, permits })
    }

    /// How many permits are available: [`Semaphore::available`].
    pub fn available(&mut self, semaphore: &Semaphore) -> Later<u64> {
        self.run(semaphore.reference(), |id| SemaphoreAvailable { id })
    }

    /// Wakes all waiters of a condition, whose lock the calling thread holds: [`Condition::notify_all`].
    pub fn notify_all(&mut self, condition: &Condition) -> Later<usize> {
        let thread = this_thread();
        self.run(condition.reference(), |id| ConditionNotify { id, count: None, thread })
    }
}

/// Queues.
impl<'a> Pipeline<'a> {
    /// Puts an item at the end of a queue, unless that is full: [`Queue::try_put`].
    pub fn try_put<T: Serialize>(&mut self, queue: &Queue<T>, item: &T) -> Later<bool> {
        let reference = queue.reference();
        match Encoded::new(item, reference) {
            Err(error) => self.fail(error),
            Ok(item) => {
                let put = wait_for(item.target(reference.id()), Some(Duration::ZERO));
                self.ask(reference.link(), put, |put, _| Ok(put.is_some()))
            }
        }
    }

    /// How many items are in a queue: [`Queue::len`].
    pub fn len<T>(&mut self, queue: &Queue<T>) -> Later<u64> {
        self.run(queue.reference(), |id| QueueLength { id })
    }

    /// Reports an item as finished: [`Queue::task_done`].
    pub fn task_done<T>(&mut self, queue: &Queue<T>) -> Later<()> {
        let thread = this_thread();
        self.run(queue.reference(), |id| QueueItemDone { id, item: None, thread })
    }

    /// Closes a queue, which takes no more items: [`Queue::close`].
    pub fn close<T>(&mut self, queue: &Queue<T>) -> Later<()> {
        self.run(queue.reference(), |id| QueueClose { id })
    }

    /// Takes a lock, permits, an item or an event's signal if this needs no waiting, as [`wait_any`](crate::wait_any)
    /// does with this object alone and a timeout of zero.
    ///
    /// Items can be large, so this takes the answer of a queue before it sends more.
    pub fn try_take(&mut self, target: &'a dyn Waitable) -> Later<Option<Taken>> {
        let wanted = target.target();
        let is_item = brings_item(&wanted);
        let targets = Targets::from_iter([wanted]);
        let (mode, timeout_ns, thread) = (WaitMode::Any, Some(0), this_thread());
        let look = Wait { signal: None, mode, targets, timeout_ns, thread };
        let later = self.ask(target.reference().link(), look, move |end, ack_hold| match end {
            WaitEnd::TimedOut { .. } => Ok(None),
            WaitEnd::Taken(taken) => {
                let grant = taken.grants.into_iter().next().ok_or(Unexpected::Objects)?;
                Ok(Some(target.receive(grant)?.with_ack_hold(ack_hold)))
            }
        });
        if is_item {
            self.collect();
        }
        later
    }
}

impl Pipeline<'_> {
    /// Asks for an operation on one object.
    fn run<'r, O: Operation<'r, Output: 'static>>(
        &mut self,
        reference: &Reference,
        operation: impl FnOnce(ObjectId) -> O,
    ) -> Later<O::Output> {
        self.ask(reference.link(), operation(reference.id()), |output, _| Ok(output))
    }
}
