//! How a connection begins: the server accepts or refuses it, greets the peer, and begins a session.

use std::num::NonZeroU32;
use std::os::fd::{AsFd, AsRawFd};
use std::{fmt, io};

use manager_core::{Input, Peer};
use mio::Interest;
use mio::unix::SourceFd;
use protocol::{Code, Greeting, Refusal, SessionId};
use sys::process::Process;
use transport::{PeerIdentity, Stream};

use super::Server;
use super::connection::{PeerConnection, Phase};
use super::connection_table::ConnectionSlot;
use super::handshake::judge;
use super::poll_source::PollSource;

impl Server {
    /// Takes a connection that was just accepted, or refuses it.
    pub(crate) fn admit(&mut self, stream: Box<dyn Stream>) {
        let identity = stream.peer();
        self.admit_as(stream, identity);
    }

    /// Takes a connection of this peer, or refuses it.
    pub(super) fn admit_as(&mut self, stream: Box<dyn Stream>, identity: io::Result<PeerIdentity>) {
        let process_id = identity.as_ref().ok().and_then(|identity| identity.process);
        let refusal = match identity.map(|identity| identity.check(self.user)) {
            Ok(Ok(())) => self.refusal_of_one_too_many(),
            Ok(Err(untrusted)) => Some(self.forbidden(&format_args!("this client {untrusted}"))),
            Err(error) => Some(self.forbidden(&error)),
        };
        let process = match refusal {
            None => watch(&*stream, process_id),
            Some(_) => None,
        };
        let slot = self.table.insert(PeerConnection::new(stream, process_id, process));
        self.register(slot);
        match refusal {
            Some(refusal) => self.refuse(slot, refusal),
            None => self.set_deadline(slot, self.timeouts.hello),
        }
    }

    fn refusal_of_one_too_many(&self) -> Option<Refusal> {
        let sessions_max = self.limits.sessions_max;
        (self.table.len() >= sessions_max).then(|| {
            let text =
                format!("this manager serves {sessions_max} clients, which is its limit; try again later");
            Refusal::new(Code::LimitReached, text)
        })
    }

    /// The refusal of a peer that is not known to be a process of this user.
    fn forbidden(&self, found: &dyn fmt::Display) -> Refusal {
        let text = format!("this manager serves the processes of user {} alone: {found}", self.user);
        log::warn!("a connection is refused: {text}");
        Refusal::new(Code::Forbidden, text)
    }

    /// Registers for when there is something to read, and for the end of the process.
    fn register(&mut self, slot: ConnectionSlot) {
        let Some(connection) = self.table.get_mut(slot) else { return };
        if let Some(process) = &connection.process {
            let descriptor = process.as_fd().as_raw_fd();
            let token = PollSource::Process(slot).token();
            if self.registry.register(&mut SourceFd(&descriptor), token, Interest::READABLE).is_err() {
                // Its connection still shows its end.
                connection.process = None;
            }
        }
        let descriptor = connection.as_fd().as_raw_fd();
        let token = PollSource::Socket(slot).token();
        if let Err(error) = self.registry.register(&mut SourceFd(&descriptor), token, Interest::READABLE) {
            log::warn!("a connection is closed, because it cannot be watched: {error}");
            self.close(slot);
        }
    }

    /// Begins a session with a peer that said hello.
    pub(super) fn greet(&mut self, slot: ConnectionSlot, body: &[u8]) {
        let accepted = match judge(body) {
            Ok(accepted) => accepted,
            Err(refusal) => return self.refuse(slot, refusal),
        };
        self.session_last += 1;
        let session = SessionId(self.session_last);
        let greeting = Greeting::Welcome { version: accepted.version, session, epoch: self.epoch };
        let appended =
            self.change(slot, |connection| connection.output.append(|output| greeting.append(output)));
        let Some(connection) = self.table.get_mut(slot) else { return };
        appended.transpose().expect("a greeting fits into a frame");
        connection.phase = Phase::Session(session);
        let process = connection.process_id.map_or(accepted.process, NonZeroU32::get);
        log::debug!("session {session} begins: process {process}, {}", accepted.program);
        self.table.set_deadline(slot, None);
        self.sessions.insert(session, slot);
        self.ask_flush(slot);
        let peer = Peer { process, program: accepted.program };
        self.apply(Input::SessionBegan { session, peer });
    }
}

/// What watches a peer's process; none if the system cannot. A process without a number here, as in another container,
/// can be watched all the same.
fn watch(stream: &dyn Stream, id: Option<u32>) -> Option<Process> {
    match stream.peer_process(id.unwrap_or(0)) {
        Ok(process) => Some(process),
        Err(error) => {
            log::debug!("only its connection will show the end of process {}: {error}", id.unwrap_or(0));
            None
        }
    }
}
