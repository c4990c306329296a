//! Peers that break the protocol, and one in another language that keeps it. Nobody else notices them.

use std::env;
use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use protocol::limits::{FRAME_BYTES_MAX, HELLO_TIME_MAX};
use protocol::{
    Answer, Code, Envelope, FrameBuffer, Greeting, HELLO_BYTES_MAX, Hello, Refusal, Reply, Request,
    RequestId, append_frame, decode,
};

use crate::support::registered_tests::has_python;
use crate::support::remote_client::{ClientReport, RemoteClient};
use crate::support::{ManagerProgram, PATIENCE, apply, helper, test};

/// How long a call may take while others try to hold it up, on a busy machine.
const CALL_TIME_MAX: Duration = Duration::from_secs(5);

/// The page from which a client can be written.
const PAGE: &str = include_str!("../../protocol/PROTOCOL.md");

/// A process of another user: prints the greeting that the manager sends it.
#[apply(helper)]
pub(crate) fn call() -> client::Result<()> {
    let socket = env::args_os().nth(2).expect("its argument is a socket");
    println!("{}", RawPeer::connect(Path::new(&socket)).refused_greeting());
    Ok(())
}

/// Does something to a manager, while one client calls all the time and another one waits.
fn unnoticed(happens: fn(&ManagerProgram)) {
    let program = ManagerProgram::start();
    let event = program.connect().event("witnessed").unwrap();
    let mut waiter = RemoteClient::with_event(&program, "waited for", false);
    waiter.begin_wait();
    thread::scope(|scope| {
        let happening = scope.spawn(|| happens(&program));
        while !happening.is_finished() {
            let started = Instant::now();
            event.set().unwrap();
            assert!(event.is_set().unwrap());
            event.clear().unwrap();
            assert!(started.elapsed() < CALL_TIME_MAX, "it took {:?}", started.elapsed());
        }
    });
    RemoteClient::start(&program);
    program.connect().event("waited for").unwrap().set().unwrap();
    assert!(matches!(waiter.report(), Ok(ClientReport::Waited(Some(_)))));
}

#[apply(test)]
fn of_another_version_learns_both_versions() {
    unnoticed(|program| {
        let mut peer = RawPeer::connect(&program.socket);
        peer.send(&hello(&Hello { version_oldest: 40, version_newest: 50, ..Hello::new(1, "later") }));
        let refusal = peer.refused_greeting();
        assert_eq!(refusal.code, Code::VersionMismatch);
        assert!(
            refusal.text.contains("versions 2 to 2") && refusal.text.contains("versions 40 to 50"),
            "{refusal}"
        );
        peer.expect_end();
    });
}

#[apply(test)]
fn that_speaks_something_else_is_dropped() {
    unnoticed(|program| {
        let noise = vec![0xff; 1 << 20];
        for bytes in [b"GET / HTTP/1.1\r\n\r\n".as_slice(), b"\x04\0\0\0SSH-", &[0; 4], &[0; 100_000], &noise]
        {
            let mut peer = RawPeer::connect(&program.socket);
            peer.send(bytes);
            let refusal = peer.refused_greeting();
            assert_eq!(refusal.code, Code::Protocol);
            if bytes.starts_with(b"GET") {
                let text = "the peer does not speak Rallypoint's protocol: a frame of 542393671 bytes";
                assert!(refusal.text.starts_with(text), "{refusal}");
            }
            peer.expect_end();
        }
        // An unknown variant, bytes that are left over, an empty body, and a frame over the limit.
        for bytes in [b"\x03\0\0\0\x01\0\x7f".as_slice(), b"\x04\0\0\0\x01\0\x10\x10", &[0; 4], &noise] {
            let mut peer = RawPeer::in_session(&program.socket);
            peer.send(bytes);
            assert_eq!(peer.last_refusal().code, Code::Protocol);
            peer.expect_end();
        }
    });
}

#[apply(test)]
fn that_sends_half_a_frame_holds_up_nobody() {
    unnoticed(|program| {
        let hello = hello(&Hello::new(1, "half"));
        let goodbye = Envelope { request: RequestId::ONE_WAY, received: 0, body: Request::Goodbye };
        let mut frame = Vec::new();
        append_frame(&mut frame, &goodbye).unwrap();
        let mut peers: Vec<RawPeer> = Vec::new();
        for length in 1..hello.len() {
            let mut peer = RawPeer::connect(&program.socket);
            peer.send(&hello[..length]);
            peers.push(peer);
        }
        for length in 1..frame.len() {
            let mut peer = RawPeer::in_session(&program.socket);
            peer.send(&frame[..length]);
            peers.push(peer);
        }
        for peer in &mut peers {
            peer.stream.shutdown(Shutdown::Write).unwrap();
            peer.expect_end();
        }
    });
}

#[apply(test)]
fn that_announces_too_much_is_dropped() {
    unnoticed(|program| {
        for bytes in [HELLO_BYTES_MAX as u32 + 1, u32::MAX] {
            let mut peer = RawPeer::connect(&program.socket);
            peer.send(&bytes.to_le_bytes());
            let refusal = peer.refused_greeting();
            assert!(refusal.text.contains(&format!("{bytes} bytes is over the limit of 4096")), "{refusal}");
            peer.expect_end();
        }
        for bytes in [FRAME_BYTES_MAX as u32 + 1, u32::MAX] {
            let mut peer = RawPeer::in_session(&program.socket);
            peer.send(&bytes.to_le_bytes());
            let refusal = peer.last_refusal();
            assert!(
                refusal.text.contains(&format!("{bytes} bytes is over the limit of 16777216")),
                "{refusal}"
            );
            peer.expect_end();
        }
    });
}

#[apply(test)]
fn that_says_nothing_is_dropped_also_in_a_flood() {
    unnoticed(|program| {
        let mut peers: Vec<RawPeer> = (0..400).map(|_| RawPeer::connect(&program.socket)).collect();
        for peer in peers.iter_mut().step_by(2) {
            peer.send(&hello(&Hello::new(1, "slow"))[..7]);
        }
        for peer in &mut peers {
            let refusal = peer.refused_greeting();
            assert!(refusal.text.contains(&format!("no hello came within {HELLO_TIME_MAX:?}")), "{refusal}");
            peer.expect_end();
        }
    });
}

#[apply(test)]
fn that_comes_and_goes_is_forgotten() {
    unnoticed(|program| {
        for round in 0..1_000 {
            let mut peer = RawPeer::connect(&program.socket);
            match round % 3 {
                0 => {}
                1 => peer.send(&hello(&Hello::new(1, "hasty"))),
                _ => peer.send(b"what?"),
            }
        }
    });
}

#[apply(test)]
#[only_if(has_python)]
fn from_the_protocols_page_is_welcome() {
    let program = ManagerProgram::start();
    let (_, block) = PAGE.split_once("```python\n").expect("the page has a client in Python");
    let (code, _) = block.split_once("```").expect("which ends");
    let mut command = Command::new("python3");
    let output = command.args(["-c", code]).arg(&program.socket).arg("größe ⏱").output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(0), b"True\n".as_slice()), "{text}");

    let cause = program.connect().event("größe ⏱").unwrap().cause().unwrap().expect("it was set");
    assert_eq!((&*cause.program, cause.reason.as_deref()), ("python", Some("set from Python")));

    let mut command = Command::new("python3");
    let output = command.args(["-c", code]).arg(&program.socket).arg("a\nb").output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(text.starts_with("refused with code 2: ") && text.contains("control characters"), "{text}");
}

fn hello(hello: &Hello) -> Vec<u8> {
    let mut bytes = Vec::new();
    hello.append(&mut bytes).unwrap();
    bytes
}

/// The other end of a connection, down to single bytes.
pub(crate) struct RawPeer {
    pub(crate) stream: UnixStream,
    frames: FrameBuffer,
}

impl RawPeer {
    fn connect(socket: &Path) -> RawPeer {
        let stream = UnixStream::connect(socket).unwrap();
        // A peer that says nothing has to wait until its time is over.
        stream.set_read_timeout(Some(HELLO_TIME_MAX + PATIENCE)).unwrap();
        RawPeer { stream, frames: FrameBuffer::new(FRAME_BYTES_MAX) }
    }

    pub(crate) fn in_session(socket: &Path) -> RawPeer {
        let mut peer = RawPeer::connect(socket);
        peer.send(&hello(&Hello::new(1, "peer")));
        let greeting = peer.greeting();
        assert!(matches!(greeting, Greeting::Welcome { .. }), "{greeting:?}");
        peer
    }

    /// Sends bytes. The manager may close the connection before it has read all of them.
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        if let Err(error) = self.stream.write_all(bytes) {
            assert!(matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset), "{error}");
        }
    }

    fn greeting(&mut self) -> Greeting {
        let body = self.body().expect("a greeting comes before the end");
        Greeting::decode(&body).unwrap()
    }

    /// The refusal to a peer that gets no session.
    fn refused_greeting(&mut self) -> Refusal {
        match self.greeting() {
            Greeting::Refused(refusal) => refusal,
            greeting => panic!("not refused: {greeting:?}"),
        }
    }

    /// The refusal that ends a session.
    fn last_refusal(&mut self) -> Refusal {
        match decode(&self.body().expect("a refusal comes before the end")).unwrap() {
            Answer { request: RequestId::ONE_WAY, body: Reply::Refused(refusal) } => refusal,
            answer => panic!("not refused: {answer:?}"),
        }
    }

    /// Waits for the end of the stream, before which nothing more may come.
    fn expect_end(&mut self) {
        assert_eq!(self.body(), None);
    }

    fn body(&mut self) -> Option<Vec<u8>> {
        loop {
            if let Some(body) = self.frames.next_body().unwrap() {
                return Some(body.to_vec());
            }
            match self.stream.read(self.frames.space()) {
                Ok(0) => return None,
                Ok(bytes) => self.frames.filled(bytes),
                // The manager closed without having read everything.
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return None,
                // A read with a timeout is not restarted when this process was suspended and continued: signal(7).
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => panic!("{error}"),
            }
        }
    }
}
