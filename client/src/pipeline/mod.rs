//! Many requests in one write: the requests of a closure travel together, and so do their answers.

mod operations;

use std::fmt;
use std::sync::{Arc, Mutex};

use client_core::Operation;
use protocol::Request;

use crate::connection::acks::AckHold;
use crate::connection::calls::PendingAnswer;
use crate::connection::link::Link;
use crate::connection::shared::ReceivedAnswer;
use crate::sync::lock;
use crate::{Error, ErrorKind, Manager, Result};

/// After how many requests without an answer the answers are read before more is sent. The manager cuts off a client
/// that asks and does not read; these answers are far below its limit.
const ASKED_MAX: usize = 4096;

/// A pipeline: requests that leave together. [`Manager::pipeline`] makes it, and its closure fills it.
///
/// Each method stands for the method of that name of the object, does what that says, and fails as that does. It
/// returns a [`Later`], whose value is there when [`Manager::pipeline`] has returned. A pipeline holds only requests
/// that the manager answers at once, so no method waits.
pub struct Pipeline<'a> {
    link: &'a Arc<Link>,
    /// What was asked and not answered, in that order.
    asked: Vec<PipelinedRequest<'a>>,
    /// The first error that nobody can learn from its [`Later`].
    failure: Option<Error>,
}

/// A request on its way, or why it could not be sent.
struct PipelinedRequest<'a> {
    pending: Result<PendingAnswer>,
    /// Puts the answer into its [`Later`]. Returns the error if the caller has dropped that.
    receive: Box<dyn FnOnce(Result<ReceivedAnswer>) -> Option<Error> + 'a>,
}

/// The result of one request of a pipeline: its value is there when [`Manager::pipeline`] has returned.
///
/// A caller that does not need the value drops this, in the closure or later. The drop releases a lock or permits that
/// the request acquired, as the drop of a guard does.
pub struct Later<T> {
    value: Arc<Mutex<Option<Result<T>>>>,
}

impl Manager {
    /// Sends all that the closure asks for in one write, and returns when every answer has come: one round trip for any
    /// number of requests. (Above 64 KiB of requests, or 4096 of them, it is one for each such part.)
    ///
    /// The manager carries the requests out in the order in which they were asked for. They are no transaction:
    /// requests of other programs may come in between, and the manager carries out the others if it refuses one.
    ///
    /// If this process dies before `pipeline` returns, the manager carries out those that have reached it. If the
    /// closure panics, the manager still carries out those that it had asked for.
    ///
    /// # Errors
    ///
    /// A failure is in its [`Later`]. If the caller has dropped that, the error is not lost: `pipeline` returns the
    /// first such error, and drops the closure's value. When the manager is gone, every request without an answer fails
    /// with [`is_manager_gone`](Error::is_manager_gone), and may have been carried out.
    ///
    /// ```no_run
    /// # use client as rallypoint;
    /// # fn main() -> rallypoint::Result<()> {
    /// let manager = rallypoint::Manager::connect()?;
    /// let (go, ready) = (manager.event("go")?, manager.latch("ready", 3)?);
    /// let jobs = manager.queue("jobs")?;
    /// let (left, length) = manager.pipeline(|pipeline| {
    ///     for number in 0..1000 {
    ///         pipeline.try_put(&jobs, &number);
    ///     }
    ///     pipeline.set_because(&go, "the jobs are there");
    ///     (pipeline.count_down(&ready), pipeline.len(&jobs))
    /// })?;
    /// println!("{} are not ready, and {} jobs are left", left.get()?, length.get()?);
    /// # Ok(())
    /// # }
    /// ```
    pub fn pipeline<'a, T>(&'a self, ask: impl FnOnce(&mut Pipeline<'a>) -> T) -> Result<T> {
        let mut pipeline = Pipeline { link: self.link().here_shared()?, asked: Vec::new(), failure: None };
        let value = ask(&mut pipeline);
        pipeline.collect();
        pipeline.failure.take().map_or(Ok(value), Err)
    }
}

impl<'a> Pipeline<'a> {
    /// Asks for an operation by this link. The closure turns its output into the value.
    fn ask<'r, O: Operation<'r>, T: 'a>(
        &mut self,
        link: Result<&Arc<Link>>,
        operation: O,
        receive: impl FnOnce(O::Output, Option<AckHold>) -> Result<T> + 'a,
    ) -> Later<T> {
        let pending = self.begin(link, operation.into_request());
        self.await_answer(pending, move |ReceivedAnswer { reply, ack_hold, .. }| {
            receive(O::output(reply)?, ack_hold)
        })
    }

    /// A request that failed before it was sent.
    fn fail<T: 'a>(&mut self, error: Error) -> Later<T> {
        self.await_answer(Err(error), |_| unreachable!("what was not asked for is not answered"))
    }

    fn await_answer<T: 'a>(
        &mut self,
        pending: Result<PendingAnswer>,
        receive: impl FnOnce(ReceivedAnswer) -> Result<T> + 'a,
    ) -> Later<T> {
        let later = Later { value: Arc::default() };
        let value = Arc::clone(&later.value);
        let receive = move |answered: Result<ReceivedAnswer>| fill(&value, answered.and_then(receive));
        self.asked.push(PipelinedRequest { pending, receive: Box::new(receive) });
        if self.asked.len() >= ASKED_MAX {
            self.collect();
        }
        later
    }

    fn begin(&self, link: Result<&Arc<Link>>, request: Request<'_>) -> Result<PendingAnswer> {
        if !Arc::ptr_eq(link?, self.link) {
            let text = "an object of another manager cannot be part of this pipeline";
            return Err(Error::new(ErrorKind::BadTarget, text));
        }
        self.link.check_acks(&request)?;
        self.link.begin_queued(request)
    }

    /// Sends the requests that were not sent, and takes all answers.
    fn collect(&mut self) {
        // A forked child has queued nothing.
        if self.link.process() == std::process::id() {
            // The caller that waits for an answer learns of a failure.
            let _ = self.link.flush();
        }
        for PipelinedRequest { pending, receive } in self.asked.drain(..) {
            let failure = receive(pending.and_then(PendingAnswer::wait_with_ack_hold));
            self.failure = self.failure.take().or(failure);
        }
    }
}

/// Puts a value into its [`Later`]. Returns the error, if it is one and the caller has dropped that.
fn fill<T>(place: &Arc<Mutex<Option<Result<T>>>>, value: Result<T>) -> Option<Error> {
    if Arc::strong_count(place) == 1 {
        return value.err();
    }
    *lock(place) = Some(value);
    None
}

/// After a panic of the closure: its requests are in the buffer that all threads send from, and the locks and permits
/// that it acquired must be released.
impl Drop for Pipeline<'_> {
    fn drop(&mut self) {
        self.collect();
    }
}

impl<T> Later<T> {
    /// The value.
    ///
    /// # Errors
    ///
    /// As with the method of the object; [`is_bad_argument`](Error::is_bad_argument) inside of the closure, when the
    /// request is not sent.
    pub fn get(self) -> Result<T> {
        lock(&self.value).take().unwrap_or_else(|| {
            let text = "the value is there when `pipeline` has returned, and not inside of it";
            Err(Error::new(ErrorKind::BadArgument, text))
        })
    }
}

impl fmt::Debug for Pipeline<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Pipeline({} requests without an answer)", self.asked.len())
    }
}

impl<T: fmt::Debug> fmt::Debug for Later<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Later").field(&*lock(&self.value)).finish()
    }
}

#[cfg(test)]
mod tests;
