//! How a connection ends: by a goodbye, by the death of its process, or because its time was over.

use std::os::fd::{AsFd, AsRawFd};

use manager_core::{DeathCause, Ending};
use mio::unix::SourceFd;
use protocol::{Code, Refusal, SessionId, StopSignal};
use sys::Signal;

use super::Server;
use super::connection::Phase;
use super::table::ConnectionSlot;

impl Server {
    /// A peer's process may have ended. What it sent before is still to be read.
    pub(crate) fn process_ended(&mut self, slot: ConnectionSlot) {
        let Some(connection) = self.table.get_mut(slot) else { return };
        let Some(cause) = connection.process_exit() else { return };
        connection.read_to_end = true;
        connection.died = Some(cause.clone());
        match connection.phase {
            Phase::Fresh | Phase::Session(_) | Phase::Leaving(_) => self.read(slot),
            Phase::Ending(session) => self.end(slot, session, Ending::Died(cause)),
            Phase::Farewell => self.close(slot),
        }
        self.settle();
    }

    /// Sends a signal to the process of a session, if it can be watched: by its number alone it could be another's.
    pub(super) fn signal(&mut self, session: SessionId, signal: StopSignal) {
        let Some(&slot) = self.sessions.get(&session) else { return };
        let connection = self.table.get_mut(slot);
        let Some(process) = connection.and_then(|connection| connection.process.as_ref()) else { return };
        let signal = match signal {
            StopSignal::Terminate => Signal::TERM,
            StopSignal::Kill => Signal::KILL,
        };
        if let Err(error) = process.signal(signal) {
            // It has ended by itself.
            log::debug!("session {session} gets no signal: {error}");
        }
    }

    /// A peer's stream has ended, or its process has and everything that it sent was read.
    pub(super) fn input_ended(&mut self, slot: ConnectionSlot) {
        let Some(connection) = self.table.get_mut(slot) else { return };
        match connection.phase {
            Phase::Fresh | Phase::Farewell => self.close(slot),
            Phase::Leaving(session) => self.end(slot, session, Ending::Goodbye),
            Phase::Session(session) => match connection.how_it_ended() {
                Some(cause) => self.end(slot, session, Ending::Died(cause)),
                None => self.await_death(slot, session),
            },
            Phase::Ending(_) => {}
        }
    }

    /// Closes a connection to all appearances, and waits a little to see its process end, since a process that
    /// is killed closes its descriptors just before it can be seen to have ended.
    fn await_death(&mut self, slot: ConnectionSlot, session: SessionId) {
        self.sessions.remove(&session);
        let Some(connection) = self.table.get_mut(slot) else { return };
        connection.phase = Phase::Ending(session);
        connection.hang_up();
        // Registered it certainly is, and if it were not, nothing would be lost.
        let _ = self.registry.deregister(&mut SourceFd(&connection.as_fd().as_raw_fd()));
        self.set_deadline(slot, self.patience.death);
    }

    /// The time is up for what a connection was to do.
    pub(super) fn expire(&mut self, slot: ConnectionSlot) {
        let Some(connection) = self.table.get_mut(slot) else { return };
        match connection.phase {
            Phase::Fresh => {
                let text =
                    format!("no hello came within {:?}; the connection is closed", self.patience.hello);
                self.refuse(slot, Refusal::new(Code::Protocol, text));
            }
            Phase::Ending(session) => {
                let cause = connection.how_it_ended().unwrap_or(DeathCause::Disconnected);
                self.end(slot, session, Ending::Died(cause));
            }
            Phase::Farewell => self.close(slot),
            Phase::Session(_) | Phase::Leaving(_) => {}
        }
    }

    /// Ends a session whose connection is over.
    pub(super) fn end(&mut self, slot: ConnectionSlot, session: SessionId, ending: Ending) {
        log::debug!("session {session} ends: {ending:?}");
        self.sessions.remove(&session);
        self.endings.push_back((session, ending));
        self.close(slot);
    }

    /// Closes a connection that has no session any more.
    pub(super) fn close(&mut self, slot: ConnectionSlot) {
        let Some(connection) = self.table.remove(slot) else { return };
        self.has_closed = true;
        // A copy of a descriptor in another process would keep its registration alive, hence not by closing alone.
        let _ = self.registry.deregister(&mut SourceFd(&connection.as_fd().as_raw_fd()));
        if let Some(process) = &connection.process {
            let _ = self.registry.deregister(&mut SourceFd(&process.as_fd().as_raw_fd()));
        }
    }
}
