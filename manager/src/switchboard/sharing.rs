//! Memory that is shared with clients: handing it out, and writing into it.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use manager_core::Publication;
use protocol::{Answer, Code, Refusal, Reply, RequestId, Segment, SessionId};

use super::Switchboard;
use crate::mirror::Mirror;

impl Switchboard {
    /// Answers a session that asked for memory.
    pub(super) fn share(&mut self, session: SessionId, request: RequestId, segment: Segment) {
        let shared = match segment {
            Segment::Mirror => self.share_mirror(),
            Segment::Ledger => Err(refusal("this manager keeps no ledgers")),
        };
        let (body, descriptor) = match shared {
            Ok((bytes, descriptor)) => (Reply::Shared { bytes: bytes as u64 }, Some(descriptor)),
            Err(refusal) => (Reply::Refused(refusal), None),
        };
        self.reply_with(session, Answer { request, body }, descriptor);
    }

    fn share_mirror(&mut self) -> Result<(usize, Arc<OwnedFd>), Refusal> {
        match self.mirror() {
            Some(mirror) => Ok((mirror.bytes(), Arc::clone(mirror.descriptor()))),
            None => Err(refusal("the system gave this manager no memory for a mirror")),
        }
    }

    /// Writes what is news of an event.
    pub(super) fn publish(&mut self, publication: Publication) {
        if let Some(mirror) = self.mirror() {
            mirror.write(publication);
        }
    }

    /// The mirror, made now if this is the first time. A mirror that missed something would lie, so where there was
    /// none at first there will be none.
    fn mirror(&self) -> Option<&Mirror> {
        let made = self.mirror.get_or_init(|| {
            let made = Mirror::new(self.limits.mirrored_events_max);
            made.inspect_err(|error: &io::Error| log::warn!("events can not be mirrored: {error}")).ok()
        });
        made.as_ref()
    }
}

fn refusal(text: &str) -> Refusal {
    Refusal::new(Code::LimitReached, text)
}
