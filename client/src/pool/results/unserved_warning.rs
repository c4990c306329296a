//! Telling an owner who waits in vain that nobody serves its pool: of a pool that is opened by its name, the workers
//! are other programs' to start, and somebody may have forgotten to.

use std::sync::Arc;
use std::time::Duration;

use protocol::{ObjectId, ObjectState, Progress, Reply, Request, Selector};

use crate::Result;
use crate::connection::link::Link;

/// How long nothing has to come before it is looked whether anybody is there to work.
pub(crate) const WARNING_TIME: Duration = Duration::from_secs(3);

/// A pool that other programs serve, and whose owner has not been told yet if none does.
#[derive(Clone, Debug)]
pub(crate) struct UnservedWarning {
    /// The pool.
    pub(crate) pool: ObjectId,
    /// The name of the pool.
    pub(crate) name: Arc<str>,
}

impl UnservedWarning {
    /// Looks once, and warns if nobody serves the pool of this batch.
    pub(crate) fn look(&self, link: &Link, batch: ObjectId) {
        // It is advice, so an error is for whoever asks next.
        if self.is_unserved(link, batch).unwrap_or(false) {
            let name = &self.name;
            log::warn!("nobody serves pool {name:?} yet, so its calls wait; start `worker --pool {name}`");
        }
    }

    /// Whether calls of the batch wait, and nobody is there who could take them: no worker waits for calls, and no
    /// process of the manager runs any, who might take these next.
    fn is_unserved(&self, link: &Link, batch: ObjectId) -> Result<bool> {
        let inspect = |id| link.call(Request::Inspect { object: Selector::Id(id) });
        let Reply::Object(info) = inspect(batch)? else { return Ok(false) };
        let ObjectState::Batch { progress: Progress { waiting: 1.., running: 0, .. }, .. } = info.state
        else {
            return Ok(false);
        };
        let Reply::Object(info) = inspect(self.pool)? else { return Ok(false) };
        Ok(info.waiting == 0 && !is_anybody_working(link)?)
    }
}

fn is_anybody_working(link: &Link) -> Result<bool> {
    let mut after = None;
    loop {
        let Reply::Sessions { sessions, more } = link.call(Request::ListSessions { after })? else {
            return Ok(true);
        };
        if sessions.iter().any(|session| session.tasks > 0) {
            return Ok(true);
        }
        match sessions.last() {
            Some(last) if more => after = Some(last.session),
            _ => return Ok(false),
        }
    }
}
