//! How a connection ends: by a goodbye, by the death of its process, or because its time was over.

use std::num::NonZero;
use std::os::fd::{AsFd, AsRawFd};

use manager_core::{DeathCause, SessionEnd};
use mio::unix::SourceFd;
use protocol::{Code, Refusal, Reply, RequestId, SessionId, StopSignal};
use rustix::io::Errno;
use sys::Signal;

use super::Server;
use super::connection::Phase;
use super::connection_table::ConnectionSlot;

/// How many steps it counts to bind processes: the manager asks the system for each from the leader to the client.
const BINDING_STEPS: u64 = 2_048;

impl Server {
    /// A peer's process may have ended. The server still reads what it sent before.
    pub(crate) fn process_ended(&mut self, slot: ConnectionSlot) {
        let Some(connection) = self.table.get_mut(slot) else { return };
        let Some(cause) = connection.process_exit() else { return };
        connection.read_to_end = true;
        connection.died = Some(Box::new(cause.clone()));
        match connection.phase {
            Phase::Fresh | Phase::Session(_) | Phase::Leaving(_) => self.read(slot),
            Phase::Ending(session) => self.end(slot, session, SessionEnd::Died(cause)),
            Phase::FinalRefusal => self.close(slot),
        }
        self.settle();
    }

    /// Binds a process session to a session, and answers.
    pub(super) fn bind(&mut self, session: SessionId, request: RequestId, leader: u32) {
        self.work += BINDING_STEPS;
        let slot = self.sessions.get(&session);
        let client = slot.and_then(|&slot| self.table.get_mut(slot)?.process_id).map(NonZero::get);
        let body = match self.bound.bind(session, leader, client, &self.registry) {
            Ok(()) => Reply::Done,
            Err(refusal) => Reply::Refused(refusal),
        };
        self.reply(session, request, &body);
    }

    /// Processes that were bound to sessions may be gone.
    pub(crate) fn bound_ended(&mut self) {
        let ended = self.bound.take_ended();
        self.endings.extend(ended);
        self.settle();
    }

    /// When the manager ends: kills what is bound to sessions whose processes have ended, of which it may not have
    /// heard yet, as that of its own parent.
    pub(crate) fn end_bound_to_dead(&mut self) {
        let (table, sessions) = (&mut self.table, &self.sessions);
        self.bound.end_at_once(|session| {
            let connection = sessions.get(&session).and_then(|&slot| table.get_mut(slot));
            connection.is_none_or(|connection| connection.process_exit().is_some())
        });
    }

    /// Sends a signal to the process of a session, if it can be watched: its number alone could be another's by now.
    pub(super) fn signal(&mut self, session: SessionId, signal: StopSignal) {
        let Some(&slot) = self.sessions.get(&session) else { return };
        let connection = self.table.get_mut(slot);
        let Some(process) = connection.and_then(|connection| connection.process.as_ref()) else { return };
        let signal = match signal {
            StopSignal::Terminate => Signal::TERM,
            StopSignal::Kill => Signal::KILL,
        };
        match process.signal(signal) {
            Ok(()) => {}
            // It has ended by itself.
            Err(error) if Errno::from_io_error(&error) == Some(Errno::SRCH) => {
                log::debug!("session {session} gets no signal: {error}");
            }
            // The system does so with a process outside of this one's PID namespace.
            Err(error) => {
                log::warn!("session {session} cannot be signalled, as from another container: {error}");
            }
        }
    }

    /// A peer's stream has ended, or its process has and everything that it sent was read.
    pub(super) fn input_ended(&mut self, slot: ConnectionSlot) {
        let Some(connection) = self.table.get_mut(slot) else { return };
        match connection.phase {
            Phase::Fresh | Phase::FinalRefusal => self.close(slot),
            Phase::Leaving(session) => self.end(slot, session, SessionEnd::Goodbye),
            Phase::Session(session) => match connection.how_it_ended() {
                Some(cause) => self.end(slot, session, SessionEnd::Died(cause)),
                None => self.await_death(slot, session),
            },
            Phase::Ending(_) => {}
        }
    }

    /// Ends a connection for the peer, and waits a little for the end of its process, since a killed process closes its
    /// descriptors just before its end shows.
    fn await_death(&mut self, slot: ConnectionSlot, session: SessionId) {
        self.sessions.remove(&session);
        self.change(slot, |connection| {
            connection.phase = Phase::Ending(session);
            connection.hang_up();
        });
        let Some(connection) = self.table.get_mut(slot) else { return };
        // It is registered, and if it were not, nothing would be lost.
        let _ = self.registry.deregister(&mut SourceFd(&connection.as_fd().as_raw_fd()));
        self.set_deadline(slot, self.timeouts.death);
    }

    /// The time for a connection's phase is over.
    pub(super) fn expire(&mut self, slot: ConnectionSlot) {
        let Some(connection) = self.table.get_mut(slot) else { return };
        match connection.phase {
            Phase::Fresh => {
                let text =
                    format!("no hello came within {:?}; the connection is closed", self.timeouts.hello);
                self.refuse(slot, Refusal::new(Code::Protocol, text));
            }
            Phase::Ending(session) => {
                let cause = connection.how_it_ended().unwrap_or(DeathCause::Disconnected);
                self.end(slot, session, SessionEnd::Died(cause));
            }
            Phase::FinalRefusal => self.close(slot),
            Phase::Session(_) | Phase::Leaving(_) => {}
        }
    }

    /// Ends a session whose connection is over.
    pub(super) fn end(&mut self, slot: ConnectionSlot, session: SessionId, ending: SessionEnd) {
        log::debug!("session {session} ends: its process {ending}");
        self.sessions.remove(&session);
        self.endings.push_back((session, ending));
        self.close(slot);
    }

    /// Closes a connection that has no session any more.
    pub(super) fn close(&mut self, slot: ConnectionSlot) {
        let Some(connection) = self.table.remove(slot) else { return };
        self.buffered -= connection.buffered();
        self.has_closed = true;
        self.blobs.forget_receiver(slot);
        // Closing alone is not enough: a copy of a descriptor in another process would keep its registration alive.
        let _ = self.registry.deregister(&mut SourceFd(&connection.as_fd().as_raw_fd()));
        if let Some(process) = &connection.process {
            let _ = self.registry.deregister(&mut SourceFd(&process.as_fd().as_raw_fd()));
        }
    }
}
