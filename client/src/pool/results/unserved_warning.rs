//! A warning for a program that waits for a pool without workers: other programs start the workers of a pool that is
//! opened by its name, and their user may have forgotten to.

use std::sync::Arc;
use std::time::Duration;

use client_core::operations::{Inspect, ListSessions, Page};
use protocol::{CallCounts, ObjectId, ObjectState, Selector};

use crate::Result;
use crate::connection::link::Link;

/// How long a program waits without a result before it asks the manager whether the pool has workers.
pub(crate) const WARNING_DELAY: Duration = Duration::from_secs(3);

/// A pool that other programs serve, and the warning, not yet given, that none does.
#[derive(Clone, Debug)]
pub(crate) struct UnservedWarning {
    /// The pool.
    pub(crate) pool: ObjectId,
    /// The name of the pool.
    pub(crate) name: Arc<str>,
}

impl UnservedWarning {
    /// Asks the manager once, and warns if nobody serves the pool of this batch.
    pub(crate) fn warn_if_unserved(&self, link: &Link, batch: ObjectId) {
        // The warning is only advice, so the next request reports an error.
        if self.is_unserved(link, batch).unwrap_or(false) {
            let name = &self.name;
            log::warn!("nobody serves pool {name:?} yet, so its calls wait; start `worker --pool {name}`");
        }
    }

    /// Whether calls of the batch wait, and no process could take them: no worker waits for calls, and no process of
    /// the manager runs any that it might follow with these.
    fn is_unserved(&self, link: &Link, batch: ObjectId) -> Result<bool> {
        let inspect = |id| link.run(Inspect { object: Selector::Id(id) });
        let ObjectState::Batch { progress: CallCounts { waiting: 1.., running: 0, .. }, .. } =
            inspect(batch)?.state
        else {
            return Ok(false);
        };
        Ok(inspect(self.pool)?.waiting == 0 && !is_anybody_working(link)?)
    }
}

fn is_anybody_working(link: &Link) -> Result<bool> {
    let mut after = None;
    loop {
        let Page { items: sessions, more } = link.run(ListSessions { after })?;
        if sessions.iter().any(|session| session.calls > 0) {
            return Ok(true);
        }
        match sessions.last() {
            Some(last) if more => after = Some(last.session),
            _ => return Ok(false),
        }
    }
}
