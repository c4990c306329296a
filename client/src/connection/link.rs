//! One manager as this process sees it: a connection, and a fresh one in every process that is forked off.

use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use protocol::{Epoch, Reply, Request, RequestId, Target};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::connection::answer_slot::{Answered, Seat};
use crate::connection::connect::Session;
use crate::connection::deferred_release::{GivenBack, Ledger};
use crate::connection::reader::Look;
use crate::connection::registry;
use crate::connection::shared::Connection;
use crate::connection::shared_memory::{Access, Segment, Word};
use crate::error::unexpected;
use crate::{Error, ErrorKind, Result};

/// How long to wait for a sign that an answer has come, before looking without.
const LOOK_TIME: Duration = Duration::from_millis(5);

/// One manager as this process sees it. Everything that has to do with the same manager shares one.
///
/// When its last user goes, the manager is told goodbye and the connection closes. If it goes by a panic, there is no
/// goodbye, and the manager takes it for a death.
///
/// A process that was forked off shares the memory of a link, and must not touch its socket: the bytes of two
/// processes would mix. So each call compares process ids, and in the child it goes to a link of the child's
/// own.
#[derive(Debug)]
pub struct Link {
    /// The path of the socket, absolute and without links.
    socket: String,
    /// The life of the manager.
    epoch: Epoch,
    /// The process that made the connection.
    process: u32,
    connection: Connection,
    /// Whether references are counted with the next write and not at once.
    lazy: AtomicBool,
    /// What the manager publishes of events, once this was asked for; none if it can not be had.
    mirror: OnceLock<Option<Arc<Segment<AtomicU32>>>>,
    /// There once a ledger was asked for.
    ledger_asked_for: OnceLock<()>,
    /// The same manager as a child process sees it.
    after_fork: OnceLock<Arc<Link>>,
}

impl Link {
    /// The link to the manager at this socket, made now if this process has none that lives.
    pub fn connect(socket: &Path) -> Result<Arc<Link>> {
        registry::link_to(socket)
    }

    pub(crate) fn new(socket: &str, session: Session) -> Link {
        Link {
            socket: socket.to_owned(),
            epoch: session.epoch,
            process: std::process::id(),
            connection: Connection::new(session.socket, session.frames),
            lazy: AtomicBool::new(false),
            mirror: OnceLock::new(),
            ledger_asked_for: OnceLock::new(),
            after_fork: OnceLock::new(),
        }
    }

    /// The path of the socket: absolute, and without links.
    pub fn socket(&self) -> &Path {
        Path::new(&self.socket)
    }

    /// The path of the socket as a proxy tells it.
    pub(crate) fn socket_text(&self) -> &str {
        &self.socket
    }

    /// The life of the manager.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Whether the connection lives, as far as can be told without waiting.
    pub fn is_live(&self) -> bool {
        self.connection.is_live()
    }

    /// A descriptor of the connection, to be watched for its end, and never to be read.
    pub fn descriptor(&self) -> std::io::Result<OwnedFd> {
        self.connection.descriptor()
    }

    /// One round trip. A refusal is an error.
    pub fn call(&self, body: Request<'_>) -> Result<Reply> {
        self.here()?.call_here(body)
    }

    /// Sends a request whose answer is taken later.
    pub fn begin(self: &Arc<Self>, body: Request<'_>) -> Result<Pending> {
        let link = self.here_shared()?;
        let seat = Arc::new(Seat::default());
        let request = link.connection.begin_apart(&seat, body)?;
        Ok(Pending { link: Arc::clone(link), request, seat })
    }

    /// Like [`begin`](Self::begin), but it leaves with the next write on this connection. Whoever uses it
    /// sees to it that such a write comes before the answer is waited for.
    pub fn begin_queued(self: &Arc<Self>, body: Request<'_>) -> Result<Pending> {
        let link = self.here_shared()?;
        let seat = Arc::new(Seat::default());
        let request = link.connection.begin_queued(&seat, body)?;
        Ok(Pending { link: Arc::clone(link), request, seat })
    }

    /// Refuses a wait while too much is not confirmed that this process was granted.
    pub(crate) fn check_receipts(&self) -> Result<()> {
        self.connection.check_receipts()
    }

    /// Sends a request that is not answered, not even when it is refused.
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

    /// While on, references that proxies take and give back by deserializing and dropping are told with the
    /// next write, and not at once: for a worker, whose tasks keep the objects alive until it tells their
    /// end.
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

    pub(crate) fn call_here(&self, body: Request<'_>) -> Result<Reply> {
        self.call_with_receipt(body).map(|answered| answered.reply)
    }

    /// Like [`call_here`](Self::call_here), and the answer is not confirmed while its receipt is kept.
    pub(crate) fn call_with_receipt(&self, body: Request<'_>) -> Result<Answered> {
        let seat = Seat::own();
        if matches!(body, Request::Wait { .. } | Request::SignalAndWait { .. }) {
            self.check_receipts()?;
        }
        let look = if may_be_late(&body) { Look::Asleep } else { Look::Awake };
        let request = self.connection.begin(&seat, body)?;
        accept(self.connection.finish(request, &seat, look)?)
    }

    /// What the manager publishes of events; none if it can not be had. Asked for once.
    pub(crate) fn mirror(&self) -> Result<Option<Arc<Segment<AtomicU32>>>> {
        if let Some(mirror) = self.mirror.get() {
            return Ok(mirror.clone());
        }
        // Two threads may both ask, and map the same memory twice for a moment.
        let mapped = self.map(protocol::SharedMemory::Mirror, Access::Read)?.map(Arc::new);
        Ok(self.mirror.get_or_init(|| mapped).clone())
    }

    /// Asks for a ledger if that was not done before, so that locks can be given back without a word.
    pub(crate) fn open_ledger(&self) -> Result<()> {
        if self.ledger_asked_for.get().is_none() {
            // If two threads ask, one of them is refused, and goes without until the other has it.
            let mapped = self.map(protocol::SharedMemory::DeferredReleases, Access::Write)?;
            mapped.into_iter().for_each(|words| self.connection.adopt(Ledger::new(words)));
            self.ledger_asked_for.get_or_init(|| ());
        }
        Ok(())
    }

    /// Gives a lock back, on the link of this process.
    pub(crate) fn give_back_here(&self, given: GivenBack) {
        self.connection.give_back(given);
    }

    /// Has memory shared and maps it. None if the manager has none to share, or it can not be mapped here.
    fn map<W: Word>(&self, memory: protocol::SharedMemory, access: Access) -> Result<Option<Segment<W>>> {
        let answered = self.connection.call_for_descriptor(&Seat::own(), Request::Share { memory });
        match answered.and_then(accept) {
            Ok(Answered { reply: Reply::Shared { bytes }, enclosed: Some(memory), .. }) => {
                let mapped = Segment::map(memory, bytes, access);
                Ok(mapped.inspect_err(|error| log::debug!("shared memory is not used: {error}")).ok())
            }
            // The process has no descriptor left, so it goes without.
            Ok(Answered { reply: Reply::Shared { .. }, enclosed: None, .. }) => Ok(None),
            Err(error) if error.is_limit() => Ok(None),
            Ok(answered) => Err(unexpected(&answered.reply)),
            Err(error) => Err(error),
        }
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

    /// The link of this process, for a caller that has just asked for its id: that is a system call.
    pub(crate) fn in_process(self: &Arc<Self>, process: u32) -> Result<&Arc<Link>> {
        if process == self.process { Ok(self) } else { self.in_child(process) }
    }

    #[cold]
    fn in_child(&self, process: u32) -> Result<&Arc<Link>> {
        let link = match self.after_fork.get() {
            Some(link) => link,
            None => {
                let link = registry::link_to_epoch(self.socket(), self.epoch)?;
                self.after_fork.get_or_init(|| link)
            }
        };
        if link.process == process { Ok(link) } else { link.in_child(process) }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        // A goodbye would acknowledge what a panic has kept this process from doing.
        if std::process::id() == self.process && !std::thread::panicking() {
            self.connection.say_goodbye();
        }
    }
}

/// A request whose answer is taken later.
///
/// Dropped without it, the request is cancelled. What the manager may have granted meanwhile is then lost, so
/// this is for requests whose answers can be: results that nobody wants any more, not a lock.
#[derive(Debug)]
pub struct Pending {
    link: Arc<Link>,
    request: RequestId,
    seat: Arc<Seat>,
}

impl Pending {
    /// The id of the request, by which another thread can cancel what this one waits for.
    pub fn request(&self) -> RequestId {
        self.request
    }

    /// Waits for the answer. A refusal is an error.
    pub fn wait(self) -> Result<Reply> {
        self.wait_with_receipt().map(|answered| answered.reply)
    }

    /// Like [`wait`](Self::wait), and the answer is not confirmed while its receipt is kept.
    pub(crate) fn wait_with_receipt(self) -> Result<Answered> {
        self.check_process()?;
        accept(self.link.connection.finish(self.request, &self.seat, Look::Awake)?)
    }

    /// Waits for the answer, but no longer than this: then the request is cancelled, and there is none. For what has to
    /// go on also without the manager.
    pub(crate) fn wait_at_most(mut self, timeout: Duration) -> Result<Option<Reply>> {
        let socket =
            self.link.descriptor().map_err(|error| Error::new(ErrorKind::Other, error.to_string()))?;
        let deadline = Instant::now() + timeout;
        loop {
            let answer = self.try_take()?;
            let rest = deadline.saturating_duration_since(Instant::now());
            if answer.is_some() || rest.is_zero() {
                return Ok(answer);
            }
            // Another thread may be the one that reads, so the answer can come without a sign here.
            let look_again = Timespec::try_from(rest.min(LOOK_TIME)).expect("it is milliseconds");
            // An interruption is as good as a timeout.
            let _ = poll(&mut [PollFd::new(&socket, PollFlags::IN)], Some(&look_again));
        }
    }

    /// The answer, if it has come. After it was taken once, there is none.
    pub fn try_take(&mut self) -> Result<Option<Reply>> {
        self.check_process()?;
        let answered = self.link.connection.try_finish(&self.seat);
        answered.map(|answered| accept(answered?).map(|answered| answered.reply)).transpose()
    }

    fn check_process(&self) -> Result<()> {
        if std::process::id() == self.link.process {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::Other,
            "what was asked before a fork is answered in the parent process only",
        ))
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        if std::process::id() == self.link.process {
            self.link.connection.abandon(self.request);
        }
    }
}

/// Whether a request is answered when somebody else does something, and not at once. What is held for short times is
/// taken for free.
fn may_be_late(request: &Request<'_>) -> bool {
    match request {
        Request::SignalAndWait { .. } => true,
        Request::Wait { timeout_ns: Some(0), .. } => false,
        Request::Wait { targets, .. } => !targets.iter().all(|target| {
            matches!(
                target,
                Target::Lock { .. } | Target::RLock { .. } | Target::Semaphore { .. } | Target::Put { .. }
            )
        }),
        _ => false,
    }
}

fn accept(answered: Answered) -> Result<Answered> {
    match answered.reply {
        Reply::Refused(refusal) => Err(refusal.into()),
        _ => Ok(answered),
    }
}
