//! The calls over a link: requests, answers that are taken later, and what a fork does to both.

use std::sync::Arc;
use std::time::{Duration, Instant};

use client_core::Operation;
use client_core::operations::may_be_late;
use protocol::{Reply, Request, RequestId};
use transport::{ReadMode, StreamReadiness};

use crate::connection::acks::AckHold;
use crate::connection::link::Link;
use crate::connection::shared::{AnswerSlot, ReceivedAnswer, own_slot};
use crate::connection::turn_slot::Turn;
use crate::{Error, ErrorKind, Result};

/// How long to wait for the socket to become readable before checking again for the answer.
const CHECK_TIME: Duration = Duration::from_millis(5);

impl Link {
    /// Makes one round trip. A refusal is an error.
    pub fn call(&self, body: Request<'_>) -> Result<Reply> {
        self.here()?.call_here(body)
    }

    /// Makes one round trip that carries an operation out.
    pub fn run<'a, O: Operation<'a>>(&self, operation: O) -> Result<O::Output> {
        self.here()?.run_here(operation)
    }

    /// Sends a request whose answer is taken later.
    pub fn begin(self: &Arc<Self>, body: Request<'_>) -> Result<PendingAnswer> {
        let link = self.here_shared()?;
        let slot = Arc::new(AnswerSlot::default());
        let request = link.connection.begin_apart(&slot, body)?;
        Ok(PendingAnswer { link: Arc::clone(link), request, slot })
    }

    /// Like [`begin`](Self::begin), but the request leaves with the next write on this connection. The caller must
    /// cause such a write before it waits for the answer.
    pub fn begin_queued(self: &Arc<Self>, body: Request<'_>) -> Result<PendingAnswer> {
        let link = self.here_shared()?;
        let slot = Arc::new(AnswerSlot::default());
        let request = link.connection.begin_queued(&slot, body)?;
        Ok(PendingAnswer { link: Arc::clone(link), request, slot })
    }

    /// Refuses a wait while too many grants to this process are unacknowledged.
    pub(crate) fn check_acks(&self, body: &Request<'_>) -> Result<()> {
        self.connection.check_acks(body)
    }

    /// Sends a request that gets no answer, not even when it is refused.
    pub fn send(&self, body: Request<'_>) -> Result<()> {
        self.here()?.connection.send(body)
    }

    /// Like [`send`](Self::send), on the link of this process.
    pub(crate) fn send_here(&self, body: Request<'_>) -> Result<()> {
        self.connection.send(body)
    }

    /// Like [`send`](Self::send), but it leaves with the next write on this connection.
    pub fn queue(&self, body: Request<'_>) -> Result<()> {
        self.here()?.connection.queue(body)
    }

    /// Sends what was queued.
    pub fn flush(&self) -> Result<()> {
        self.here()?.connection.flush_queued()
    }

    /// Like [`run`](Self::run), on the link of this process.
    pub(crate) fn run_here<'a, O: Operation<'a>>(&self, operation: O) -> Result<O::Output> {
        Ok(O::output(self.call_here(operation.into_request())?)?)
    }

    /// Like [`run_here`](Self::run_here), and the answer stays unacknowledged while its hold lives.
    pub(crate) fn run_with_ack_hold<'a, O: Operation<'a>>(
        &self,
        operation: O,
    ) -> Result<(O::Output, Option<AckHold>)> {
        let ReceivedAnswer { reply, ack_hold, .. } = self.call_with_ack_hold(operation.into_request())?;
        Ok((O::output(reply)?, ack_hold))
    }

    pub(crate) fn call_here(&self, body: Request<'_>) -> Result<Reply> {
        self.call_with_ack_hold(body).map(|answered| answered.reply)
    }

    /// Like [`call_here`](Self::call_here), and the answer stays unacknowledged while its hold lives.
    fn call_with_ack_hold(&self, body: Request<'_>) -> Result<ReceivedAnswer> {
        let slot = own_slot();
        self.check_acks(&body)?;
        let mode = if may_be_late(&body) { ReadMode::PollFirst } else { ReadMode::Blocking };
        let request = self.connection.begin(&slot, body)?;
        accept(self.connection.finish(request, &slot, mode)?)
    }
}

/// A request whose answer is taken later.
///
/// If this is dropped first, the request is cancelled, and what the manager granted meanwhile is lost. So this is for
/// requests whose answers may be lost, such as results that nobody wants any more, and not for locks.
#[derive(Debug)]
pub struct PendingAnswer {
    link: Arc<Link>,
    request: RequestId,
    slot: Arc<AnswerSlot>,
}

impl PendingAnswer {
    /// The id of the request, by which another thread can cancel what this one waits for.
    pub fn request(&self) -> RequestId {
        self.request
    }

    /// Waits for the answer. A refusal is an error.
    pub fn wait(self) -> Result<Reply> {
        self.wait_with_ack_hold().map(|answered| answered.reply)
    }

    /// Like [`wait`](Self::wait), and the answer stays unacknowledged while its hold lives.
    pub(crate) fn wait_with_ack_hold(self) -> Result<ReceivedAnswer> {
        self.check_process()?;
        accept(self.link.connection.finish(self.request, &self.slot, ReadMode::Blocking)?)
    }

    /// Waits for the answer, but no longer than `timeout`: then it cancels the request, and there is none. For callers
    /// that must go on even without the manager.
    pub fn wait_at_most(mut self, timeout: Duration) -> Result<Option<Reply>> {
        let deadline = Instant::now() + timeout;
        loop {
            let answer = self.try_take()?;
            let rest = deadline.saturating_duration_since(Instant::now());
            if answer.is_some() || rest.is_zero() {
                return Ok(answer);
            }
            // If another thread reads, the answer can come without the socket being readable here.
            self.link.connection.wait_for(StreamReadiness::READABLE, rest.min(CHECK_TIME));
        }
    }

    /// The answer, if it has come. Only the first call that finds it gets it.
    pub fn try_take(&mut self) -> Result<Option<Reply>> {
        self.check_process()?;
        let answered = self.link.connection.try_finish(&self.slot);
        answered.map(|answered| accept(answered?).map(|answered| answered.reply)).transpose()
    }

    fn check_process(&self) -> Result<()> {
        if std::process::id() == self.link.process {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::Other,
            "only the parent process gets the answer to a request from before a fork",
        ))
    }
}

impl Drop for PendingAnswer {
    fn drop(&mut self) {
        if std::process::id() == self.link.process {
            self.link.connection.abandon(self.request);
            if let Some(Turn::Answered(Ok(answer))) = self.slot.take() {
                self.link.connection.drop_answer(&answer);
            }
        }
    }
}

pub(super) fn accept(answered: ReceivedAnswer) -> Result<ReceivedAnswer> {
    match answered.reply {
        Reply::Refused(refusal) => Err(refusal.into()),
        _ => Ok(answered),
    }
}
