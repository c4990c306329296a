//! For tests: a peer that shakes hands as a manager does, and then does what the test says.

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use protocol::{
    Answer, Envelope, Epoch, FrameBuffer, Greeting, Hello, Refusal, Reply, Request, RequestId, SessionId,
    VERSION_NEWEST, append_frame, decode, limits,
};
use tempfile::TempDir;
use transport::Address;
use uuid::Uuid;

use crate::connection::connect::connect;
use crate::connection::shared::SharedConnection;

/// A listener in a folder of its own.
pub(crate) struct FakeManager {
    socket: PathBuf,
    _folder: TempDir,
}

/// One client, as the fake manager sees it.
pub(crate) struct AcceptedClient {
    stream: UnixStream,
    frames: FrameBuffer,
}

/// A request, as far as tests examine it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Asked {
    pub(crate) request: RequestId,
    pub(crate) received: u64,
    /// The name of the request's variant.
    pub(crate) what: String,
    /// The object that it concerns, or the request that it cancels.
    pub(crate) about: u128,
}

impl FakeManager {
    /// The epoch of every fake manager.
    pub(crate) const EPOCH: Epoch = Epoch(Uuid::from_u128(0xe90c));

    /// Serves every client on a thread of its own.
    pub(crate) fn start(serve: impl Fn(AcceptedClient) + Send + Sync + 'static) -> FakeManager {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("fake.sock");
        let listener = UnixListener::bind(&socket).unwrap();
        let serve = Arc::new(serve);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let serve = Arc::clone(&serve);
                std::thread::spawn(move || serve(AcceptedClient::greet(stream.unwrap())));
            }
        });
        FakeManager { socket, _folder: folder }
    }

    pub(crate) fn socket(&self) -> &Path {
        &self.socket
    }

    /// A connection that nobody else uses.
    pub(crate) fn connection(&self) -> SharedConnection {
        let session = connect(&Address::unix(&self.socket).unwrap()).unwrap();
        SharedConnection::new(session.stream, session.frames)
    }
}

impl AcceptedClient {
    fn greet(stream: UnixStream) -> AcceptedClient {
        let mut peer = AcceptedClient { stream, frames: FrameBuffer::new(limits::FRAME_BYTES_MAX) };
        assert!(peer.read(), "a client left before its hello");
        Hello::decode(peer.frames.next_body().unwrap().expect("a hello comes whole")).unwrap();
        let greeting =
            Greeting::Welcome { version: VERSION_NEWEST, session: SessionId(1), epoch: FakeManager::EPOCH };
        let mut bytes = Vec::new();
        greeting.append(&mut bytes).unwrap();
        peer.stream.write_all(&bytes).unwrap();
        peer
    }

    /// Reads once. False at the end.
    fn read(&mut self) -> bool {
        let bytes = self.stream.read(self.frames.space()).unwrap_or(0);
        self.frames.filled(bytes);
        bytes > 0
    }

    /// The next request; none at the end, with or without a goodbye.
    pub(crate) fn next(&mut self) -> Option<Asked> {
        loop {
            if let Some(asked) = self.next_that_came() {
                return (asked.what != "Goodbye").then_some(asked);
            }
            if !self.read() {
                return None;
            }
        }
    }

    /// The next request among those that one read brought.
    pub(crate) fn next_that_came(&mut self) -> Option<Asked> {
        let body = self.frames.next_body().unwrap()?;
        let Envelope { request, received, body } = decode(body).unwrap();
        let about = match body {
            Request::Open { id, .. } | Request::Detach { id } | Request::EventIsSet { id } => id.0.as_u128(),
            Request::Cancel { request } => request.0.into(),
            _ => 0,
        };
        let what = format!("{body:?}");
        let what = what.split([' ', '(']).next().unwrap().to_owned();
        Some(Asked { request, received, what, about })
    }

    /// Answers in one write, in this order.
    pub(crate) fn answer(&mut self, answers: impl IntoIterator<Item = (RequestId, Reply)>) {
        let mut bytes = Vec::new();
        for (request, body) in answers {
            append_frame(&mut bytes, &Answer { request, body }).unwrap();
        }
        // The test decides whether its client may be gone.
        let _ = self.stream.write_all(&bytes);
    }

    /// Sends these bytes.
    pub(crate) fn write(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    /// Tells the client why its connection ends.
    pub(crate) fn send_final_refusal(&mut self, refusal: Refusal) {
        self.answer([(RequestId::ONE_WAY, Reply::Refused(refusal))]);
    }
}
