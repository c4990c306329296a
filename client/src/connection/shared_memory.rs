//! The memory that a manager shares with this process: flags of events, deferred releases, call records.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64};

use client_core::operations::Share;
use client_core::{DeferredRelease, Operation};
use sys::shared_memory::{Access, SharedWords, Word};

use crate::Result;
use crate::connection::calls::accept;
use crate::connection::deferred_release::SharedReleaseMemory;
use crate::connection::link::Link;
use crate::connection::shared::{ReceivedAnswer, own_slot};

impl Link {
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
}
