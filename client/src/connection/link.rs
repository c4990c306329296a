//! One manager as this process sees it: a connection, and a new one in every forked child.

use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

use protocol::Epoch;
use sys::shared_memory::SharedWords;
use transport::Address;

use crate::Result;
use crate::connection::connect::EstablishedStream;
use crate::connection::shared::SharedConnection;

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
    pub(super) process: u32,
    pub(super) connection: SharedConnection,
    /// Whether changes of the reference counts leave with the next write, and not at once.
    lazy: AtomicBool,
    /// The flags of events that the manager publishes, once this process has asked for them; none if it cannot have
    /// them.
    pub(super) mirror: OnceLock<Option<Arc<SharedWords<AtomicU32>>>>,
    /// Set once this process has asked for memory for deferred releases.
    pub(super) deferred_releases_asked_for: OnceLock<()>,
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

    pub(super) fn here(&self) -> Result<&Link> {
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
