//! The floors: how long the kernel takes for two processes that do nothing but wake each other.

use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Child, Stdio};

use anyhow::{Context, Result};
use protocol::{Answer, Envelope, ObjectId, Reply, Request, RequestId, append_frame};
use uuid::Uuid;

use crate::peer::{self, PeerProcess};
use crate::shared::MeasurementMemory;
use crate::turns::{Contender, Samples};

/// A bare ping-pong over a Unix socket, of frames as large as those of `is_set`. Both sides block.
pub(crate) struct PingPong {
    /// Given up first, by which the other side ends.
    socket: Option<UnixStream>,
    other: Child,
    request: Vec<u8>,
    reply: Vec<u8>,
    calls: usize,
}

impl PingPong {
    /// Starts the other side on the cores that this thread may use. A turn has `calls` calls.
    pub(crate) fn start(calls: usize) -> Result<PingPong> {
        PingPong::with("echo", calls)
    }

    /// The same, with the other side in a role of its own.
    fn with(role: &str, calls: usize) -> Result<PingPong> {
        let (request, reply) = frames()?;
        let (socket, other) = UnixStream::pair()?;
        let other = peer::copy_of_this_program(role)?
            .args([request.len().to_string(), reply.len().to_string()])
            .stdin(Stdio::from(OwnedFd::from(other)))
            .spawn()?;
        Ok(PingPong { socket: Some(socket), other, request, reply, calls })
    }
}

impl Contender for PingPong {
    fn turn(&mut self, samples: &mut Samples) -> Result<()> {
        let socket = self.socket.as_mut().context("it is open until the end")?;
        samples.time(self.calls, || {
            socket.write_all(&self.request)?;
            Ok(socket.read_exact(&mut self.reply)?)
        })
    }
}

impl Drop for PingPong {
    fn drop(&mut self) {
        self.socket = None;
        peer::end(&mut self.other);
    }
}

/// The frames of `is_set` and of its answer, in the middle of a session's life.
pub(super) fn frames() -> Result<(Vec<u8>, Vec<u8>)> {
    let request = RequestId(10_000);
    let (mut asked, mut answered) = (Vec::new(), Vec::new());
    let body = Request::EventIsSet { id: ObjectId(Uuid::new_v4()) };
    append_frame(&mut asked, &Envelope { request, received: 9_999, body })?;
    append_frame(&mut answered, &Answer { request, body: Reply::Flag(false) })?;
    Ok((asked, answered))
}

/// In a role: the other side of a ping-pong, on its standard input.
pub(crate) fn echo(arguments: &[String]) -> Result<()> {
    let [request_bytes, reply_bytes] = arguments else { anyhow::bail!("two sizes are needed") };
    let (mut request, reply) = (vec![0; request_bytes.parse()?], vec![0; reply_bytes.parse()?]);
    let mut socket = UnixStream::from(std::io::stdin().as_fd().try_clone_to_owned()?);
    while socket.read_exact(&mut request).is_ok() && socket.write_all(&reply).is_ok() {}
    Ok(())
}

/// Two processes that pass control back and forth through a third one, with the same frames. All block.
pub(crate) struct Relay(PingPong);

impl Relay {
    /// Starts the others on the cores that this thread may use. A turn has `calls` rounds.
    pub(crate) fn start(calls: usize) -> Result<Relay> {
        PingPong::with("relay", calls).map(Relay)
    }
}

impl Contender for Relay {
    fn turn(&mut self, samples: &mut Samples) -> Result<()> {
        self.0.turn(samples)
    }
}

/// In a role: the third process, which passes on what comes on its standard input, and what comes back.
pub(crate) fn relay(arguments: &[String]) -> Result<()> {
    let [request_bytes, reply_bytes] = arguments else { anyhow::bail!("two sizes are needed") };
    let (mut request, reply) = (vec![0; request_bytes.parse()?], vec![0; reply_bytes.parse()?]);
    let mut first = UnixStream::from(std::io::stdin().as_fd().try_clone_to_owned()?);
    let (mut second, other) = UnixStream::pair()?;
    // To the other process, the reply is the request, and the request is the reply.
    let mut process = peer::copy_of_this_program("echo")?
        .args([reply_bytes, request_bytes])
        .stdin(Stdio::from(OwnedFd::from(other)))
        .spawn()?;
    while first.read_exact(&mut request).is_ok() {
        second.write_all(&reply)?;
        second.read_exact(&mut request)?;
        first.write_all(&reply)?;
    }
    drop(second);
    peer::end(&mut process);
    Ok(())
}

/// Two processes that pass control by a futex in shared memory.
pub(crate) struct FutexPair {
    shared: &'static MeasurementMemory,
    calls: usize,
    _other: PeerProcess,
}

impl FutexPair {
    /// Starts the other side on the cores that this thread may use. A turn has `calls` rounds.
    pub(crate) fn start(calls: usize) -> Result<FutexPair> {
        let (shared, path) = MeasurementMemory::create()?;
        Ok(FutexPair { shared, calls, _other: PeerProcess::copy("futex", &[path])? })
    }
}

impl Contender for FutexPair {
    fn turn(&mut self, samples: &mut Samples) -> Result<()> {
        samples.time(self.calls, || {
            self.shared.word.set(1);
            self.shared.word.wake(1);
            self.shared.word.wait_while(1);
            Ok(())
        })
    }
}

/// In a role: the other side of a futex.
pub(crate) fn futex_back(arguments: &[String]) -> Result<()> {
    let [path] = arguments else { anyhow::bail!("a path is needed") };
    let shared = MeasurementMemory::open(path)?;
    peer::end_with_input();
    peer::ready();
    loop {
        shared.word.wait_while(0);
        shared.word.set(0);
        shared.word.wake(1);
    }
}
