//! The handle to a manager, from which all proxies come.

use std::ffi::OsStr;
use std::fmt;
use std::sync::Arc;

use transport::Address;

use crate::Result;
use crate::connection::link::Link;
use crate::process::private_manager::PrivateManager;

/// A manager, as this process sees it.
///
/// A clone is the same manager. All handles and proxies of one manager in a process share one connection, from any
/// number of threads.
///
/// **Death.** When the manager ends, every call that waits and every later one fails at once
/// ([`is_manager_gone`](crate::Error::is_manager_gone)). When this process ends, in whatever way, the manager abandons
/// what the process held, and hands it on.
///
/// A forked child can go on using its copies of handles and proxies, which make a new connection. A signal handler must
/// not use them.
///
/// ```no_run
/// # use client as rallypoint;
/// # fn main() -> rallypoint::Result<()> {
/// let manager = rallypoint::Manager::start()?;
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
    /// The private manager, if there is one, which ends with the last clone of this.
    _private: Option<Arc<PrivateManager>>,
}

impl Manager {
    /// Starts a private manager for this program, in a process of its own.
    ///
    /// It ends when the last clone of this handle is dropped, and also when this process ends, in whatever way.
    /// Dropping the last clone waits until the manager has ended, at most about two seconds.
    ///
    /// In a program that called `rallypoint::init`, the manager is a copy of this program.
    /// Otherwise it is the program `manager`: the one that `RALLYPOINT_MANAGER` names, or else the first that proves to
    /// be Rallypoint's, of this version, among those in the folder of this program, in the folder above, and on the
    /// `PATH`. To prove it, it is started, and writes a line; a foreign program of this name is killed then.
    ///
    /// Its socket is in the folder of [`connect`](Self::connect)'s default address, or, where that cannot be used, in
    /// one like it in `/tmp` or in the folder for temporary files.
    ///
    /// # Errors
    ///
    /// If there is no such program, or the manager does not become ready; the text says which, and what to do.
    pub fn start() -> Result<Manager> {
        let private = PrivateManager::start()?;
        let link = Link::connect(private.address())?;
        Ok(Manager { link, _private: Some(Arc::new(private)) })
    }

    /// Connects to the manager at the address that `RALLYPOINT_SOCKET` names, or else at this user's default socket:
    /// `rallypoint/manager.sock` in `XDG_RUNTIME_DIR`, or `/tmp/rallypoint-<user id>/manager.sock` if that variable is
    /// not set, or names a folder of another user.
    ///
    /// # Errors
    ///
    /// As with [`connect_to`](Self::connect_to).
    pub fn connect() -> Result<Manager> {
        Manager::at(&Address::of_this_user()?)
    }

    /// Connects to the manager at this address: `unix:` and the path of its socket, or the path alone.
    ///
    /// # Errors
    ///
    /// If no manager runs there ([`is_not_running`](crate::Error::is_not_running)), or it speaks a version that this
    /// crate does not ([`is_version_mismatch`](crate::Error::is_version_mismatch)), belongs to another user, or does
    /// not answer for 10 seconds; if the path is longer than 107 bytes ([`is_limit`](crate::Error::is_limit)); if this
    /// is not an address ([`is_bad_argument`](crate::Error::is_bad_argument)).
    pub fn connect_to(address: impl AsRef<OsStr>) -> Result<Manager> {
        Manager::at(&Address::parse(address)?)
    }

    fn at(address: &Address) -> Result<Manager> {
        Ok(Manager { link: Link::connect(address)?, _private: None })
    }

    /// The address of the manager, for other programs to connect to: [`connect_to`](Self::connect_to) takes it, and so
    /// do the variable `RALLYPOINT_SOCKET` and the option `--socket`. Its path is absolute and without links.
    pub fn address(&self) -> &Address {
        self.link.address()
    }

    /// The link that this handle holds, for the rest of the product.
    #[doc(hidden)]
    pub fn link(&self) -> &Arc<Link> {
        &self.link
    }
}

impl fmt::Debug for Manager {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Manager at {}", self.address())
    }
}
