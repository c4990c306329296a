//! The verbs that submit calls, with the options of how these run.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::Result;
use crate::pool::errors::bad_argument;
use crate::pool::results::ResultIterator;
use crate::pool::results::async_result::{AsyncResult, wait_for_all, wait_for_one};
use crate::pool::results::outcomes::Outcomes;
use crate::pool::results::submitted_batch::SubmittedBatch;
use crate::pool::submit::chunks::{EncodedChunk, encode_chunks};
use crate::pool::submit::input_feeder::start_feeding;
use crate::pool::submit::submission::{self, RunOptions, Submission};
use crate::pool::{Pool, Workers};
use crate::task::TaskFunction;

/// How many chunks a `map` makes for each worker by default, as in Python.
const CHUNKS_PER_PROCESS: usize = 4;

/// How many chunks per worker an iterator's window has room for by default: enough that workers do not wait for input
/// if the consumer is fast enough.
const WINDOW_CHUNKS_PER_PROCESS: usize = 32;

/// The options of calls of one function, and the verbs that submit the calls. See [`Pool::batch`].
///
/// ```no_run
/// # fn main() -> client::Result<()> {
/// use std::time::Duration;
///
/// fn resize(photo: String) -> u64 {
///     photo.len() as u64
/// }
///
/// # let manager = client::Manager::start()?;
/// # let pool = client::Pool::new(&manager, 2)?;
/// let photos = (0..).map(|number| format!("{number}.jpg"));
/// let sizes = pool.batch(resize).retries(2).time_limit(Duration::from_secs(30)).imap_unordered(photos.take(1000))?;
/// for size in sizes {
///     println!("{}", size?);
/// }
/// # Ok(())
/// # }
/// ```
#[must_use = "nothing is submitted before a verb such as `map`"]
pub struct BatchBuilder<'pool, F> {
    pool: &'pool Pool,
    function: F,
    chunk_size: Option<usize>,
    window: Option<usize>,
    options: RunOptions,
}

impl<'pool, F> BatchBuilder<'pool, F> {
    pub(crate) fn new(pool: &'pool Pool, function: F) -> BatchBuilder<'pool, F> {
        BatchBuilder { pool, function, chunk_size: None, window: None, options: RunOptions::default() }
    }

    /// Sends this many calls at a time to the manager, at least one. Large chunks cost less to send; a small chunk of
    /// lazily drawn input leaves sooner, since it leaves when it is full.
    ///
    /// A chunk is only how calls travel. Each call returns, fails, is stopped, lost or started again on its own, and
    /// the manager spreads calls among workers whatever their chunks: it hands out several at once only as long as they
    /// are so short that they take about a millisecond together.
    ///
    /// By default, `map` and `starmap` do as in Python: they make about four chunks for each worker, where an opened
    /// pool counts as one worker for each core here. In `imap` and the methods like it, each call travels alone.
    pub fn chunk_size(mut self, calls: usize) -> Self {
        self.chunk_size = Some(calls);
        self
    }

    /// Starts the calls before those of batches with a lower priority; zero by default. Batches of one priority take
    /// turns. A priority never interrupts a call that runs.
    pub fn priority(mut self, priority: i32) -> Self {
        self.options.priority = priority;
        self
    }

    /// Starts a call again if its worker died while it ran, up to this many times; zero by default. A call that fails
    /// in another way does not start again, nor does one that was stopped or exceeded its time limit. Calls that waited
    /// in a worker that died had not started: others run them, and that is no retry.
    pub fn retries(mut self, retries: u32) -> Self {
        self.options.retries = retries;
        self
    }

    /// How long a call may run. After that, the pool kills and replaces its worker, and the call fails with
    /// [`Error::is_time_limit`](crate::Error::is_time_limit). Time in the queue does not count, nor does the time of
    /// other calls.
    pub fn time_limit(mut self, limit: Duration) -> Self {
        self.options.time_limit = Some(limit);
        self
    }

    /// How many calls, at least one, `imap` and the methods like it draw ahead of the consumer: those in the queue,
    /// those that run, and results that were not taken, together. This bounds the memory.
    ///
    /// By default the window has room for 32 chunks for each worker.
    pub fn window(mut self, calls: usize) -> Self {
        self.window = Some(calls);
        self
    }

    /// Calls the function once with these arguments, and waits for what it returns.
    pub fn apply<Arguments>(self, arguments: Arguments) -> Result<F::Output>
    where
        F: TaskFunction<Arguments, Output: DeserializeOwned>,
        Arguments: Serialize,
    {
        let batch = self.submit(vec![arguments], submission::run)?;
        wait_for_one(&batch)
    }

    /// Submits one call with these arguments, and returns at once.
    pub fn apply_async<Arguments>(self, arguments: Arguments) -> Result<AsyncResult<F::Output>>
    where
        F: TaskFunction<Arguments, Output: DeserializeOwned>,
        Arguments: Serialize,
    {
        let threads = Arc::downgrade(&self.pool.callback_threads);
        let batch = self.submit(vec![arguments], submission::submit)?;
        Ok(AsyncResult::of_one(batch, threads))
    }

    /// Calls the function once with each item, and waits for the results, in the order of the items.
    pub fn map<Item>(self, items: impl IntoIterator<Item = Item>) -> Result<Vec<F::Output>>
    where
        F: TaskFunction<(Item,), Output: DeserializeOwned>,
        Item: Serialize,
    {
        self.starmap(items.into_iter().map(|item| (item,)))
    }

    /// Submits one call with each item, and returns when the input was drawn.
    pub fn map_async<Item>(self, items: impl IntoIterator<Item = Item>) -> Result<AsyncResult<Vec<F::Output>>>
    where
        F: TaskFunction<(Item,), Output: DeserializeOwned>,
        Item: Serialize,
    {
        self.starmap_async(items.into_iter().map(|item| (item,)))
    }

    /// Calls the function once with each tuple of arguments, and waits for the results, in the order of the tuples.
    pub fn starmap<Arguments>(self, tuples: impl IntoIterator<Item = Arguments>) -> Result<Vec<F::Output>>
    where
        F: TaskFunction<Arguments, Output: DeserializeOwned>,
        Arguments: Serialize,
    {
        let calls = tuples.into_iter().collect();
        let batch = self.submit(calls, submission::run)?;
        wait_for_all(&batch)
    }

    /// Submits one call with each tuple of arguments, and returns when the input was drawn.
    ///
    /// # Errors
    ///
    /// Nothing is submitted if a number is zero ([`Error::is_bad_argument`](crate::Error::is_bad_argument)), the pool
    /// is closed ([`Error::is_closed`](crate::Error::is_closed)), the function is not registered
    /// ([`Error::is_unknown_function`](crate::Error::is_unknown_function)), or the arguments of a call do not encode
    /// ([`Error::is_bad_encoding`](crate::Error::is_bad_encoding)), hold a proxy of another manager than the pool's
    /// ([`Error::is_bad_target`](crate::Error::is_bad_target)), or are too large to travel
    /// ([`Error::is_limit`](crate::Error::is_limit)). This holds for all methods that submit, except that `imap` and
    /// the methods like it report bad arguments when they reach them.
    pub fn starmap_async<Arguments>(
        self,
        tuples: impl IntoIterator<Item = Arguments>,
    ) -> Result<AsyncResult<Vec<F::Output>>>
    where
        F: TaskFunction<Arguments, Output: DeserializeOwned>,
        Arguments: Serialize,
    {
        let threads = Arc::downgrade(&self.pool.callback_threads);
        let calls = tuples.into_iter().collect();
        let batch = self.submit(calls, submission::submit)?;
        Ok(AsyncResult::of_all(batch, threads))
    }

    /// Calls the function once with each item; gives the results one by one, in the order of the items.
    ///
    /// The input is drawn on a thread of its own, lazily: only as many items as the [window](Self::window) has room
    /// for. So it may be endless, and it may be slow: results that have come do not wait for it.
    pub fn imap<Items>(self, items: Items) -> Result<ResultIterator<F::Output>>
    where
        F: TaskFunction<(Items::Item,), Output: DeserializeOwned>,
        Items: IntoIterator<Item: Serialize, IntoIter: Send + 'static>,
    {
        self.istarmap(items.into_iter().map(|item| (item,)))
    }

    /// Like [`imap`](Self::imap), but gives the results in the order in which they come.
    pub fn imap_unordered<Items>(self, items: Items) -> Result<ResultIterator<F::Output>>
    where
        F: TaskFunction<(Items::Item,), Output: DeserializeOwned>,
        Items: IntoIterator<Item: Serialize, IntoIter: Send + 'static>,
    {
        self.istarmap_unordered(items.into_iter().map(|item| (item,)))
    }

    /// Like [`imap`](Self::imap), but each item is a tuple of arguments.
    pub fn istarmap<Tuples>(self, tuples: Tuples) -> Result<ResultIterator<F::Output>>
    where
        F: TaskFunction<Tuples::Item, Output: DeserializeOwned>,
        Tuples: IntoIterator<Item: Serialize, IntoIter: Send + 'static>,
    {
        self.stream(tuples.into_iter(), true)
    }

    /// Like [`imap_unordered`](Self::imap_unordered), but each item is a tuple of arguments.
    pub fn istarmap_unordered<Tuples>(self, tuples: Tuples) -> Result<ResultIterator<F::Output>>
    where
        F: TaskFunction<Tuples::Item, Output: DeserializeOwned>,
        Tuples: IntoIterator<Item: Serialize, IntoIter: Send + 'static>,
    {
        self.stream(tuples.into_iter(), false)
    }

    /// Encodes these calls, and submits them as `submit` does.
    fn submit<Arguments>(
        self,
        calls: Vec<Arguments>,
        submit: impl FnOnce(Submission<'_>, &[EncodedChunk]) -> Result<Arc<SubmittedBatch>>,
    ) -> Result<Arc<SubmittedBatch>>
    where
        F: TaskFunction<Arguments>,
        Arguments: Serialize,
    {
        self.check()?;
        self.pool.check_may_submit(&self.function)?;
        let default = || calls.len().div_ceil(self.pool.processes.saturating_mul(CHUNKS_PER_PROCESS));
        let chunk_size = self.chunk_size.unwrap_or_else(default);
        let chunks = encode_chunks(&calls, chunk_size, self.pool.reference.link()?)?;
        // Up to here, proxies among the arguments keep their objects alive. From here on, the tasks do.
        submit(self.submission(self.function.name())?, &chunks)
    }

    fn stream<Input>(self, input: Input, is_ordered: bool) -> Result<ResultIterator<F::Output>>
    where
        F: TaskFunction<Input::Item, Output: DeserializeOwned>,
        Input: Iterator<Item: Serialize> + Send + 'static,
    {
        self.check()?;
        self.pool.check_may_submit(&self.function)?;
        let chunk_size = self.chunk_size.unwrap_or(1);
        let window = self.window.unwrap_or_else(|| {
            self.pool.processes.saturating_mul(WINDOW_CHUNKS_PER_PROCESS).saturating_mul(chunk_size)
        });
        let total =
            Some(input.size_hint()).filter(|(least, most)| *most == Some(*least)).map(|(least, _)| least);
        let outcomes = Outcomes::of_stream(window as u64, is_ordered);
        let batch = submission::open_stream(self.submission(self.function.name())?, outcomes)?;
        start_feeding(&batch, input, chunk_size)?;
        Ok(ResultIterator::new(batch, total))
    }

    /// The batch, ready for submission.
    fn submission<'a>(&'a self, function: &'a str) -> Result<Submission<'a>> {
        let Pool { reference, submitted_batches, workers, .. } = self.pool;
        let link = reference.link()?;
        submitted_batches.detached().forget_ended(link)?;
        let served_as = match workers {
            Workers::Own { .. } => None,
            Workers::Elsewhere { name } => Some(name),
        };
        Ok(Submission {
            link,
            pool: reference.id(),
            served_as,
            function,
            options: self.options,
            submitted_batches,
        })
    }

    fn check(&self) -> Result<()> {
        let text = if self.chunk_size == Some(0) {
            "a chunk has at least one call"
        } else if self.window == Some(0) {
            "a window has room for at least one call"
        } else if self.options.time_limit == Some(Duration::ZERO) {
            "a time limit is longer than zero"
        } else {
            return Ok(());
        };
        Err(bad_argument(text))
    }
}

impl<F> fmt::Debug for BatchBuilder<'_, F> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let BatchBuilder { pool: _, function: _, chunk_size, window, options } = self;
        let mut show = formatter.debug_struct("BatchBuilder");
        show.field("chunk_size", chunk_size)
            .field("window", window)
            .field("options", options)
            .finish_non_exhaustive()
    }
}
