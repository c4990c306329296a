//! The handle to a manager, from which all proxies come.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use protocol::Spec;

use crate::connection::endpoint;
use crate::connection::link::Link;
use crate::process::private_manager::PrivateManager;
use crate::{Event, Options, Result};

/// A manager, as this process sees it.
///
/// A clone is the same manager. All handles and proxies of a process that have to do with the same manager
/// share one connection, from any number of threads. When the manager ends, every call that waits and every
/// later one fails at once ([`is_manager_gone`](crate::Error::is_manager_gone)).
///
/// A process that was forked off can go on to use its copies of handles and proxies: they connect afresh.
/// That holds for the process that called `fork`, and not for a signal handler.
///
/// ```no_run
/// # fn main() -> client::Result<()> {
/// let manager = client::Manager::start()?;
/// let stop = manager.event("stop")?;
/// stop.set()?;
/// assert!(stop.is_set()?);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Manager {
    /// Declared first: the connection says goodbye before its manager ends.
    link: Arc<Link>,
    /// The process that ends with the last clone of this, if it was started for it.
    _private: Option<Arc<PrivateManager>>,
}

impl Manager {
    /// Starts a manager of this program's own, as a process of its own.
    ///
    /// It ends when the last clone of this handle is dropped, and also when this process ends, however it
    /// ends. Dropping the last clone waits until it has ended, at most about two seconds.
    ///
    /// In a program that called [`init`](crate::init) (or `worker::init`) it is a copy of this program.
    /// Otherwise it is the `manager` program: the one that `RALLYPOINT_MANAGER` names, or else one in the
    /// folder of this program or the folder above, or else one on `PATH`.
    ///
    /// # Errors
    /// If there is no such program, or the manager does not become ready; the text says which, and what to
    /// do.
    pub fn start() -> Result<Manager> {
        let private = PrivateManager::start()?;
        let link = Link::connect(private.socket())?;
        Ok(Manager { link, _private: Some(Arc::new(private)) })
    }

    /// Connects to the manager at the socket that `RALLYPOINT_SOCKET` names, or else at this user's default
    /// socket: `rallypoint/manager.sock` in `XDG_RUNTIME_DIR`, or `/tmp/rallypoint-<user id>/manager.sock`.
    ///
    /// # Errors
    /// As with [`connect_to`](Self::connect_to).
    pub fn connect() -> Result<Manager> {
        Manager::connect_to(endpoint::socket())
    }

    /// Connects to the manager at this socket.
    ///
    /// # Errors
    /// If no manager runs there ([`is_not_running`](crate::Error::is_not_running)), speaks a version that
    /// this crate does not ([`is_version_mismatch`](crate::Error::is_version_mismatch)), belongs to another
    /// user, or does not answer for 10 seconds; if the path is longer than 107 bytes
    /// ([`is_limit`](crate::Error::is_limit)).
    pub fn connect_to(socket: impl AsRef<Path>) -> Result<Manager> {
        Ok(Manager { link: Link::connect(socket.as_ref())?, _private: None })
    }

    /// The path of the manager's socket, for other programs to connect to: absolute, and without links.
    pub fn socket(&self) -> &Path {
        self.link.socket()
    }

    /// The event of this name, made now if there is none: not set at first, and set until it is cleared.
    ///
    /// # Errors
    /// As with [`Options::open_or_create`].
    pub fn event(&self, name: &str) -> Result<Event> {
        self.event_options().open_or_create(name)
    }

    /// A new event without a name, which lives as long as there are proxies of it.
    pub fn anonymous_event(&self) -> Result<Event> {
        self.event_options().anonymous()
    }

    /// All other ways to open or make an event.
    pub fn event_options(&self) -> Options<'_, Event> {
        Options::new(self, Spec::Event { auto_reset: false })
    }

    /// The link that this handle holds, for the rest of the product.
    #[doc(hidden)]
    pub fn link(&self) -> &Arc<Link> {
        &self.link
    }
}

impl fmt::Debug for Manager {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Manager at {}", self.socket().display())
    }
}
