//! The floor of many clients at once: a server that makes the manager's system calls and does nothing else.

use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use rustix::event::epoll;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};

use super::floors::frames;
use crate::generator::LoadProtocol;
use crate::peer::{self, PeerProcess};

/// The free space for what one receive brings, as in the manager.
const RECEIVE_BYTES: usize = 4096;

/// The most sockets that one wait finds ready.
const READY_MAX: usize = 256;

/// The server, in a process of its own.
pub(super) struct BareServer {
    _process: PeerProcess,
    socket: PathBuf,
    _folder: tempfile::TempDir,
}

/// A client that sends the frame of a request again and again, and counts the bytes of replies.
pub(super) struct BareRequests {
    request: Vec<u8>,
    reply_bytes: usize,
}

impl BareServer {
    pub(super) fn start() -> Result<BareServer> {
        let folder = tempfile::tempdir()?;
        let socket = folder.path().join("bare.sock");
        let process = PeerProcess::copy("bare-server", &[socket.display().to_string()])?;
        Ok(BareServer { _process: process, socket, _folder: folder })
    }

    pub(super) fn connect(&self) -> Result<(UnixStream, BareRequests)> {
        let (request, reply) = frames()?;
        Ok((UnixStream::connect(&self.socket)?, BareRequests { request, reply_bytes: reply.len() }))
    }
}

impl LoadProtocol for BareRequests {
    fn ask(&mut self, output: &mut Vec<u8>) -> Result<()> {
        output.extend_from_slice(&self.request);
        Ok(())
    }

    fn take_answers(&mut self, input: &[u8]) -> Result<(usize, usize)> {
        let answers = input.len() / self.reply_bytes;
        Ok((answers, answers * self.reply_bytes))
    }
}

/// In a role: answers every request that comes over connections to a socket at this path.
pub(super) fn serve(arguments: &[String]) -> Result<()> {
    let [path] = arguments else { anyhow::bail!("a path is needed") };
    let (request, reply) = frames()?;
    let listener = UnixListener::bind(path)?;
    peer::end_with_input();
    peer::ready();
    let poll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    epoll::add(&poll, &listener, epoll::EventData::new_u64(u64::MAX), epoll::EventFlags::IN)?;
    let mut connections: Vec<BareConnection> = Vec::new();
    let mut ready = Vec::with_capacity(READY_MAX);
    loop {
        ready.clear();
        epoll::wait(&poll, rustix::buffer::spare_capacity(&mut ready), None)?;
        for event in &ready {
            match connections.get_mut(event.data.u64() as usize) {
                Some(connection) => connection.answer(request.len(), &reply)?,
                None => {
                    let socket = OwnedFd::from(listener.accept()?.0);
                    let number = epoll::EventData::new_u64(connections.len() as u64);
                    let wanted = epoll::EventFlags::IN | epoll::EventFlags::RDHUP | epoll::EventFlags::ET;
                    epoll::add(&poll, &socket, number, wanted)?;
                    connections.push(BareConnection { socket, begun: 0, output: Vec::new() });
                }
            }
        }
    }
}

struct BareConnection {
    socket: OwnedFd,
    /// How many bytes of the next request have come.
    begun: usize,
    output: Vec<u8>,
}

impl BareConnection {
    /// Answers what has come.
    fn answer(&mut self, request_bytes: usize, reply: &[u8]) -> Result<()> {
        let mut space = [0; RECEIVE_BYTES];
        loop {
            let bytes = match recv(&self.socket, &mut space[..], RecvFlags::DONTWAIT) {
                Ok((_, bytes)) => bytes,
                Err(Errno::AGAIN) => break,
                Err(error) => return Err(error).context("receiving"),
            };
            self.begun += bytes;
            if bytes < space.len() {
                break;
            }
        }
        for _ in 0..self.begun / request_bytes {
            self.output.extend_from_slice(reply);
        }
        self.begun %= request_bytes;
        if !self.output.is_empty() {
            let sent = send(&self.socket, &self.output, SendFlags::NOSIGNAL | SendFlags::DONTWAIT)?;
            ensure!(sent == self.output.len(), "the replies fit into the socket");
            self.output.clear();
        }
        Ok(())
    }
}
