//! What can be asked for in a batch, by object.

use std::sync::Arc;

use protocol::{ObjectId, OpenMode, Reply, Request, Target, Targets, WaitMode};
use serde::Serialize;
use uuid::Uuid;

use super::{Later, Pipeline};
use crate::connection::shared::Answered;
use crate::error::unexpected;
use crate::objects::item::Encoded;
use crate::objects::reason::check_reason;
use crate::objects::reference::{Proxy, Reference};
use crate::objects::wait::{nonsense, wrong_grant};
use crate::process::thread::this_thread;
use crate::{Cause, Condition, Event, Latch, Options, Queue, Result, Semaphore, Taken, Waitable};

/// Opening objects.
impl<'a> Pipeline<'a> {
    /// Opens the object of this name, or makes it, as [`Options::open_or_create`] does: many names in one round trip.
    ///
    /// ```no_run
    /// # fn main() -> client::Result<()> {
    /// let manager = client::Manager::connect()?;
    /// let opened = manager.batch(|batch| {
    ///     let names = (0..100).map(|number| format!("stop {number}"));
    ///     names.map(|name| batch.open_or_create(manager.event_options(), &name)).collect::<Vec<_>>()
    /// })?;
    /// let events = opened.into_iter().map(client::Later::get).collect::<client::Result<Vec<_>>>()?;
    /// assert_eq!(events.len(), 100);
    /// # Ok(())
    /// # }
    /// ```
    pub fn open_or_create<P: Proxy + 'a>(&mut self, options: Options<'_, P>, name: &str) -> Later<P> {
        let (spec, link) = (options.spec, Arc::clone(self.link));
        let id = ObjectId(Uuid::new_v4());
        let request = Request::Open { id, name: Some(name), spec, mode: OpenMode::OpenOrCreate };
        self.ask(options.link(), request, move |answered| match answered.reply {
            Reply::Opened { id, .. } => P::from_reference(Reference::adopt(link, id, spec.kind())),
            reply => Err(unexpected(&reply)),
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
        self.ask(link, Request::EventSet { id: reference.id(), reason }, done)
    }

    /// Clears an event: [`Event::clear`].
    pub fn clear(&mut self, event: &Event) -> Later<()> {
        self.ask_of(event.reference(), |id| Request::EventClear { id }, done)
    }

    /// Whether an event is set: [`Event::is_set`].
    pub fn is_set(&mut self, event: &Event) -> Later<bool> {
        self.ask_of(
            event.reference(),
            |id| Request::EventIsSet { id },
            |answered| match answered.reply {
                Reply::Flag(is_set) => Ok(is_set),
                reply => Err(unexpected(&reply)),
            },
        )
    }

    /// Who set an event: [`Event::cause`].
    pub fn cause(&mut self, event: &Event) -> Later<Option<Cause>> {
        self.ask_of(
            event.reference(),
            |id| Request::EventCause { id },
            |answered| match answered.reply {
                Reply::SetBy(cause) => Ok(cause.map(Cause::from)),
                reply => Err(unexpected(&reply)),
            },
        )
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
        self.ask_of(latch.reference(), |id| Request::LatchCountDown { id, count }, self::count)
    }

    /// What is left to count down: [`Latch::count`].
    pub fn count(&mut self, latch: &Latch) -> Later<u64> {
        self.ask_of(latch.reference(), |id| Request::LatchCount { id }, self::count)
    }

    /// Adds permits to a semaphore: [`Semaphore::release`].
    pub fn release(&mut self, semaphore: &Semaphore, permits: u64) -> Later<()> {
        self.ask_of(semaphore.reference(), |id| Request::SemaphoreRelease { id, permits }, done)
    }

    /// How many permits can be acquired: [`Semaphore::available`].
    pub fn available(&mut self, semaphore: &Semaphore) -> Later<u64> {
        self.ask_of(semaphore.reference(), |id| Request::SemaphoreAvailable { id }, self::count)
    }

    /// Wakes all who wait for a condition, whose lock the calling thread holds: [`Condition::notify_all`].
    pub fn notify_all(&mut self, condition: &Condition) -> Later<usize> {
        let thread = this_thread();
        let request = |id| Request::Notify { id, count: None, hold: None, thread };
        self.ask_of(condition.reference(), request, |answered| {
            count(answered).map(|woken| usize::try_from(woken).unwrap_or(usize::MAX))
        })
    }
}

/// Queues.
impl<'a> Pipeline<'a> {
    /// Puts an item at the end of a queue, unless that is full: [`Queue::try_put`].
    pub fn try_put<T: Serialize>(&mut self, queue: &Queue<T>, item: &T) -> Later<bool> {
        let reference = queue.reference();
        match Encoded::new(item, reference) {
            Err(error) => self.ask(Err(error), Request::QueueLength { id: reference.id() }, |_| Ok(false)),
            Ok(item) => {
                let request = look(item.target(reference.id()));
                self.ask(reference.link(), request, |answered| {
                    taken(answered)?.map_or(Ok(false), |(grant, _)| match grant {
                        protocol::Grant::Put => Ok(true),
                        grant => Err(wrong_grant(&grant)),
                    })
                })
            }
        }
    }

    /// How many items are in a queue: [`Queue::len`].
    pub fn len<T>(&mut self, queue: &Queue<T>) -> Later<u64> {
        self.ask_of(queue.reference(), |id| Request::QueueLength { id }, self::count)
    }

    /// Says that an item is finished: [`Queue::task_done`].
    pub fn task_done<T>(&mut self, queue: &Queue<T>) -> Later<()> {
        let thread = this_thread();
        let request = |id| Request::QueueTaskDone { id, item: None, thread };
        self.ask_of(queue.reference(), request, done)
    }

    /// Takes no more items into a queue: [`Queue::close`].
    pub fn close<T>(&mut self, queue: &Queue<T>) -> Later<()> {
        self.ask_of(queue.reference(), |id| Request::QueueClose { id }, done)
    }

    /// Takes whatever can be waited for, if it can be had at once: a lock, permits, an item. It is what
    /// [`wait_any`](crate::wait_any) does with this alone and a timeout of zero.
    ///
    /// Items can be large, so the answer to one from a queue is taken before more is sent.
    pub fn try_take(&mut self, target: &'a dyn Waitable) -> Later<Option<Taken>> {
        let wanted = target.target();
        let is_item = matches!(wanted, Target::Get { .. });
        let later = self.ask(target.reference().link(), look(wanted), move |answered| {
            let taken = taken(answered)?;
            taken.map(|(grant, ack_hold)| Ok(target.receive(grant)?.with_ack_hold(ack_hold))).transpose()
        });
        if is_item {
            self.collect();
        }
        later
    }
}

impl<'a> Pipeline<'a> {
    /// Asks for something of one object.
    fn ask_of<T: 'a>(
        &mut self,
        reference: &Reference,
        request: impl FnOnce(ObjectId) -> Request<'static>,
        receive: impl FnOnce(Answered) -> Result<T> + 'a,
    ) -> Later<T> {
        self.ask(reference.link(), request(reference.id()), receive)
    }
}

/// A wait that only looks.
fn look(target: Target<'_>) -> Request<'_> {
    let targets = Targets::from_iter([target]);
    Request::Wait { mode: WaitMode::Any, targets, timeout_ns: Some(0), thread: this_thread() }
}

/// What such a wait took.
fn taken(answered: Answered) -> Result<Option<(protocol::Grant, Option<crate::connection::acks::AckHold>)>> {
    match answered.reply {
        Reply::TimedOut { .. } => Ok(None),
        Reply::Taken(taken) => {
            let grant = taken.grants.into_iter().next().ok_or_else(nonsense)?;
            Ok(Some((grant, answered.ack_hold)))
        }
        reply => Err(unexpected(&reply)),
    }
}

fn done(answered: Answered) -> Result<()> {
    match answered.reply {
        Reply::Done => Ok(()),
        reply => Err(unexpected(&reply)),
    }
}

fn count(answered: Answered) -> Result<u64> {
    match answered.reply {
        Reply::Count(count) => Ok(count),
        reply => Err(unexpected(&reply)),
    }
}
