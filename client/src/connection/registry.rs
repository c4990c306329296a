//! The connections of this process: one for each manager, whoever asks first.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock, Weak};

use protocol::Epoch;

use crate::connection::connect::{canonical, connect};
use crate::connection::link::Link;
use crate::sync::lock;
use crate::{Error, ErrorKind, Result};

/// Every link of one process, by the path of its socket.
///
/// A forked child has its own behind its parent's, since some thread that was not forked may hold these
/// locks.
#[derive(Debug)]
struct Registry {
    /// The process that this is for, or 0 as long as there is none.
    process: AtomicU32,
    places: Mutex<BTreeMap<String, Arc<Place>>>,
    after_fork: OnceLock<Box<Registry>>,
}

/// The place of one link. Its lock is held while the link is made, so that two who want it make one.
type Place = Mutex<Weak<Link>>;

static REGISTRY: Registry = Registry::new(0);

/// The link to the manager at this socket, made now if there is none that lives.
pub(crate) fn link_to(socket: &Path) -> Result<Arc<Link>> {
    enter(&canonical(socket)?, Link::is_live)
}

/// The link to that life of a manager at this socket of which a proxy tells.
pub(crate) fn link_to_epoch(socket: &Path, epoch: Epoch) -> Result<Arc<Link>> {
    // A link to the right epoch is not asked whether it lives: if it does not, there is nothing better.
    let link = enter(&canonical(socket)?, |link| link.epoch() == epoch || link.is_live())?;
    if link.epoch() == epoch { Ok(link) } else { Err(stale(socket)) }
}

/// Whether the manager that serves this socket now is the one of which a proxy tells.
pub(crate) fn check_epoch(socket: &Path, epoch: Epoch) -> Result<()> {
    if link_to(socket)?.epoch() == epoch { Ok(()) } else { Err(stale(socket)) }
}

fn stale(socket: &Path) -> Error {
    let text = format!(
        "this handle comes from an earlier life of the manager at {}; its object ended with that manager",
        socket.display()
    );
    Error::new(ErrorKind::Stale, text)
}

fn enter(socket: &str, is_good: impl FnOnce(&Link) -> bool) -> Result<Arc<Link>> {
    let place = REGISTRY.of_process(std::process::id()).place(socket);
    let mut place = lock(&place);
    if let Some(link) = place.upgrade()
        && is_good(&link)
    {
        return Ok(link);
    }
    let link = Arc::new(Link::new(socket, connect(Path::new(socket))?));
    *place = Arc::downgrade(&link);
    Ok(link)
}

impl Registry {
    const fn new(process: u32) -> Registry {
        Registry {
            process: AtomicU32::new(process),
            places: Mutex::new(BTreeMap::new()),
            after_fork: OnceLock::new(),
        }
    }

    fn of_process(&self, process: u32) -> &Registry {
        match self.process.compare_exchange(0, process, Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => self,
            Err(owner) if owner == process => self,
            Err(_) => self.after_fork.get_or_init(|| Box::new(Registry::new(process))).of_process(process),
        }
    }

    fn place(&self, socket: &str) -> Arc<Place> {
        let mut places = lock(&self.places);
        if let Some(place) = places.get(socket) {
            return Arc::clone(place);
        }
        // Links that ended leave their places, which go when a new one comes; one that is in use stays.
        places.retain(|_, place| Arc::strong_count(place) > 1 || lock(place).strong_count() > 0);
        Arc::clone(places.entry(socket.to_owned()).or_default())
    }
}
