//! A session with a manager without the client: for thousands of sessions in one process, and many requests in one
//! write.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

use anyhow::{Result, bail, ensure};
use protocol::limits::FRAME_BYTES_MAX;
use protocol::{
    Answer, Envelope, FrameBuffer, FrameError, Greeting, Hello, ObjectId, OpenMode, Reply, Request,
    RequestId, Spec, append_frame, decode,
};
use uuid::Uuid;

/// A session that has begun.
pub(crate) struct WireSession {
    socket: UnixStream,
    input: FrameBuffer,
    output: Vec<u8>,
    /// How many requests were queued.
    requests: u64,
    /// How many answers were read.
    received: u64,
}

impl WireSession {
    /// Connects, and begins a session.
    pub(crate) fn connect(socket: &Path) -> Result<WireSession> {
        let mut socket = UnixStream::connect(socket)?;
        let mut hello = Vec::new();
        Hello::new(std::process::id(), "bench").append(&mut hello)?;
        socket.write_all(&hello)?;
        let input = FrameBuffer::new(FRAME_BYTES_MAX);
        let mut session = WireSession { socket, input, output: Vec::new(), requests: 0, received: 0 };
        match session.next(Greeting::decode)? {
            Greeting::Welcome { .. } => Ok(session),
            Greeting::Refused(refusal) => bail!("the manager refuses a session: {}", refusal.text),
        }
    }

    /// Appends a request to those that were not sent yet.
    pub(crate) fn queue(&mut self, body: Request<'_>) -> Result<()> {
        self.requests += 1;
        let envelope = Envelope { request: RequestId(self.requests), received: self.received, body };
        Ok(append_frame(&mut self.output, &envelope)?)
    }

    /// Sends the queued requests in one write.
    pub(crate) fn send(&mut self) -> Result<()> {
        self.socket.write_all(&self.output)?;
        self.output.clear();
        Ok(())
    }

    /// Waits for the next answer.
    pub(crate) fn answer(&mut self) -> Result<Reply> {
        let answer: Answer = self.next(|body| decode(body))?;
        self.received += 1;
        match answer.body {
            Reply::Refused(refusal) => bail!("the manager refuses: {}", refusal.text),
            reply => Ok(reply),
        }
    }

    /// Makes one round trip.
    pub(crate) fn call(&mut self, body: Request<'_>) -> Result<Reply> {
        self.queue(body)?;
        self.send()?;
        self.answer()
    }

    /// Makes the named events from `first` up to, but without, `end`: many with each write.
    pub(crate) fn make_events(&mut self, first: u32, end: u32) -> Result<()> {
        const PER_WRITE: usize = 512;
        let names: Vec<String> = (first..end).map(|number| format!("event/{number:08}")).collect();
        for names in names.chunks(PER_WRITE) {
            for name in names {
                self.queue(open_event(name))?;
            }
            self.send()?;
            for _ in names {
                let reply = self.answer()?;
                ensure!(matches!(reply, Reply::Opened { created: true, .. }), "an event existed before");
            }
        }
        Ok(())
    }

    /// Drops the buffers, and keeps the socket alone.
    pub(crate) fn into_socket(self) -> UnixStream {
        self.socket
    }

    /// Waits for the next message.
    fn next<T>(&mut self, read: impl Fn(&[u8]) -> Result<T, FrameError>) -> Result<T> {
        loop {
            if let Some(body) = self.input.next_body()? {
                return Ok(read(body)?);
            }
            let bytes = self.socket.read(self.input.space())?;
            ensure!(bytes > 0, "the manager has ended early");
            self.input.filled(bytes);
        }
    }
}

/// The request that makes an event of this name.
pub(crate) fn open_event(name: &str) -> Request<'_> {
    Request::Open {
        id: ObjectId(Uuid::new_v4()),
        name: Some(name),
        spec: Spec::Event { auto_reset: false },
        mode: OpenMode::OpenOrCreate,
    }
}
