//! The connections of this process, one for each manager, made by the first caller that needs it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock, Weak};

use protocol::Epoch;
use transport::Address;

use crate::connection::connect::connect;
use crate::connection::link::Link;
use crate::sync::lock;
use crate::{Error, ErrorKind, Result};

/// All links of one process, by the addresses of their managers. A forked child has a registry of its own behind its
/// parent's, since a thread that the child does not have may hold these locks.
#[derive(Debug)]
struct LinkRegistry {
    /// The process that this belongs to, or 0 while it belongs to none.
    process: AtomicU32,
    entries: Mutex<BTreeMap<Address, Arc<LinkEntry>>>,
    after_fork: OnceLock<Box<LinkRegistry>>,
}

/// The link to one address. A caller holds its lock while it makes the link, so that two callers make only one.
type LinkEntry = Mutex<Weak<Link>>;

static REGISTRY: LinkRegistry = LinkRegistry::new(0);

impl Link {
    /// The link to the manager at this address, made now if this process has none that lives.
    pub fn connect(address: &Address) -> Result<Arc<Link>> {
        find_or_make(&transport::canonical(address)?, Link::is_live)
    }
}

/// The link to the manager of this epoch at this address.
pub(crate) fn link_to_epoch(address: &Address, epoch: Epoch) -> Result<Arc<Link>> {
    // A link to the right epoch need not live: if it does not, no other would be better.
    let link = find_or_make(&transport::canonical(address)?, |link| link.epoch() == epoch || link.is_live())?;
    if link.epoch() == epoch { Ok(link) } else { Err(stale(address)) }
}

/// Checks that the manager that now serves this address is of this epoch.
pub(crate) fn check_epoch(address: &Address, epoch: Epoch) -> Result<()> {
    if Link::connect(address)?.epoch() == epoch { Ok(()) } else { Err(stale(address)) }
}

fn stale(address: &Address) -> Error {
    let text = format!(
        "this handle comes from an earlier life of the manager at {address}; its object ended with that manager"
    );
    Error::new(ErrorKind::Stale, text)
}

/// The link to this canonical address: the existing one, if it is good, or else a new one.
fn find_or_make(address: &Address, is_good: impl FnOnce(&Link) -> bool) -> Result<Arc<Link>> {
    let entry = REGISTRY.of_process(std::process::id()).entry(address);
    let mut entry = lock(&entry);
    if let Some(link) = entry.upgrade()
        && is_good(&link)
    {
        return Ok(link);
    }
    let link = Arc::new(Link::new(address, connect(address)?, link_to_epoch));
    *entry = Arc::downgrade(&link);
    Ok(link)
}

impl LinkRegistry {
    const fn new(process: u32) -> LinkRegistry {
        LinkRegistry {
            process: AtomicU32::new(process),
            entries: Mutex::new(BTreeMap::new()),
            after_fork: OnceLock::new(),
        }
    }

    fn of_process(&self, process: u32) -> &LinkRegistry {
        match self.process.compare_exchange(0, process, Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => self,
            Err(owner) if owner == process => self,
            Err(_) => {
                self.after_fork.get_or_init(|| Box::new(LinkRegistry::new(process))).of_process(process)
            }
        }
    }

    fn entry(&self, address: &Address) -> Arc<LinkEntry> {
        let mut entries = lock(&self.entries);
        if let Some(entry) = entries.get(address) {
            return Arc::clone(entry);
        }
        // Entries of links that have ended stay until a new entry comes, and then those in use stay.
        entries.retain(|_, entry| Arc::strong_count(entry) > 1 || lock(entry).strong_count() > 0);
        Arc::clone(entries.entry(address.clone()).or_default())
    }
}
