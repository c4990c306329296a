//! Every code of refusal, from managers that run as processes of their own.

use std::fs::{self, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;

use protocol::{
    Answer, Code, Epoch, Hello, Kind, OpenMode, Refusal, Reply, Request, SharedMemory, Spec, Target, Targets,
    ThreadId, WaitMode, decode,
};
use rustix::thread::set_thread_res_uid;
use uuid::Uuid;

use super::manager_process::ManagerProcess;
use super::raw_client::{RawClient, done, object, open, open_anonymous, open_event, refused, wait_for};

/// Another user than the one that runs these tests as root.
const OTHER_USER: u32 = 65_534;

/// The refusal of a wait that has blocked, after a request that ends it.
fn refused_wait(peer: &mut RawClient, wait: Request<'_>, ends: Request<'_>) -> Refusal {
    peer.send(wait);
    peer.send(ends);
    match peer.answer() {
        Some(Answer { body: Reply::Refused(refusal), .. }) => refusal,
        other => panic!("not refused: {other:?}"),
    }
}

/// A wait of this thread of a client.
fn wait_of(thread: u64, target: Target<'static>) -> Request<'static> {
    let targets = [target].into();
    Request::Wait { mode: WaitMode::Any, targets, timeout_ns: None, thread: ThreadId(thread) }
}

/// Has a manager refuse something with this code. Add every new code here.
fn refuse_with(code: Code, manager: &ManagerProcess) -> Refusal {
    let mut peer = manager.session();
    let peer = &mut peer;
    // Named objects stay, so each code has numbers of its own.
    let first = 100 * (code as u128 + 1);
    let (id, missing) = (object(first), object(first + 99));
    match code {
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
            refused(peer, Request::Release { id, holding: None, thread: ThreadId(1) })
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
        Code::Forbidden => ManagerProcess::start_as("manager of another user").connect().refused_greeting(),
    }
}

#[test]
fn every_code_is_what_a_manager_refuses_something_with() {
    let manager = ManagerProcess::start();
    // Codes are numbered without gaps, and each of these numbers is one byte.
    let codes: Vec<Code> = (0..).map_while(|number| decode(&[number]).ok()).collect();
    assert!(codes.contains(&Code::Forbidden), "{codes:?}");
    for code in codes {
        let refusal = refuse_with(code, &manager);
        assert_eq!(refusal.code, code, "{refusal}");
    }
}

#[test]
fn a_process_of_another_user_is_forbidden_though_it_may_enter_the_folder() {
    if sys::process::effective_user() != 0 {
        // Past the capture of the test's output, so that nobody takes this for a test that has run.
        let text = "NOT RUN, for want of root: a_process_of_another_user_is_forbidden_though_it_may_enter_the_folder";
        writeln!(std::io::stderr(), "{text}").unwrap();
        return;
    }
    let manager = ManagerProcess::start();
    // Where a folder was left open by hand, the manager is what keeps others out.
    fs::set_permissions(manager.folder(), Permissions::from_mode(0o711)).unwrap();
    fs::set_permissions(manager.socket(), Permissions::from_mode(0o666)).unwrap();
    // The kernel has a user for each thread.
    let socket = manager.socket().to_owned();
    let connect = move || {
        let user = rustix::process::Uid::from_raw(OTHER_USER);
        set_thread_res_uid(user, user, user).unwrap();
        UnixStream::connect(socket).unwrap()
    };
    let stream = std::thread::spawn(connect).join().unwrap();
    let refusal = RawClient::over(stream).refused_greeting();
    assert_eq!(refusal.code, Code::Forbidden, "{refusal}");
    assert!(refusal.text.contains(&OTHER_USER.to_string()), "{refusal}");
}
