//! The other end of a connection, down to single bytes.

use std::io::{ErrorKind, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;

use protocol::limits::FRAME_BYTES_MAX;
use protocol::{
    Answer, BatchOptions, CallsOutcome, Chunk, Code, Envelope, FrameBuffer, Greeting, Hello, ObjectId,
    OpenMode, Outcome, Refusal, Reply, Request, RequestId, SessionId, Spec, Target, ThreadId, WaitMode,
    append_frame, calls, decode,
};
use sys::descriptors::{self, Waiting};
use uuid::Uuid;

use super::timeouts::LONG;

/// A client that can also misbehave.
pub(crate) struct RawClient {
    /// The socket.
    pub(crate) stream: UnixStream,
    buffer: FrameBuffer,
    requests: u64,
    received: u64,
}

impl RawClient {
    pub(crate) fn connect(socket: &Path) -> RawClient {
        RawClient::over(UnixStream::connect(socket).unwrap())
    }

    /// A client at this end of a connection.
    pub(crate) fn over(stream: UnixStream) -> RawClient {
        stream.set_read_timeout(Some(LONG)).unwrap();
        RawClient { stream, buffer: FrameBuffer::new(FRAME_BYTES_MAX), requests: 0, received: 0 }
    }

    /// Says hello and expects to be welcome.
    pub(crate) fn begin_session(&mut self) -> SessionId {
        self.send_hello(&Hello::new(std::process::id(), "test"));
        self.welcomed()
    }

    /// Expects the greeting that begins a session.
    pub(crate) fn welcomed(&mut self) -> SessionId {
        match self.greeting() {
            Some(Greeting::Welcome { session, .. }) => session,
            other => panic!("not welcome: {other:?}"),
        }
    }

    pub(crate) fn send_hello(&mut self, hello: &Hello) {
        let mut bytes = Vec::new();
        hello.append(&mut bytes).unwrap();
        self.send_bytes(&bytes);
    }

    /// Sends all of this, or as much as the manager takes: it closes on a peer that sends nonsense, even during a
    /// write.
    pub(crate) fn send_bytes(&mut self, bytes: &[u8]) {
        match self.stream.write_all(bytes) {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => {}
            written => written.unwrap(),
        }
    }

    /// A request as a frame, with the next id.
    pub(crate) fn frame(&mut self, body: Request<'_>) -> Vec<u8> {
        self.requests += 1;
        let envelope = Envelope { request: RequestId(self.requests), received: self.received, body };
        let mut bytes = Vec::new();
        append_frame(&mut bytes, &envelope).unwrap();
        bytes
    }

    /// Sends a request with an id of the caller's choice.
    pub(crate) fn send_as(&mut self, request: RequestId, body: Request<'_>) {
        let mut bytes = Vec::new();
        append_frame(&mut bytes, &Envelope { request, received: self.received, body }).unwrap();
        self.send_bytes(&bytes);
    }

    pub(crate) fn send(&mut self, body: Request<'_>) {
        let bytes = self.frame(body);
        self.send_bytes(&bytes);
    }

    /// The id of the request that was sent last.
    pub(crate) fn last_request(&self) -> RequestId {
        RequestId(self.requests)
    }

    /// Sends a request and waits for the answer to it.
    pub(crate) fn call(&mut self, body: Request<'_>) -> Reply {
        self.send(body);
        let answer = self.answer().expect("the connection goes on");
        assert_eq!(answer.request, RequestId(self.requests));
        answer.body
    }

    /// Like `call`, with the descriptors that come with the answer. Nothing else may be on its way.
    pub(crate) fn call_for_descriptors(&mut self, body: Request<'_>) -> (Reply, Vec<OwnedFd>) {
        self.send(body);
        let mut descriptors = Vec::new();
        let bytes =
            descriptors::receive(&self.stream, self.buffer.space(), &mut descriptors, Waiting::AsSocket);
        self.buffer.filled(bytes.expect("the connection goes on"));
        (self.answer().expect("the connection goes on").body, descriptors)
    }

    pub(crate) fn greeting(&mut self) -> Option<Greeting> {
        self.body().map(|body| Greeting::decode(&body).unwrap())
    }

    /// The next answer, or none at the end of the stream.
    pub(crate) fn answer(&mut self) -> Option<Answer> {
        let answer = self.body().map(|body| decode(&body).unwrap());
        self.received += 1;
        answer
    }

    /// The refusal that ends a connection without a session.
    pub(crate) fn refused_greeting(&mut self) -> Refusal {
        match self.greeting() {
            Some(Greeting::Refused(refusal)) => refusal,
            other => panic!("not refused: {other:?}"),
        }
    }

    /// The refusal that ends a session, after any other answers.
    pub(crate) fn last_refusal(&mut self) -> Refusal {
        loop {
            match self.answer().expect("a refusal comes before the end") {
                Answer { request: RequestId::ONE_WAY, body: Reply::Refused(refusal) } => return refusal,
                answer => assert_ne!(answer.request, RequestId::ONE_WAY, "{answer:?}"),
            }
        }
    }

    /// Waits for the end of the stream, before which nothing more may come.
    pub(crate) fn expect_end(&mut self) {
        assert_eq!(self.body(), None);
    }

    fn body(&mut self) -> Option<Vec<u8>> {
        loop {
            if let Some(body) = self.buffer.next_body().unwrap() {
                return Some(body.to_vec());
            }
            match self.stream.read(self.buffer.space()) {
                Ok(0) => return None,
                Ok(bytes) => self.buffer.filled(bytes),
                // The kernel's way of saying that the manager closed without having read everything.
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return None,
                // A read with a timeout is not restarted when this process was suspended and continued: signal(7).
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => panic!("{error}"),
            }
        }
    }
}

/// The object with this number.
pub(crate) fn object(number: u128) -> ObjectId {
    ObjectId(Uuid::from_u128(number))
}

/// A request that opens or makes a named event.
pub(crate) fn open_event(number: u128, name: &str) -> Request<'_> {
    let spec = Spec::Event { auto_reset: false };
    Request::Open { id: object(number), name: Some(name), spec, mode: OpenMode::OpenOrCreate }
}

/// A request that waits for one thing.
pub(crate) fn wait_for(target: Target<'_>, timeout_ns: Option<u64>) -> Request<'_> {
    Request::Wait { mode: WaitMode::Any, targets: [target].into(), timeout_ns, thread: ThreadId(1) }
}

/// A request that opens or makes an object.
pub(crate) fn open(number: u128, name: Option<&str>, spec: Spec, mode: OpenMode) -> Request<'_> {
    Request::Open { id: object(number), name, spec, mode }
}

/// A request that makes an object without a name.
pub(crate) fn open_anonymous(number: u128, spec: Spec) -> Request<'static> {
    open(number, None, spec, OpenMode::CreateNew)
}

/// A request that makes a batch in a pool, and its stop event.
pub(crate) fn open_batch(number: u128, pool: u128, stop: u128, function: &str) -> Request<'_> {
    let stop = object(stop);
    let options = BatchOptions { stop, parent: None, priority: 0, retries: 0, time_limit_ns: None };
    Request::BatchOpen { id: object(number), pool: object(pool), function, options }
}

/// The arguments or results of one call that have no bytes.
pub(crate) const EMPTY_CALL: &[u8] = &[0];

/// The arguments or results of one call that take this many bytes, their length included.
pub(crate) fn call_of(bytes: usize) -> Vec<u8> {
    let with_length = |length: usize| {
        let mut call = Vec::new();
        calls::append(&mut call, &vec![0; length]);
        call
    };
    let lengths = bytes.saturating_sub(calls::LENGTH_BYTES_MAX)..bytes;
    let mut fitting = lengths.rev().map(with_length);
    fitting.find(|call| call.len() == bytes).expect("a length takes a few bytes")
}

/// A request that adds this many calls to a batch, in a chunk each.
pub(crate) fn add_calls(batch: u128, arguments: &[u8], count: usize) -> Request<'_> {
    let chunk = Chunk { arguments, carries: Vec::new(), calls: 1 };
    Request::BatchAdd { id: object(batch), chunks: vec![chunk; count], last: false }
}

/// A request that reports how one call ended.
pub(crate) fn end_call<'a>(
    batch: u128,
    call: u64,
    outcome: Outcome<&'a [u8], &'a str>,
    carries: &[ObjectId],
) -> Request<'a> {
    let ends = [CallsOutcome { calls: 1, outcome }].into();
    Request::CallsEnd { batch: object(batch), first: call, ends, carries: carries.to_vec() }
}

/// Has a request carried out.
pub(crate) fn done(peer: &mut RawClient, body: Request<'_>) {
    let reply = peer.call(body);
    assert!(!matches!(reply, Reply::Refused(_)), "{reply:?}");
}

/// The refusal of a request.
pub(crate) fn refused(peer: &mut RawClient, body: Request<'_>) -> Refusal {
    match peer.call(body) {
        Reply::Refused(refusal) => refusal,
        other => panic!("not refused: {other:?}"),
    }
}

/// The one code with which all of these requests are refused, with texts that name this limit.
pub(crate) fn refused_alike<'a>(
    peer: &mut RawClient,
    limit: usize,
    requests: impl IntoIterator<Item = Request<'a>>,
) -> Code {
    let mut codes = Vec::new();
    for request in requests {
        let refusal = refused(peer, request);
        assert!(refusal.text.contains(&limit.to_string()), "{refusal}");
        codes.push(refusal.code);
    }
    codes.dedup();
    assert_eq!(codes.len(), 1, "{codes:?}");
    codes[0]
}
