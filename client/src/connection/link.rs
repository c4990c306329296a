//! One manager as this process sees it: a connection, and a new one in every forked child.

use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use client_core::operations::{Share, may_be_late};
use client_core::{DeferredRelease, Operation};
use protocol::{Epoch, Reply, Request, RequestId};
use sys::shared_memory::{Access, SharedWords, Word};
use transport::{Address, ReadMode, StreamReadiness};

use crate::connection::acks::AckHold;
use crate::connection::connect::EstablishedStream;
use crate::connection::deferred_release::SharedReleaseMemory;
use crate::connection::shared::{AnswerSlot, ReceivedAnswer, SharedConnection, own_slot};
use crate::{Error, ErrorKind, Result};

/// How long to wait for the socket to become readable before checking again for the answer.
const CHECK_TIME: Duration = Duration::from_millis(5);

/// One manager as this process sees it. All handles and proxies of the same manager share one.
///
/// When its last user drops it, it says goodbye to the manager and closes the connection. If a panic drops it, there is
/// no goodbye, and to the manager that is a death.
///
/// A forked child shares the memory of a link, and must not touch its socket: the bytes of two processes would mix. So
/// each call compares process ids, and in a child it goes to a link of the child's own.
#[derive(Debug)]
pub struct Link {
    /// Where the manager is found, in the form in which all processes name it.
    address: Address,
    /// The address as proxies carry it.
    address_text: String,
    /// The epoch of the manager, which tells one run of it from another.
    epoch: Epoch,
    /// The process that made the connection.
    process: u32,
    connection: SharedConnection,
    /// Whether changes of the reference counts leave with the next write, and not at once.
    lazy: AtomicBool,
    /// The flags of events that the manager publishes, once this process has asked for them; none if it cannot have
    /// them.
    mirror: OnceLock<Option<Arc<SharedWords<AtomicU32>>>>,
    /// Set once this process has asked for memory for deferred releases.
    deferred_releases_asked_for: OnceLock<()>,
    /// How a forked child finds its own link to the same manager.
    reconnect: Reconnect,
    /// The same manager as a child process sees it.
    after_fork: OnceLock<Arc<Link>>,
}

/// Finds or makes this process's link to the manager of this epoch at this address.
pub(crate) type Reconnect = fn(&Address, Epoch) -> Result<Arc<Link>>;

impl Link {
    pub(crate) fn new(address: &Address, established: EstablishedStream, reconnect: Reconnect) -> Link {
        Link {
            address: address.clone(),
            address_text: address.to_string(),
            epoch: established.epoch,
            process: std::process::id(),
            connection: SharedConnection::new(established.stream, established.frames),
            lazy: AtomicBool::new(false),
            mirror: OnceLock::new(),
            deferred_releases_asked_for: OnceLock::new(),
            reconnect,
            after_fork: OnceLock::new(),
        }
    }

    /// Where the manager is found, in the form in which all processes name it.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// The address as proxies carry it.
    pub(crate) fn address_text(&self) -> &str {
        &self.address_text
    }

    /// The epoch of the manager, which tells one run of it from another.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Whether the connection lives, as far as the socket shows without waiting.
    pub fn is_live(&self) -> bool {
        self.connection.is_live()
    }

    /// A descriptor of the connection, to watch for its end. It must never be read.
    pub fn descriptor(&self) -> std::io::Result<OwnedFd> {
        self.connection.descriptor()
    }

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

    /// While this is on, the references that proxies take when they are deserialized, and give back when they are
    /// dropped, are counted with the next write and not at once. It is for workers: the manager keeps the objects of a
    /// task alive until the worker reports its end.
    pub fn set_lazy_detach(&self, on: bool) {
        self.lazy.store(on, Ordering::Relaxed);
    }

    /// Whether [`set_lazy_detach`](Self::set_lazy_detach) is on.
    pub(crate) fn is_lazy(&self) -> bool {
        self.lazy.load(Ordering::Relaxed)
    }

    /// The process that made this link's connection.
    pub(crate) fn process(&self) -> u32 {
        self.process
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

    /// The flags of events that the manager publishes; none if this process cannot have them. Asks once.
    pub(crate) fn mirror(&self) -> Result<Option<Arc<SharedWords<AtomicU32>>>> {
        if let Some(mirror) = self.mirror.get() {
            return Ok(mirror.clone());
        }
        // Two threads may both ask, and map the same memory twice for a moment.
        let mapped = self.map(protocol::SharedMemory::Mirror, Access::Read)?.map(Arc::new);
        Ok(self.mirror.get_or_init(|| mapped).clone())
    }

    /// Asks for memory for deferred releases, unless this process has asked before.
    pub(crate) fn open_deferred_releases(&self) -> Result<()> {
        if self.deferred_releases_asked_for.get().is_none() {
            // If two threads ask, one of them is refused, and sends its releases until the other has the memory.
            let mapped = self.map(protocol::SharedMemory::DeferredReleases, Access::Write)?;
            mapped.into_iter().for_each(|words| self.connection.adopt(SharedReleaseMemory::new(words)));
            self.deferred_releases_asked_for.get_or_init(|| ());
        }
        Ok(())
    }

    /// Asks for memory in which this process notes the calls that it runs, for the manager to read if it dies: see
    /// [`protocol::shared_memory::call_record`]. None if the manager has none to share.
    pub fn call_record(&self) -> Result<Option<SharedWords<AtomicU64>>> {
        self.map(protocol::SharedMemory::CallRecord, Access::Write)
    }

    /// Releases a lock, on the link of this process.
    pub(crate) fn release_here(&self, release: DeferredRelease) {
        self.connection.release(release);
    }

    /// Asks for shared memory and maps it. None if the manager has none to share, or this process cannot map it.
    fn map<W: Word>(&self, memory: protocol::SharedMemory, access: Access) -> Result<Option<SharedWords<W>>> {
        let answered = self.connection.call_for_descriptor(&own_slot(), Share { memory }.into_request());
        let ReceivedAnswer { reply, enclosed, .. } = match answered.and_then(accept) {
            Err(error) if error.is_limit() => return Ok(None),
            answered => answered?,
        };
        let bytes = Share::output(reply)?;
        // If no descriptor came, this process has no room for one, so it does without.
        let mapped = enclosed.map(|memory| SharedWords::map(memory, bytes, access));
        let mapped =
            mapped.transpose().inspect_err(|error| log::debug!("shared memory is not used: {error}"));
        Ok(mapped.ok().flatten())
    }

    fn here(&self) -> Result<&Link> {
        match std::process::id() {
            process if process == self.process => Ok(self),
            process => self.in_child(process).map(Arc::as_ref),
        }
    }

    /// This link, or in a forked child the child's own.
    pub(crate) fn here_shared(self: &Arc<Self>) -> Result<&Arc<Link>> {
        self.in_process(std::process::id())
    }

    /// The link of this process, for a caller that knows its process id, which takes a system call to find out.
    pub(crate) fn in_process(self: &Arc<Self>, process: u32) -> Result<&Arc<Link>> {
        if process == self.process { Ok(self) } else { self.in_child(process) }
    }

    #[cold]
    fn in_child(&self, process: u32) -> Result<&Arc<Link>> {
        let link = match self.after_fork.get() {
            Some(link) => link,
            None => {
                let link = (self.reconnect)(&self.address, self.epoch)?;
                self.after_fork.get_or_init(|| link)
            }
        };
        if link.process == process { Ok(link) } else { link.in_child(process) }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        // A goodbye would acknowledge work that the panic has kept this process from doing.
        if std::process::id() == self.process && !std::thread::panicking() {
            self.connection.say_goodbye();
        }
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
    pub(crate) fn wait_at_most(mut self, timeout: Duration) -> Result<Option<Reply>> {
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
        }
    }
}

fn accept(answered: ReceivedAnswer) -> Result<ReceivedAnswer> {
    match answered.reply {
        Reply::Refused(refusal) => Err(refusal.into()),
        _ => Ok(answered),
    }
}
