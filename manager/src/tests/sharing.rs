//! Shared memory, and peers that ask for too much of it.

use protocol::{Code, Reply, Request, SessionId, SharedMemory};

use super::helper::HelperProcess;
use super::raw_client::{RawClient, object, open_event};
use super::running_manager::{RunningManager, private_folder};

const MIRROR: Request<'_> = Request::Share { memory: SharedMemory::Mirror };
const DEFERRED: Request<'_> = Request::Share { memory: SharedMemory::DeferredReleases };

fn code_of(reply: Reply) -> Code {
    match reply {
        Reply::Refused(refusal) => refusal.code,
        other => panic!("not refused: {other:?}"),
    }
}

#[test]
fn a_session_has_deferred_releases_once_and_the_mirror_as_often_as_it_asks() {
    let manager = RunningManager::start();
    let mut peers = [(); 2].map(|()| manager.session());
    for peer in &mut peers {
        assert_eq!(peer.call(DEFERRED), Reply::Shared { bytes: 4096 });
        assert_eq!(code_of(peer.call(DEFERRED)), Code::LimitReached);
        assert!(matches!(peer.call(MIRROR), Reply::Shared { bytes } if bytes > 8 << 20));
        assert!(matches!(peer.call(MIRROR), Reply::Shared { .. }));
    }
}

#[test]
fn a_peer_that_asks_for_memory_without_end_is_refused_and_no_other_notices() {
    const TIMES: usize = 20_000;
    let manager = RunningManager::start();
    let (mut greedy, mut witness) = (manager.session(), manager.session());
    witness.call(open_event(1, "event"));
    let asked: Vec<u8> = (0..TIMES).flat_map(|_| greedy.frame(MIRROR)).collect();
    let mut writer = greedy.stream.try_clone().unwrap();
    let writing = std::thread::spawn(move || std::io::Write::write_all(&mut writer, &asked));
    let (mut shared, mut refused) = (0, 0);
    for _ in 0..TIMES {
        match greedy.answer().expect("the connection goes on").body {
            Reply::Shared { .. } => shared += 1,
            other => {
                assert_eq!(code_of(other), Code::LimitReached);
                refused += 1;
            }
        }
        if (shared + refused) % 1000 == 0 {
            assert_eq!(witness.call(Request::EventIsSet { id: object(1) }), Reply::Flag(false));
        }
    }
    writing.join().unwrap().unwrap();
    assert!(shared >= 8 && refused > shared, "{shared} were shared, {refused} refused");
}

#[test]
fn a_manager_that_may_make_no_large_files_goes_without() {
    let folder = private_folder();
    let socket = folder.path().join("manager.sock");
    let mut manager = HelperProcess::start("manager with small files", &socket);
    manager.wait_for("manager is ready at ");
    let mut peer = RawClient::connect(&socket);
    assert_eq!(peer.begin_session(), SessionId(1));
    peer.call(open_event(1, "event"));
    assert_eq!(code_of(peer.call(MIRROR)), Code::LimitReached);
    assert_eq!(code_of(peer.call(DEFERRED)), Code::LimitReached);
    // The manager publishes it all the same, though no client can look.
    assert!(matches!(peer.call(Request::EventMirror { id: object(1) }), Reply::Mirrored { .. }));
    assert_eq!(peer.call(Request::EventSet { id: object(1), reason: None }), Reply::Done);
    assert_eq!(peer.call(Request::EventIsSet { id: object(1) }), Reply::Flag(true));
}

#[test]
fn a_client_whose_descriptors_find_no_room_gets_its_answers() {
    let folder = private_folder();
    let socket = folder.path().join("manager.sock");
    // The kernel counts descriptors on their way by user, and against the limit of the sender, if it is not privileged.
    let mut manager = HelperProcess::start("manager with few descriptors and no privileges", &socket);
    manager.wait_for("manager is ready at ");
    let mut deaf: Vec<RawClient> = (0..4).map(|_| RawClient::connect(&socket)).collect();
    for peer in &mut deaf {
        peer.begin_session();
        for _ in 0..16 {
            peer.send(MIRROR);
        }
    }
    let mut victim = RawClient::connect(&socket);
    victim.begin_session();
    victim.call(open_event(1, "event"));
    assert!(matches!(victim.call(DEFERRED), Reply::Shared { .. } | Reply::Refused(_)));
    assert_eq!(victim.call(Request::EventIsSet { id: object(1) }), Reply::Flag(false));
}
