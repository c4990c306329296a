//! The manager: the event loop around the state machine in `manager_core`.
//!
//! [`EventLoop::bind`] takes an address, [`EventLoop::run`] serves it until the manager ends. The program `manager`
//! adds a command line to this; a program that links `client` can turn a copy of itself into a manager with [`serve`].
//!
//! # The path of a request
//!
//! 1. `server::event_loop` waits until something is ready, and reads the clock once.
//! 2. `server` reads from the `connection`, finds whole frames, and hands each request to the core.
//! 3. The core answers with effects. Replies go to the `output` of their session.
//! 4. At the end of the turn it sends every output that is not empty, with one write.
//!
//! # What it never does
//!
//! It never waits for a peer: sockets do not block, and it cuts off a peer that does not read at a limit. It never
//! executes or interprets what arrives, beyond the messages of `protocol`. It never displaces a living manager: the
//! lock file decides, as `listen::locked_socket` explains.

use std::io;

use rustix::fs::Mode;
use rustix::process::umask;
use sys::bounded_write::{LINE_TIME_MAX, write_within};

mod error;
mod listen;
mod options;
mod private;
mod server;
mod shared_memory;
#[cfg(test)]
mod tests;

pub use error::{Error, FolderError};
pub use options::ManagerOptions;
pub use private::serve_private;
pub use transport::unix::disregarded_folder;
pub use transport::{Address, AddressError, shell_word};

pub use server::event_loop::{EventLoop, Stopper};

/// Binds, calls `ready` with the address, and serves until the end.
///
/// Clients can connect from the moment `ready` is called. Raises the limit of open descriptors as far as it may, since
/// each client costs two. Has this process free memory [evenly](sys::heap::free_evenly), as no client is to wait for
/// that, and make files that only its user can use, whatever umask(2) it was started with.
///
/// # Errors
///
/// As [`EventLoop::bind`] and [`EventLoop::run`].
pub fn serve(options: ManagerOptions, ready: impl FnOnce(&Address)) -> Result<(), Error> {
    prepare_process();
    let manager = EventLoop::bind(options)?;
    ready(manager.address());
    manager.run()
}

/// What the documentation of [`serve`] says of this process.
fn prepare_process() {
    sys::heap::free_evenly();
    umask(Mode::RWXG | Mode::RWXO);
    if let Err(error) = sys::limits::raise_descriptors_max() {
        log::debug!("the limit of open descriptors stays as it is: {error}");
    }
}

/// Says on standard output, in one line, that clients can connect; for [`serve`].
///
/// The process that started the manager may have closed that output, which is no reason to end.
pub fn announce(address: &Address) {
    announce_with("manager is ready at ", address);
}

fn announce_with(beginning: &str, address: &Address) {
    match write_within(&io::stdout(), format!("{beginning}{address}\n").as_bytes(), LINE_TIME_MAX) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
            log::debug!("nobody reads that the manager is ready");
        }
        Err(error) => log::warn!("the line that says that the manager is ready was not written: {error}"),
        Ok(()) => {}
    }
}
