//! How a batch comes into being: opened and filled, or run in one request.

use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use client_core::Operation;
use client_core::operations::{BatchAdd, BatchOpen, BatchRun};
use protocol::{BatchOptions, Kind, ObjectId, Request};
use uuid::Uuid;

use crate::connection::calls::PendingAnswer;
use crate::connection::link::Link;
use crate::objects::reference::{Proxy, Reference};
use crate::pool::results::outcomes::Outcomes;
use crate::pool::results::submitted_batch::{BatchState, Submitted, SubmittedBatch};
use crate::pool::results::unserved_warning::{UnservedWarning, WARNING_DELAY};
use crate::pool::submit::chunks::{EncodedChunk, additions, count, have_blobs, in_requests};
use crate::pool::submitted_batches::SubmittedBatches;
use crate::process::thread::this_thread;
use crate::task::current_stop;
use crate::{Event, Result, duration};

/// How a batch runs.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct RunOptions {
    /// Batches with a higher priority start first.
    pub(crate) priority: i32,
    /// How often a call starts again after its worker has died.
    pub(crate) retries: u32,
    /// How long a call may run.
    pub(crate) time_limit: Option<Duration>,
}

/// A batch that is about to be submitted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Submission<'a> {
    /// The way to the manager.
    pub(crate) link: &'a Arc<Link>,
    /// The pool that runs it.
    pub(crate) pool: ObjectId,
    /// The pool's name, if other programs serve it.
    pub(crate) served_as: Option<&'a Arc<str>>,
    /// The name of the function.
    pub(crate) function: &'a str,
    /// How it runs.
    pub(crate) options: RunOptions,
    /// The batches of the pool, which it joins.
    pub(crate) submitted_batches: &'a SubmittedBatches,
}

/// Sends the whole batch to the manager. If the manager refuses a part of it, the first wait for the batch reports
/// that.
pub(crate) fn submit(submission: Submission<'_>, chunks: &[EncodedChunk]) -> Result<Arc<SubmittedBatch>> {
    let outcomes = Outcomes::of_whole(count(chunks));
    let batch = submission.open(outcomes, |request| submission.link.begin_queued(request))?;
    let id = batch.id();
    let added: Result<()> = additions(chunks, id).try_for_each(|addition| {
        let pending = submission.link.begin_queued(addition)?;
        batch.lock().submitted.submissions.push(pending);
        Ok(())
    });
    // A request of its own, sent in any case: the pool would wait forever for more of a batch that is not sealed.
    submission.link.send(BatchAdd { id, chunks: Vec::new(), last: true }.into_request())?;
    added?;
    submission.submitted_batches.add(&batch);
    Ok(batch)
}

/// Like [`submit`], for a batch whose submitter waits for it next, without a timeout: one request does both, if the
/// calls fit into one.
pub(crate) fn run(submission: Submission<'_>, chunks: &[EncodedChunk]) -> Result<Arc<SubmittedBatch>> {
    if have_blobs(chunks) {
        return submit(submission, chunks);
    }
    let mut requests = in_requests(chunks);
    let whole = requests.next().unwrap_or_default();
    if requests.next().is_some() {
        return submit(submission, chunks);
    }
    let outcomes = Outcomes::of_whole(count(chunks));
    let Submission { link, pool, served_as, function, .. } = submission;
    let timeout_ns = served_as.map(|_| duration::nanoseconds(WARNING_DELAY));
    let batch = submission.begin(outcomes, |id, options| {
        let thread = this_thread();
        let run = BatchRun { id, pool, function, options, chunks: whole, timeout_ns, thread };
        Ok(Submitted { submissions: Vec::new(), results: Some(link.begin(run.into_request())?) })
    })?;
    submission.submitted_batches.add(&batch);
    Ok(batch)
}

/// Opens a batch that takes its calls one by one.
pub(crate) fn open_stream(submission: Submission<'_>, outcomes: Outcomes) -> Result<Arc<SubmittedBatch>> {
    let batch = submission.open(outcomes, |request| submission.link.begin(request))?;
    let submitted = std::mem::take(&mut batch.lock().submitted);
    submitted.submissions.into_iter().try_for_each(|pending| pending.wait().map(drop))?;
    submission.submitted_batches.add(&batch);
    Ok(batch)
}

impl Submission<'_> {
    fn open(
        self,
        outcomes: Outcomes,
        begin: impl FnOnce(Request<'_>) -> Result<PendingAnswer>,
    ) -> Result<Arc<SubmittedBatch>> {
        let Submission { pool, function, .. } = self;
        self.begin(outcomes, |id, options| {
            let opened = begin(BatchOpen { id, pool, function, options }.into_request())?;
            Ok(Submitted { submissions: vec![opened], results: None })
        })
    }

    /// Makes a batch. `begin` sends it to the manager, with this id and these options.
    fn begin(
        self,
        outcomes: Outcomes,
        begin: impl FnOnce(ObjectId, BatchOptions) -> Result<Submitted>,
    ) -> Result<Arc<SubmittedBatch>> {
        let Submission { link, pool, served_as, function, options: run, submitted_batches } = self;
        let id = ObjectId(Uuid::new_v4());
        let options = BatchOptions {
            stop: ObjectId(Uuid::new_v4()),
            parent: current_stop(link.epoch()),
            priority: run.priority,
            retries: run.retries,
            time_limit_ns: run.time_limit.map(duration::nanoseconds),
        };
        let submitted = begin(id, options)?;
        let outcomes = outcomes.with_link(link);
        let reference = Reference::adopt(Arc::clone(link), id, Kind::Batch).given_back_lazily();
        let stop = Reference::adopt(Arc::clone(link), options.stop, Kind::Event).given_back_lazily();
        let unserved_warning = served_as.map(|name| UnservedWarning { pool, name: Arc::clone(name) });
        Ok(Arc::new(SubmittedBatch {
            state: Mutex::new(BatchState::new(outcomes, submitted, unserved_warning)),
            changed: Condvar::new(),
            reference,
            stop: Event::from_reference(stop)?,
            function: function.to_owned(),
            detached: Arc::downgrade(submitted_batches.detached()),
        }))
    }
}
