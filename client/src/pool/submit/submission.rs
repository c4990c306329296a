//! How a batch comes into being: opened and filled, or run in one request.

use std::sync::{Arc, Condvar, Mutex, Weak};
use std::time::Duration;

use protocol::{BatchOptions, Kind, ObjectId, Request};
use uuid::Uuid;

use crate::connection::link::{Link, Pending};
use crate::objects::reference::{Proxy, Reference};
use crate::pool::results::batch::{Batch, BatchState};
use crate::pool::results::callbacks::Callbacks;
use crate::pool::results::outcomes::Outcomes;
use crate::pool::results::unserved_warning::{UnservedWarning, WARNING_TIME};
use crate::pool::submit::chunks::{Chunk, inputs};
use crate::pool::submitted_batches::{DetachedBatch, SubmittedBatches};
use crate::process::thread::this_thread;
use crate::task::current_stop;
use crate::{Event, Result, duration};

/// How a batch runs.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct RunOptions {
    /// Higher ones start first.
    pub(crate) priority: i32,
    /// How often a chunk is started again whose worker died.
    pub(crate) retries: u32,
    /// How long a chunk may run.
    pub(crate) time_limit: Option<Duration>,
}

/// What is to be known of a batch to open it.
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
    pub(crate) how: RunOptions,
    /// The other batches of the pool.
    pub(crate) submitted_batches: &'a Arc<SubmittedBatches>,
}

/// Requests that were sent and whose answers nobody has looked at.
#[derive(Debug, Default)]
pub(crate) struct Submitted {
    /// Those that submit the batch.
    pub(crate) submissions: Vec<Pending>,
    /// A first wait for its results, if that was sent together with the batch.
    pub(crate) results: Option<Pending>,
}

impl Batch {
    /// Sends all of a batch to the manager. What that refuses of it shows when the batch is waited for.
    pub(crate) fn submit(plan: Submission<'_>, chunks: &[Chunk]) -> Result<Arc<Batch>> {
        let outcomes = Outcomes::of_whole(chunks.iter().map(|chunk| chunk.count));
        let batch = Batch::open(plan, outcomes, |request| plan.link.begin_queued(request))?;
        let id = batch.id();
        let added: Result<()> = inputs(chunks).try_for_each(|tasks| {
            let pending = plan.link.begin_queued(Request::BatchAdd { id, tasks, last: false })?;
            batch.lock().begun.submissions.push(pending);
            Ok(())
        });
        // The end is told by itself, and in any case: of a batch without one the pool would wait for more for ever.
        plan.link.send(Request::BatchAdd { id, tasks: Vec::new(), last: true })?;
        added?;
        plan.submitted_batches.add(&batch);
        Ok(batch)
    }

    /// As [`submit`](Self::submit), for a batch that is waited for next, without a timeout: both is one request, if it
    /// all fits into one.
    pub(crate) fn run(plan: Submission<'_>, chunks: &[Chunk]) -> Result<Arc<Batch>> {
        let mut inputs = inputs(chunks);
        let tasks = inputs.next().unwrap_or_default();
        if inputs.next().is_some() {
            return Batch::submit(plan, chunks);
        }
        let outcomes = Outcomes::of_whole(chunks.iter().map(|chunk| chunk.count));
        let Submission { link, pool, served_as, function, .. } = plan;
        let timeout_ns = served_as.map(|_| duration::nanoseconds(WARNING_TIME));
        let batch = Batch::begin(plan, outcomes, |id, options| {
            let thread = this_thread();
            let run = Request::BatchRun { id, pool, function, options, tasks, timeout_ns, thread };
            Ok(Submitted { submissions: Vec::new(), results: Some(link.begin(run)?) })
        })?;
        plan.submitted_batches.add(&batch);
        Ok(batch)
    }

    /// Opens a batch whose calls are added one by one.
    pub(crate) fn open_stream(plan: Submission<'_>, outcomes: Outcomes) -> Result<Arc<Batch>> {
        let batch = Batch::open(plan, outcomes, |request| plan.link.begin(request))?;
        let begun = std::mem::take(&mut batch.lock().begun);
        begun.submissions.into_iter().try_for_each(|submission| submission.wait().map(drop))?;
        plan.submitted_batches.add(&batch);
        Ok(batch)
    }

    fn open(
        plan: Submission<'_>,
        outcomes: Outcomes,
        begin: impl FnOnce(Request<'_>) -> Result<Pending>,
    ) -> Result<Arc<Batch>> {
        let Submission { pool, function, .. } = plan;
        Batch::begin(plan, outcomes, |id, options| {
            let opened = begin(Request::BatchOpen { id, pool, function, options })?;
            Ok(Submitted { submissions: vec![opened], results: None })
        })
    }

    /// A batch that the manager is told of by this, with its id and options.
    fn begin(
        plan: Submission<'_>,
        outcomes: Outcomes,
        begin: impl FnOnce(ObjectId, BatchOptions) -> Result<Submitted>,
    ) -> Result<Arc<Batch>> {
        let Submission { link, pool, served_as, function, how, submitted_batches } = plan;
        let id = ObjectId(Uuid::new_v4());
        let options = BatchOptions {
            stop: ObjectId(Uuid::new_v4()),
            parent: current_stop(link.epoch()),
            priority: how.priority,
            retries: how.retries,
            time_limit_ns: how.time_limit.map(duration::nanoseconds),
        };
        let begun = begin(id, options)?;
        let reference = Reference::adopt(Arc::clone(link), id, Kind::Batch).given_back_lazily();
        let stop = Reference::adopt(Arc::clone(link), options.stop, Kind::Event).given_back_lazily();
        let warning = served_as.map(|name| UnservedWarning { pool, name: Arc::clone(name) });
        Ok(Arc::new(Batch {
            state: Mutex::new(BatchState::new(outcomes, begun, warning)),
            changed: Condvar::new(),
            reference,
            stop: Event::from_reference(stop)?,
            function: function.to_owned(),
            callbacks: Callbacks::default(),
            submitted_batches: Arc::downgrade(submitted_batches),
        }))
    }

    /// Takes hold again of a batch whose results nobody wants. None if it has ended.
    pub(crate) fn reopen(link: &Arc<Link>, detached: DetachedBatch) -> Result<Option<Arc<Batch>>> {
        let epoch = link.epoch();
        let mut references = Vec::new();
        for (id, kind) in [(detached.batch, Kind::Batch), (detached.stop, Kind::Event)] {
            match link.call(Request::Attach { id, kind, epoch }) {
                Ok(_) => references.push(Reference::adopt(Arc::clone(link), id, kind)),
                Err(error) if error.is_manager_gone() => return Err(error),
                Err(_) => return Ok(None),
            }
        }
        let stop = references.pop().expect("there are two");
        let reference = references.pop().expect("there are two");
        Ok(Some(Arc::new(Batch {
            state: Mutex::new(BatchState::new(Outcomes::of_detached(), Submitted::default(), None)),
            changed: Condvar::new(),
            reference,
            stop: Event::from_reference(stop)?,
            function: String::new(),
            callbacks: Callbacks::default(),
            submitted_batches: Weak::new(),
        })))
    }
}
