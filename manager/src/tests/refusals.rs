//! Every code of refusal, and the code of every limit, from a manager that runs as a process of its own.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use protocol::limits::{
    CARRIES_MAX, FRAME_BYTES_MAX, NAME_BYTES_MAX, PAYLOAD_BYTES_MAX, REASON_BYTES_MAX, TASKS_PER_GRANT_MAX,
    TASKS_PER_REQUEST_MAX,
};
use protocol::{
    Answer, BatchOptions, Code, Epoch, HELLO_BYTES_MAX, Hello, Kind, Limits, OpenMode, Refusal, Reply,
    Request, SharedMemory, Spec, Target, Targets, TaskInput, ThreadId, WaitMode, decode,
};
use rustix::thread::set_thread_res_uid;
use tempfile::TempDir;
use uuid::Uuid;

use super::peer::{Peer, object, open_event, wait_for};
use super::player::Player;
use super::running_manager::{RunningManager, private_folder};
use crate::server::Patience;

/// Another user than the one that runs these tests.
const OTHER_USER: u32 = 65_534;

/// A manager in a process of its own.
struct ManagerProcess {
    folder: TempDir,
    socket: PathBuf,
    _process: Player,
}

impl ManagerProcess {
    fn start() -> ManagerProcess {
        let folder = private_folder();
        let socket = folder.path().join("manager.sock");
        let mut process = Player::start("manager", &socket);
        process.wait_for("manager is ready at ");
        ManagerProcess { folder, socket, _process: process }
    }

    fn session(&self) -> Peer {
        let mut peer = Peer::connect(&self.socket);
        peer.begin_session();
        peer
    }

    /// The refusal of a connection that sends these bytes first.
    fn greeting_after(&self, bytes: &[u8]) -> Refusal {
        let mut peer = Peer::connect(&self.socket);
        peer.send_bytes(bytes);
        peer.refused_greeting()
    }

    /// The refusal of a process of another user; none if these tests may not become another user.
    fn greeting_of_another_user(&self) -> Option<Refusal> {
        if sys::process::effective_user() != 0 {
            return None;
        }
        // If somebody has opened the folder by hand, the manager still keeps others out.
        fs::set_permissions(self.folder.path(), Permissions::from_mode(0o711)).unwrap();
        fs::set_permissions(&self.socket, Permissions::from_mode(0o666)).unwrap();
        // The kernel has a user for each thread.
        let socket = self.socket.clone();
        let connect = move || {
            let user = rustix::process::Uid::from_raw(OTHER_USER);
            set_thread_res_uid(user, user, user).unwrap();
            UnixStream::connect(socket).unwrap()
        };
        let stream = std::thread::spawn(connect).join().unwrap();
        Some(Peer::over(stream).refused_greeting())
    }
}

/// Sends a request that the manager carries out.
fn done(peer: &mut Peer, body: Request<'_>) {
    let reply = peer.call(body);
    assert!(!matches!(reply, Reply::Refused(_)), "{reply:?}");
}

/// The refusal of a request.
fn refused(peer: &mut Peer, body: Request<'_>) -> Refusal {
    match peer.call(body) {
        Reply::Refused(refusal) => refusal,
        other => panic!("not refused: {other:?}"),
    }
}

/// The refusal of a wait that has blocked, after a request that ends it.
fn refused_wait(peer: &mut Peer, wait: Request<'_>, ends: Request<'_>) -> Refusal {
    peer.send(wait);
    peer.send(ends);
    match peer.answer() {
        Some(Answer { body: Reply::Refused(refusal), .. }) => refusal,
        other => panic!("not refused: {other:?}"),
    }
}

fn open(number: u128, name: Option<&str>, spec: Spec, mode: OpenMode) -> Request<'_> {
    Request::Open { id: object(number), name, spec, mode }
}

fn open_anonymous(number: u128, spec: Spec) -> Request<'static> {
    open(number, None, spec, OpenMode::CreateNew)
}

/// A wait of this thread of a client.
fn wait_of(thread: u64, target: Target<'static>) -> Request<'static> {
    let targets = [target].into();
    Request::Wait { mode: WaitMode::Any, targets, timeout_ns: None, thread: ThreadId(thread) }
}

/// Has a manager refuse something with this code. Add every new code here.
fn refuse_with(code: Code, manager: &ManagerProcess) -> Option<Refusal> {
    let mut peer = manager.session();
    let peer = &mut peer;
    // Named objects stay, so each code has numbers of its own.
    let first = 100 * (code as u128 + 1);
    let (id, missing) = (object(first), object(first + 99));
    let refusal = match code {
        Code::Protocol => manager.greeting_after(b"GET / HTTP/1.1\r\n\r\n"),
        Code::VersionMismatch => {
            let hello = Hello { version_oldest: 40, version_newest: 50, ..Hello::new(1, "future") };
            let mut bytes = Vec::new();
            hello.append(&mut bytes).unwrap();
            manager.greeting_after(&bytes)
        }
        Code::BadName => refused(peer, open_event(first, "")),
        Code::NoSuchObject => refused(peer, Request::EventIsSet { id: missing }),
        Code::AlreadyExists => {
            done(peer, open_event(first, "taken"));
            let spec = Spec::Event { auto_reset: false };
            refused(peer, open(first + 1, Some("taken"), spec, OpenMode::CreateNew))
        }
        Code::WrongKind => {
            done(peer, open_anonymous(first, Spec::Lock));
            refused(peer, Request::EventIsSet { id })
        }
        Code::WrongParameters => {
            done(peer, open_event(first, "manual"));
            let spec = Spec::Event { auto_reset: true };
            refused(peer, open(first + 1, Some("manual"), spec, OpenMode::OpenOrCreate))
        }
        Code::StaleEpoch => {
            let epoch = Epoch(Uuid::from_u128(1));
            refused(peer, Request::Attach { id: missing, kind: Kind::Event, epoch })
        }
        Code::Removed => {
            done(peer, open_event(first, "removed"));
            let wait = wait_for(Target::Event { id }, None);
            refused_wait(peer, wait, Request::Remove { id })
        }
        Code::LimitReached => {
            let share = Request::Share { memory: SharedMemory::DeferredReleases };
            done(peer, share.clone());
            refused(peer, share)
        }
        Code::BadTarget => {
            let targets = Targets::new();
            let thread = ThreadId(1);
            refused(peer, Request::Wait { mode: WaitMode::All, targets, timeout_ns: None, thread })
        }
        Code::BadArgument => {
            done(peer, open_event(first, "argument"));
            refused(peer, Request::EventSet { id, reason: Some("\0") })
        }
        Code::Closed => {
            done(peer, open_anonymous(first, Spec::Queue { capacity: None, is_joinable: false }));
            done(peer, Request::QueueClose { id });
            refused(peer, wait_for(Target::Get { queue: id }, None))
        }
        Code::Cancelled => {
            done(peer, open_event(first, "cancelled"));
            peer.send(wait_for(Target::Event { id }, None));
            let request = peer.last_request();
            peer.send(Request::Cancel { request });
            match peer.answer() {
                Some(Answer { body: Reply::Refused(refusal), .. }) => refusal,
                other => panic!("not refused: {other:?}"),
            }
        }
        Code::NotOwner => {
            done(peer, open_anonymous(first, Spec::Lock));
            refused(peer, Request::Release { id, hold: None, thread: ThreadId(1) })
        }
        Code::OverRelease => {
            done(peer, open_anonymous(first, Spec::Semaphore { permits: 1, is_bounded: true }));
            refused(peer, Request::SemaphoreRelease { id, permits: 1 })
        }
        Code::Deadlock => {
            let other = object(first + 1);
            for (thread, lock) in [(1, first), (2, first + 1)] {
                done(peer, open_anonymous(lock, Spec::Lock));
                done(peer, wait_of(thread, Target::Lock { id: object(lock) }));
            }
            peer.send(wait_of(1, Target::Lock { id: other }));
            refused(peer, wait_of(2, Target::Lock { id }))
        }
        Code::Broken => {
            done(peer, open_anonymous(first, Spec::Barrier { parties: 2 }));
            let abort = Request::BarrierAbort { id, turn: None, reason: "enough" };
            refused_wait(peer, wait_for(Target::Barrier { id, has_action: false }, None), abort)
        }
        Code::Forbidden => return manager.greeting_of_another_user(),
    };
    Some(refusal)
}

#[test]
fn every_code_is_what_a_manager_refuses_something_with() {
    let manager = ManagerProcess::start();
    // Codes are numbered without gaps, and each of these numbers is one byte.
    let codes: Vec<Code> = (0..).map_while(|number| decode(&[number]).ok()).collect();
    assert!(codes.contains(&Code::Forbidden), "{codes:?}");
    for code in codes {
        match refuse_with(code, &manager) {
            Some(refusal) => assert_eq!(refusal.code, code, "{refusal}"),
            None => assert_eq!(code, Code::Forbidden, "only that needs another user"),
        }
    }
}

#[test]
fn limits_of_the_protocol_are_refused_with_the_codes_that_stand_with_them() {
    let manager = ManagerProcess::start();
    let length = |bytes: usize| u32::try_from(bytes).unwrap().to_le_bytes();
    let refusal = manager.greeting_after(&length(HELLO_BYTES_MAX + 1));
    assert_eq!(refusal.code, Code::Protocol, "{refusal}");
    let mut peer = manager.session();
    peer.send_bytes(&length(FRAME_BYTES_MAX + 1));
    let refusal = peer.last_refusal();
    assert_eq!(refusal.code, Code::Protocol, "{refusal}");
    assert!(refusal.text.contains(&FRAME_BYTES_MAX.to_string()), "{refusal}");

    let mut peer = manager.session();
    let peer = &mut peer;
    let long = "x".repeat(NAME_BYTES_MAX.max(REASON_BYTES_MAX) + 1);
    done(peer, open_event(1, "event"));
    done(peer, open_anonymous(2, Spec::Pool));
    done(peer, open_anonymous(3, Spec::Queue { capacity: None, is_joinable: false }));
    done(peer, open_batch(4, 2, 5));
    let carries = vec![object(1); CARRIES_MAX + 1];
    let payload = vec![0; PAYLOAD_BYTES_MAX + 1];
    let put = |item, carries| wait_for(Target::Put { queue: object(3), item, carries }, None);
    let numbers = (0..=TASKS_PER_GRANT_MAX as u32).collect();
    let cases = [
        (Code::BadName, open_event(9, &long[..=NAME_BYTES_MAX])),
        (Code::BadArgument, Request::EventSet { id: object(1), reason: Some(&long[..=REASON_BYTES_MAX]) }),
        (Code::LimitReached, add_tasks(4, b"", TASKS_PER_REQUEST_MAX + 1)),
        (Code::LimitReached, add_tasks(4, &payload, 1)),
        (Code::BadArgument, Request::TasksGiveBack { batch: object(4), tasks: numbers }),
    ];
    for (code, request) in cases {
        let refusal = refused(peer, request);
        assert_eq!(refusal.code, code, "{refusal}");
    }
    for (item, carries) in [(payload.as_slice(), Vec::new()), (b"", carries)] {
        let refusal = refused(peer, put(item, carries));
        assert_eq!(refusal.code, Code::LimitReached, "{refusal}");
    }
}

#[test]
fn limits_of_a_manager_are_refused_as_reached() {
    let limits = Limits {
        objects_max: 6,
        mirrored_events_max: 1,
        wait_targets_max: 2,
        session_waits_max: 1,
        tasks_max: 2,
        stored_bytes_max: 100,
        ..Limits::default()
    };
    let manager = RunningManager::start_with(limits, Patience::default());
    let mut peer = manager.session();
    let peer = &mut peer;
    for number in 1..=2 {
        done(peer, open_anonymous(number, Spec::Event { auto_reset: false }));
    }
    done(peer, open_anonymous(3, Spec::Pool));
    done(peer, open_batch(4, 3, 5));
    done(peer, open_anonymous(6, Spec::Latch { count: 1 }));
    done(peer, Request::EventMirror { id: object(1) });
    let targets = (0..3).map(|_| Target::Event { id: object(1) }).collect();
    let wait = Request::Wait { mode: WaitMode::Any, targets, timeout_ns: None, thread: ThreadId(1) };
    let cases = [
        ("6 objects", open_anonymous(7, Spec::Lock)),
        ("1 event", Request::EventMirror { id: object(2) }),
        ("2 targets", wait),
        ("2 tasks", add_tasks(4, b"", 3)),
        ("100 bytes", add_tasks(4, &[0; 101], 1)),
    ];
    for (limit, request) in cases {
        let refusal = refused(peer, request);
        assert_eq!(refusal.code, Code::LimitReached, "{limit}: {refusal}");
        let number = limit.split(' ').next().unwrap();
        assert!(refusal.text.contains(number), "{limit}: {refusal}");
    }
    peer.send(wait_for(Target::Event { id: object(1) }, None));
    let refusal = refused(peer, wait_for(Target::Event { id: object(2) }, None));
    assert_eq!(refusal.code, Code::LimitReached, "{refusal}");
}

fn open_batch(number: u128, pool: u128, stop: u128) -> Request<'static> {
    let options =
        BatchOptions { stop: object(stop), parent: None, priority: 0, retries: 0, time_limit_ns: None };
    Request::BatchOpen { id: object(number), pool: object(pool), function: "f", options }
}

fn add_tasks(batch: u128, arguments: &[u8], count: usize) -> Request<'_> {
    let task = TaskInput { arguments, carries: Vec::new() };
    Request::BatchAdd { id: object(batch), tasks: vec![task; count], last: false }
}
