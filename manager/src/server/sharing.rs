//! Memory that the manager shares with clients: handing it out, and writing into it.

use std::collections::hash_map::Entry;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use manager_core::{Holding, Input, Publication};
use protocol::{Code, Refusal, Reply, Request, RequestId, SessionId, SharedMemory};

use super::Server;
use super::output::UNSENT_MAX;
use crate::shared_memory::call_record::CallRecordMemory;
use crate::shared_memory::deferred_releases::DeferredReleaseMemory;
use crate::shared_memory::mirror::Mirror;

impl Server {
    /// Answers a session that asked for memory.
    pub(super) fn share(&mut self, session: SessionId, request: RequestId, memory: SharedMemory) {
        let connection = self.sessions.get(&session).and_then(|&slot| self.table.get_mut(slot));
        let passes_descriptors =
            connection.as_ref().is_some_and(|connection| connection.passes_descriptors());
        let unsent = connection.map_or(0, |connection| connection.output.enclosed());
        let shared = match memory {
            _ if !passes_descriptors => Err(refusal("this connection cannot carry memory")),
            _ if unsent >= UNSENT_MAX => {
                Err(refusal("this client has not taken the memory that it asked for before"))
            }
            SharedMemory::Mirror => self.share_mirror(),
            SharedMemory::DeferredReleases => self.share_deferred_releases(session),
            SharedMemory::CallRecord => self.share_call_record(session),
        };
        let (body, descriptor) = match shared {
            Ok((bytes, descriptor)) => (Reply::Shared { bytes: bytes as u64 }, Some(descriptor)),
            Err(refusal) => (Reply::Refused(refusal), None),
        };
        self.reply_with(session, request, &body, descriptor);
    }

    fn share_mirror(&mut self) -> Result<(usize, Arc<OwnedFd>), Refusal> {
        match self.mirror() {
            Some(mirror) => Ok((mirror.bytes(), Arc::clone(mirror.descriptor()))),
            None => Err(refusal("the system gave this manager no memory for a mirror")),
        }
    }

    fn share_deferred_releases(&mut self, session: SessionId) -> Result<(usize, Arc<OwnedFd>), Refusal> {
        if !self.has_room_to_defer() {
            return Err(refusal("the manager has no room for the deferred releases of one more session"));
        }
        let Entry::Vacant(place) = self.deferred.entry(session) else {
            return Err(refusal(
                "a session has one array of deferred releases, and this one has asked for it before",
            ));
        };
        match DeferredReleaseMemory::new() {
            Ok((releases, descriptor)) => Ok((place.insert(releases).bytes(), descriptor)),
            Err(error) => {
                log::debug!("session {session} gets no memory for deferred releases: {error}");
                Err(refusal("the system gave this manager no memory for deferred releases"))
            }
        }
    }

    fn share_call_record(&mut self, session: SessionId) -> Result<(usize, Arc<OwnedFd>), Refusal> {
        let Entry::Vacant(place) = self.call_records.entry(session) else {
            return Err(refusal("a session has one call record, and this one has asked for it before"));
        };
        match CallRecordMemory::new() {
            Ok((record, descriptor)) => Ok((place.insert(record).bytes(), descriptor)),
            Err(error) => {
                log::debug!("session {session} gets no memory for a call record: {error}");
                Err(refusal("the system gave this manager no memory for a call record"))
            }
        }
    }

    /// Tells a session how many of its locks are wanted, and looks for one that it may have given back.
    pub(super) fn want(&mut self, session: SessionId, wanted: u64, holding: Option<Holding>) {
        if let Some(releases) = self.deferred.get(&session) {
            releases.tell_wanted(wanted);
        }
        holding.into_iter().for_each(|holding| self.look_up(holding));
    }

    /// Looks for the deferred releases on which the answer to a request depends, and applies them.
    pub(super) fn apply_uncertain_releases(&mut self, request: &Request<'_>) {
        if !self.deferred.is_empty() {
            for holding in self.core.uncertain_holdings(request) {
                self.look_up(holding);
            }
            self.apply_found();
        }
    }

    /// Takes a holding out of the deferred releases of its session, as often as it is there.
    fn look_up(&mut self, holding: Holding) {
        if let Some(releases) = self.deferred.get(&holding.session) {
            self.found.extend(std::iter::repeat_n(holding, releases.take(holding.number)));
        }
    }

    /// Carries out the deferred releases that were found, as if they had arrived.
    pub(super) fn apply_found(&mut self) {
        while let Some(holding) = self.found.pop_front() {
            self.apply_alone(Input::DeferredRelease(holding));
        }
    }

    /// Carries out the releases that a session has deferred, before its end.
    pub(super) fn close_deferred_releases(&mut self, session: SessionId) {
        let Some(releases) = self.deferred.get(&session) else { return };
        let entries = releases.entries();
        if !entries.is_empty() {
            let left = entries.into_iter().filter_map(|number| self.core.holding(session, number));
            let left: Vec<Holding> = left.collect();
            left.into_iter().for_each(|holding| self.look_up(holding));
            self.apply_found();
        }
        self.deferred.remove(&session);
    }

    /// Reports what stands in the call record of a session, before its end. Nothing that it sent is still to be read.
    pub(super) fn close_call_record(&mut self, session: SessionId) {
        self.report_calls_found(session, true);
        self.call_records.remove(&session);
    }

    /// Reports what stands in the call records that the core wants to be read.
    pub(super) fn read_call_records(&mut self) {
        while let Some(session) = self.records_to_read.pop_front() {
            self.report_calls_found(session, false);
        }
    }

    fn report_calls_found(&mut self, session: SessionId, is_last: bool) {
        let content = self.call_records.get(&session).and_then(CallRecordMemory::read);
        if let Some(content) = content {
            let record = content.as_record();
            self.apply_alone(Input::CallsFound { session, is_last, record });
        }
    }

    /// Writes the new state of an event.
    pub(super) fn publish(&mut self, publication: Publication) {
        if let Some(mirror) = self.mirror() {
            mirror.write(publication);
        }
    }

    /// The mirror, made now if this is the first time. A mirror that missed something would be wrong, so if it cannot
    /// be made at first, there will be none.
    fn mirror(&self) -> Option<&Mirror> {
        let made = self.mirror.get_or_init(|| {
            let made = Mirror::new(self.limits.mirrored_events_max);
            made.inspect_err(|error: &io::Error| log::warn!("events cannot be mirrored: {error}")).ok()
        });
        made.as_ref()
    }
}

fn refusal(text: &str) -> Refusal {
    Refusal::new(Code::LimitReached, text)
}
