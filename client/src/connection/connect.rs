//! From the address of a manager to a connection on which a session has begun.

use std::io::{self, ErrorKind as IoErrorKind};
use std::time::{Duration, Instant};

use protocol::limits::PROGRAM_BYTES_MAX;
use protocol::{
    Epoch, FrameBuffer, FrameError, Greeting, HELLO_BYTES_MAX, Hello, VERSION_NEWEST, VERSION_OLDEST,
};
use sys::limits::explained;
use sys::process::effective_user;
use transport::{Address, ConnectErrorKind, ReadMode, Stream, StreamReadiness};

use crate::duration::Rounded;
use crate::{Error, ErrorKind, Result};

/// How long to try again while nobody listens, since a manager may be about to start.
const REFUSED_TIME_MAX: Duration = Duration::from_millis(200);

/// How long to try again while the backlog of a listener is full, and then to wait for the greeting.
const GREETING_TIME_MAX: Duration = Duration::from_secs(10);

/// The mean pause between two tries.
const RETRY_PAUSE: Duration = Duration::from_millis(20);

/// A stream on which a session has begun.
#[derive(Debug)]
pub(crate) struct EstablishedStream {
    /// The connection.
    pub(crate) stream: Box<dyn Stream>,
    /// The epoch of the manager.
    pub(crate) epoch: Epoch,
    /// The bytes that came behind the greeting.
    pub(crate) frames: FrameBuffer,
}

/// Connects to the manager at this address, and begins a session.
pub(crate) fn connect(address: &Address) -> Result<EstablishedStream> {
    let started = Instant::now();
    for attempts in 1.. {
        let (error, time_max) = match try_connect(address) {
            Ok(stream) => return greet(stream, address, GREETING_TIME_MAX),
            Err(Attempt::Refused(error)) => (error, REFUSED_TIME_MAX),
            Err(Attempt::Full(error)) => (error, GREETING_TIME_MAX),
            Err(Attempt::Failed(error)) => return Err(error),
        };
        let elapsed = started.elapsed();
        if elapsed >= time_max {
            let text = format!("{error} ({attempts} attempts in {})", Rounded(elapsed));
            return Err(Error::new(error.kind(), text));
        }
        std::thread::sleep(vary(RETRY_PAUSE));
    }
    unreachable!("there are always more attempts")
}

/// Why one try did not connect.
enum Attempt {
    /// Nothing listens there now.
    Refused(Error),
    /// A listener has no room for another connection now.
    Full(Error),
    /// Another try would not help.
    Failed(Error),
}

/// Connects once, and sends the hello. Never waits.
fn try_connect(address: &Address) -> std::result::Result<Box<dyn Stream>, Attempt> {
    let stream = transport::connect(address).map_err(|error| match error.kind {
        ConnectErrorKind::Refused => Attempt::Refused(error.into()),
        ConnectErrorKind::Full => Attempt::Full(unanswered(address, GREETING_TIME_MAX)),
        _ => Attempt::Failed(error.into()),
    })?;
    check_peer(&*stream, address).map_err(Attempt::Failed)?;

    let mut hello = Vec::new();
    let appended = Hello::new(std::process::id(), &program_name()).append(&mut hello);
    appended.map_err(|error| Attempt::Failed(error.into()))?;
    // A new stream has room for these few bytes, so it takes all of them or none.
    match stream.write(&hello) {
        Ok(_) => Ok(stream),
        Err(error) => Err(match error.kind() {
            IoErrorKind::NotConnected | IoErrorKind::WouldBlock => {
                Attempt::Full(unanswered(address, GREETING_TIME_MAX))
            }
            IoErrorKind::BrokenPipe | IoErrorKind::ConnectionReset => {
                Attempt::Refused(transport::refused(address).into())
            }
            _ => Attempt::Failed(broken(address, &error)),
        }),
    }
}

/// Refuses a manager that another user runs: this process sends it nothing, and believes nothing that it says.
fn check_peer(stream: &dyn Stream, address: &Address) -> Result<()> {
    let own = effective_user();
    let peer = stream.peer().map_err(|error| broken(address, &error))?;
    peer.check(own).map_err(|untrusted| {
        let text = format!(
            "the manager at {address} {untrusted}, not to this one ({own}); use a socket of your own"
        );
        Error::new(ErrorKind::Other, text)
    })
}

/// Waits for the greeting, and begins the session.
fn greet(stream: Box<dyn Stream>, address: &Address, time_max: Duration) -> Result<EstablishedStream> {
    let mut frames = FrameBuffer::new(HELLO_BYTES_MAX);
    let deadline = Instant::now() + time_max;
    let greeting = loop {
        let body = frames.next_body().map_err(|error| foreign(address, error))?;
        if let Some(body) = body {
            break Greeting::decode(body).map_err(|error| foreign(address, error))?;
        }
        let timeout = deadline.saturating_duration_since(Instant::now());
        if timeout.is_zero() {
            return Err(unanswered(address, time_max));
        }
        stream.wait(StreamReadiness::READABLE, Some(timeout));
        match stream.read(frames.space(), ReadMode::NonBlocking) {
            Ok(0) => return Err(hung_up(address)),
            Ok(bytes) => frames.filled(bytes),
            Err(error) => match error.kind() {
                IoErrorKind::WouldBlock => {}
                IoErrorKind::ConnectionReset => return Err(hung_up(address)),
                _ => return Err(broken(address, &error)),
            },
        }
    };
    match greeting {
        Greeting::Welcome { version, .. } if !(VERSION_OLDEST..=VERSION_NEWEST).contains(&version) => {
            Err(unspoken(address, version))
        }
        Greeting::Welcome { epoch, session, .. } => {
            log::debug!("session {session} begins at {address}");
            Ok(EstablishedStream { stream, epoch, frames })
        }
        Greeting::Refused(refusal) => Err(refusal.into()),
    }
}

/// The name of this program, by which people recognize a holder or a cause.
fn program_name() -> String {
    let program = std::env::current_exe().unwrap_or_default();
    let name = program.file_name().unwrap_or_default().to_string_lossy();
    // The system marks the path of a program whose file was replaced after its start.
    let name = name.strip_suffix(" (deleted)").unwrap_or(&name);
    let mut name: String = name.chars().filter(|character| !character.is_control()).collect();
    name.truncate(name.floor_char_boundary(PROGRAM_BYTES_MAX));
    name
}

/// A pause between half and three halves of this one, so that many refused clients do not come back together.
fn vary(pause: Duration) -> Duration {
    let random = uuid::Uuid::new_v4().as_bytes()[0];
    pause / 2 + pause * u32::from(random) / 255
}

fn broken(address: &Address, error: &io::Error) -> Error {
    Error::new(ErrorKind::Other, format!("cannot connect to {address}: {}", explained(error)))
}

fn unanswered(address: &Address, time: Duration) -> Error {
    Error::new(
        ErrorKind::Other,
        format!(
            "what listens at {address} did not answer for {time:?}; it is overloaded, suspended, or not a manager, or \
             it has no descriptor left, as the log of a manager says then (raise its `ulimit -Hn`)"
        ),
    )
}

fn hung_up(address: &Address) -> Error {
    Error::new(
        ErrorKind::ManagerGone,
        format!("the manager at {address} closed the connection without a greeting"),
    )
}

fn unspoken(address: &Address, version: u16) -> Error {
    Error::new(
        ErrorKind::VersionMismatch,
        format!(
            "the manager at {address} speaks version {version} of the protocol, and this program speaks versions \
             {VERSION_OLDEST} to {VERSION_NEWEST}; bring the older of the two up to date"
        ),
    )
}

fn foreign(address: &Address, error: FrameError) -> Error {
    Error::new(ErrorKind::Other, format!("what listens at {address} is not a manager: {error}"))
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::io::Write;
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::net::{UnixListener, UnixStream};
    use std::path::{Path, PathBuf};

    use protocol::endpoint::SOCKET_PATH_BYTES_MAX;
    use protocol::{Code, Refusal, SessionId};

    use super::*;
    use crate::connection::fake_manager::FakeManager;

    fn in_a_folder(name: &str) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::Builder::new().permissions(Permissions::from_mode(0o700)).tempdir().unwrap();
        let path = folder.path().join(name);
        (folder, path)
    }

    fn at(path: impl AsRef<Path>) -> Address {
        Address::unix(path).unwrap()
    }

    fn error_at(path: &Path) -> Error {
        let canonical = transport::canonical(&at(path)).map_err(Error::from);
        canonical.and_then(|address| connect(&address)).unwrap_err()
    }

    /// The error of a handshake in which the other side sends this.
    fn error_after(said: &[u8]) -> Error {
        let (mine, mut other) = UnixStream::pair().unwrap();
        other.write_all(said).unwrap();
        drop(other);
        greet(mine.into(), &at("/x.sock"), GREETING_TIME_MAX).unwrap_err()
    }

    #[test]
    fn a_session_begins() {
        let manager = FakeManager::start(|mut peer| assert_eq!(peer.next(), None));
        let session = connect(&at(manager.socket())).unwrap();
        assert_eq!(session.epoch, FakeManager::EPOCH);
    }

    #[test]
    fn a_socket_without_a_listener_is_soon_an_error_with_advice() {
        let (_folder, missing) = in_a_folder("none.sock");
        let (_other_folder, dead) = in_a_folder("dead.sock");
        drop(UnixListener::bind(&dead).unwrap());
        for path in [&missing, &dead] {
            let started = Instant::now();
            let error = error_at(path);
            assert!(error.is_not_running(), "{error:?}");
            let text = error.to_string();
            let advice = format!("`manager --socket unix:{}`", path.display());
            assert!(text.contains(&advice), "{error}");
            // Only where a manager may be about to listen is it worth trying again.
            let is_tried_again = text.ends_with(" ms)") && text.contains(" attempts in ");
            assert_eq!(is_tried_again, path == &dead, "{error}");
            assert!(started.elapsed() < Duration::from_secs(5));
        }
    }

    #[test]
    fn a_manager_is_advised_only_where_it_would_start() {
        let error_at = |path: &Path| {
            let error = error_at(path);
            assert!(!error.to_string().contains("manager --socket"), "{error}");
            error
        };
        let (folder, file) = in_a_folder("file");
        fs::write(&file, "").unwrap();
        for (path, what) in [(file.as_path(), "a file"), (folder.path(), "a folder")] {
            let error = error_at(path);
            assert!(!error.is_not_running(), "{error:?}");
            assert!(error.to_string().contains(&format!("is {what}, not a socket")), "{error}");
        }
        let error = error_at(&file.join("m.sock"));
        assert!(error.is_not_running() && error.to_string().contains("is not a folder"), "{error:?}");

        fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
        let dead = folder.path().join("dead.sock");
        drop(UnixListener::bind(&dead).unwrap());
        for path in [&dead, &folder.path().join("none.sock")] {
            let error = error_at(path);
            assert!(error.is_not_running() && error.to_string().contains("is open to others"), "{error:?}");
        }
    }

    #[test]
    fn a_version_that_was_not_offered_is_refused() {
        let mut said = Vec::new();
        let version = VERSION_NEWEST + 1;
        let epoch = FakeManager::EPOCH;
        Greeting::Welcome { version, session: SessionId(1), epoch }.append(&mut said).unwrap();
        let error = error_after(&said);
        assert!(error.is_version_mismatch(), "{error:?}");
        assert!(error.to_string().contains("at unix:/x.sock speaks version 3"), "{error}");
    }

    #[test]
    fn a_path_that_fits_no_address_is_refused_before_it_is_tried() {
        let (_folder, path) = in_a_folder(&"x".repeat(SOCKET_PATH_BYTES_MAX));
        let error = Error::from(transport::canonical(&at(path)).unwrap_err());
        assert!(error.is_limit(), "{error:?}");
        assert!(error.to_string().contains("at most 107 bytes"), "{error}");
    }

    #[test]
    fn a_peer_that_never_greets_is_given_up() {
        let (mine, _silent) = UnixStream::pair().unwrap();
        let error = greet(mine.into(), &at("/x.sock"), Duration::from_millis(50)).unwrap_err();
        assert!(error.to_string().contains("did not answer"), "{error}");
    }

    #[test]
    fn a_full_backlog_differs_from_a_missing_listener() {
        let (_folder, path) = in_a_folder("busy.sock");
        let _listener = UnixListener::bind(&path).unwrap();
        let mut waiting = Vec::new();
        let refusal = loop {
            match try_connect(&at(&path)) {
                Ok(stream) => waiting.push(stream),
                Err(attempt) => break attempt,
            }
            assert!(waiting.len() < 10_000, "the backlog is not bounded here");
        };
        assert!(matches!(refusal, Attempt::Full(_)));
    }

    #[test]
    fn the_error_for_a_peer_that_is_not_a_manager_says_so() {
        let error = error_after(b"\x10\0\0\0HTTP/1.1 200 OK.");
        assert!(error.to_string().contains("is not a manager"), "{error}");
        let error = error_after(b"SSH-2.0-OpenSSH");
        assert!(error.to_string().contains("is not a manager"), "{error}");
        assert!(error_after(b"").is_manager_gone());
    }

    #[test]
    fn a_refused_greeting_keeps_its_reason() {
        let mut said = Vec::new();
        let refusal = Refusal::new(Code::VersionMismatch, "this manager speaks versions 7 to 9");
        Greeting::Refused(refusal).append(&mut said).unwrap();
        let error = error_after(&said);
        assert!(error.is_version_mismatch(), "{error:?}");
        assert_eq!(error.to_string(), "this manager speaks versions 7 to 9");
    }
}
