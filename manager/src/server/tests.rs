//! One turn at a time, without the loop around it: what the server collects, and when it sends that.

use std::io;
use std::os::unix::net::UnixStream;

use mio::Poll;
use protocol::{Code, Grant, Greeting, Hello, Reply, Request, Target};
use transport::PeerIdentity;
use uuid::Uuid;

use super::connection::Phase;
use super::*;
use crate::tests::raw_client::{RawClient, object, open_event, wait_for};

/// A server whose turns the test begins and ends.
struct ManualLoop {
    server: Server,
    /// The time of its turns.
    now: Time,
    _poll: Poll,
}

/// The time of the first turn: so late that the loop may poll in vain.
fn now() -> Time {
    Time::from_nanoseconds(1_000_000_000)
}

impl ManualLoop {
    fn new() -> ManualLoop {
        let poll = Poll::new().unwrap();
        let registry = poll.registry().try_clone().unwrap();
        let server = Server::new(Epoch(Uuid::from_u128(1)), Limits::default(), registry);
        ManualLoop { server, now: now(), _poll: poll }
    }

    /// A client with a session, and its slot.
    fn session(&mut self) -> (RawClient, ConnectionSlot) {
        let (stream, theirs) = UnixStream::pair().unwrap();
        theirs.set_nonblocking(true).unwrap();
        let slot = self.server.table.len();
        self.server.admit(theirs.into());
        let mut peer = RawClient::over(stream);
        peer.send_hello(&Hello::new(std::process::id(), "test"));
        self.turn([slot]);
        assert!(matches!(peer.greeting(), Some(Greeting::Welcome { .. })));
        (peer, slot)
    }

    /// Sends a client's request, and has a turn of its own answer it.
    fn call(&mut self, peer: &mut RawClient, slot: ConnectionSlot, body: Request<'_>) {
        peer.send(body);
        self.turn([slot]);
        assert!(!matches!(peer.answer().unwrap().body, Reply::Refused(_)));
    }

    fn turn(&mut self, readable: impl IntoIterator<Item = ConnectionSlot>) {
        self.begin_turn(readable);
        self.server.end_turn();
    }

    fn begin_turn(&mut self, readable: impl IntoIterator<Item = ConnectionSlot>) {
        self.server.begin_turn(self.now);
        readable.into_iter().for_each(|slot| self.server.readable(slot, false));
    }

    /// How many bytes wait to be sent to a client.
    fn pending(&mut self, slot: ConnectionSlot) -> usize {
        self.server.table.get_mut(slot).unwrap().output.pending()
    }
}

#[test]
fn all_that_a_turn_says_to_a_peer_leaves_in_one_write() {
    // As many as one input serves.
    const WAITS: usize = 500;
    let mut manual = ManualLoop::new();
    let mut crowds: Vec<(RawClient, ConnectionSlot)> = (0..4).map(|_| manual.session()).collect();
    let (mut setter, setter_slot) = manual.session();
    manual.call(&mut setter, setter_slot, open_event(1, "gate"));
    for (peer, slot) in &mut crowds {
        for _ in 0..WAITS {
            peer.send(wait_for(Target::Event { id: object(1) }, None));
            manual.turn([*slot]);
        }
        assert_eq!(manual.pending(*slot), 0, "they wait");
    }
    setter.send(Request::EventSet { id: object(1), reason: None });
    manual.begin_turn([setter_slot]);
    // All of the answers are there before the first write, and there is one write to each peer.
    let slots: Vec<ConnectionSlot> = crowds.iter().map(|(_, slot)| *slot).collect();
    let to_flush = &manual.server.to_flush;
    assert_eq!(*to_flush, [slots.as_slice(), &[setter_slot]].concat());
    for slot in slots {
        assert!(manual.pending(slot) > WAITS, "at least a byte for each answer");
    }
    manual.server.end_turn();
    assert!(manual.server.to_flush.is_empty());
    for (peer, slot) in &mut crowds {
        assert_eq!(manual.pending(*slot), 0, "one write has taken it all");
        for _ in 0..WAITS {
            let Reply::Taken(taken) = peer.answer().unwrap().body else { panic!("not taken") };
            assert!(matches!(taken.grants[..], [Grant::Event(_)]));
        }
    }
    assert_eq!(setter.answer().unwrap().body, Reply::Done);
}

#[test]
fn a_peer_that_was_answered_alone_is_expected_and_none_of_several() {
    let mut manual = ManualLoop::new();
    let (mut first, first_slot) = manual.session();
    let (mut second, second_slot) = manual.session();
    manual.call(&mut first, first_slot, open_event(1, "gate"));
    manual.call(&mut second, second_slot, open_event(2, "gate"));
    let ask = Request::EventIsSet { id: object(1) };
    manual.call(&mut first, first_slot, ask.clone());
    assert_eq!(manual.server.expected(), None, "it is new");
    for _ in 0..100 {
        manual.server.note_return(PollSource::Socket(first_slot), now().after_ns(50_000));
    }
    for _ in 0..2 {
        manual.call(&mut first, first_slot, ask.clone());
        assert_eq!(manual.server.expected(), Some(first_slot));
        manual.server.note_poll(first_slot, PollOutcome::Came);
    }

    for peer in [&mut first, &mut second] {
        peer.send(ask.clone());
    }
    manual.turn([first_slot, second_slot]);
    assert_eq!(manual.server.expected(), None);

    // No peer is answered, as this one only waits.
    first.send(wait_for(Target::Event { id: object(1) }, None));
    manual.turn([first_slot]);
    assert_eq!(manual.server.expected(), None);
}

#[test]
fn a_peer_that_is_not_known_to_be_this_user_is_forbidden() {
    let user = sys::process::effective_user();
    let process = Some(std::process::id());
    let identities: [(io::Result<PeerIdentity>, String); 3] = [
        (
            Ok(PeerIdentity { process, user: Some(user + 1) }),
            format!("this client belongs to user {}", user + 1),
        ),
        (
            Ok(PeerIdentity { process, user: None }),
            "this client belongs to a user that the system does not name".to_owned(),
        ),
        (Err(io::Error::other("no such thing")), "no such thing".to_owned()),
    ];
    for (identity, expected) in identities {
        let mut manual = ManualLoop::new();
        let (stream, theirs) = UnixStream::pair().unwrap();
        manual.server.admit_as(theirs.into(), identity);
        manual.turn([]);
        let mut peer = RawClient::over(stream);
        let refusal = peer.refused_greeting();
        assert_eq!(refusal.code, Code::Forbidden, "{refusal}");
        assert!(refusal.text.contains(&expected), "{refusal}");
        peer.expect_end();
    }
}

#[test]
fn a_hello_may_take_all_of_its_time() {
    let mut manual = ManualLoop::new();
    let (stream, theirs) = UnixStream::pair().unwrap();
    manual.server.begin_turn(now());
    manual.server.admit(theirs.into());
    manual.server.end_turn();
    let time_ns = nanoseconds(HELLO_TIME_MAX);
    manual.server.begin_turn(now().after_ns(time_ns - 1));
    manual.server.end_turn();
    assert_eq!(manual.server.table.get_mut(0).unwrap().phase, Phase::Fresh);
    manual.server.begin_turn(now().after_ns(time_ns));
    manual.server.end_turn();
    let refusal = RawClient::over(stream).refused_greeting();
    assert_eq!(refusal.code, Code::Protocol, "{refusal}");
    assert!(refusal.text.contains("10s"), "{refusal}");
}

#[test]
fn a_peer_may_leave_as_many_bytes_unread_as_the_limit_says() {
    let mut manual = ManualLoop::new();
    let (mut peer, slot) = manual.session();
    manual.call(&mut peer, slot, open_event(1, "gate"));
    let mut ask = |manual: &mut ManualLoop| {
        peer.send(Request::EventIsSet { id: object(1) });
        manual.turn([slot]);
        manual.pending(slot)
    };
    // Until the kernel takes no more.
    while ask(&mut manual) == 0 {}
    let before = ask(&mut manual);
    let answer = ask(&mut manual) - before;
    manual.server.limits.output_bytes_max = before + 2 * answer;
    assert_eq!(ask(&mut manual), before + 2 * answer);
    let phase = |manual: &mut ManualLoop| manual.server.table.get_mut(slot).unwrap().phase;
    assert!(matches!(phase(&mut manual), Phase::Session(_)), "it is at the limit");
    manual.server.limits.output_bytes_max += answer - 1;
    ask(&mut manual);
    assert_eq!(phase(&mut manual), Phase::FinalRefusal, "it is over the limit by a byte");
}

/// What the buffers of all connections take.
fn buffered(manual: &ManualLoop) -> usize {
    manual.server.table.iter().map(|(_, connection)| connection.buffered()).sum()
}

/// Has a client leave answers unread until some wait in the manager.
fn leave_unread(manual: &mut ManualLoop, peer: &mut RawClient, slot: ConnectionSlot) {
    while manual.pending(slot) < 4096 {
        peer.send(Request::EventIsSet { id: object(1) });
        manual.turn([slot]);
    }
}

/// Sends this much of a frame that has more.
fn send_part(manual: &mut ManualLoop, peer: &mut RawClient, slot: ConnectionSlot, bytes: usize) {
    peer.send_bytes(&(1_u32 << 20).to_le_bytes());
    for _ in 0..bytes / 1024 {
        peer.send_bytes(&[0; 1024]);
        manual.turn([slot]);
    }
}

#[test]
fn the_memory_of_all_buffers_is_counted_until_it_is_given_back() {
    let mut manual = ManualLoop::new();
    let (mut deaf, deaf_slot) = manual.session();
    manual.call(&mut deaf, deaf_slot, open_event(1, "gate"));
    let (mut halting, halting_slot) = manual.session();
    let (mut leaving, leaving_slot) = manual.session();
    assert_eq!(manual.server.buffered, 0);

    leave_unread(&mut manual, &mut deaf, deaf_slot);
    let unread = manual.server.buffered;
    assert!(unread >= 4096 && unread == buffered(&manual), "{unread}");
    send_part(&mut manual, &mut halting, halting_slot, 100 << 10);
    send_part(&mut manual, &mut leaving, leaving_slot, 10 << 10);
    let all = manual.server.buffered;
    assert!(all >= unread + (110 << 10) && all == buffered(&manual), "{all}");

    // One finishes its frame, which is no request; one reads; one goes.
    halting.send_bytes(&vec![0; (1 << 20) - (100 << 10)][..100 << 10]);
    while manual.pending(deaf_slot) > 0 {
        deaf.answer().unwrap();
        manual.server.writable(deaf_slot);
        manual.turn([]);
    }
    drop(leaving);
    for _ in 0..20 {
        manual.turn([halting_slot, leaving_slot]);
    }
    assert_eq!(manual.server.buffered, buffered(&manual));
    drop(halting);
    manual.turn([halting_slot]);
    assert_eq!((manual.server.buffered, buffered(&manual)), (0, 0));
}

#[test]
fn when_all_buffers_take_too_much_the_client_that_has_held_most_for_longest_is_cut_off() {
    let mut manual = ManualLoop::new();
    let (mut deaf, deaf_slot) = manual.session();
    manual.call(&mut deaf, deaf_slot, open_event(1, "gate"));
    leave_unread(&mut manual, &mut deaf, deaf_slot);
    let (mut sender, sender_slot) = manual.session();
    let phase = |manual: &mut ManualLoop, slot| manual.server.table.get_mut(slot).unwrap().phase;

    // A minute later another client sends a frame that is larger than what waits for the first one.
    manual.now = now().after_ns(60_000_000_000);
    send_part(&mut manual, &mut sender, sender_slot, 60 << 10);
    let all = manual.server.buffered;
    assert!(all > 60 << 10);
    manual.server.limits.memory_bytes_max = 4 * all;
    manual.server.limit_buffers();
    assert!(matches!(phase(&mut manual, deaf_slot), Phase::Session(_)), "it is at the limit");

    manual.server.limits.memory_bytes_max = 4 * (all - 1);
    manual.server.limit_buffers();
    assert_eq!(phase(&mut manual, deaf_slot), Phase::FinalRefusal, "it is over the limit by a byte");
    assert!(matches!(phase(&mut manual, sender_slot), Phase::Session(_)));
    assert_eq!(manual.server.buffered, buffered(&manual));

    // Nor may a frame alone be larger.
    manual.server.limits.memory_bytes_max = 4 << 10;
    manual.server.limit_buffers();
    manual.turn([]);
    let refusal = sender.last_refusal();
    assert_eq!(refusal.code, Code::LimitReached);
    assert!(refusal.text.contains("1024 bytes"), "{refusal}");
    sender.expect_end();
}

#[test]
fn a_few_sessions_defer_releases_if_there_is_little_memory() {
    let mut manual = ManualLoop::new();
    manual.server.limits.memory_bytes_max = 4 * 16 * 1024;
    let share = Request::Share { memory: protocol::SharedMemory::DeferredReleases };
    for _ in 0..2 {
        let (mut peer, slot) = manual.session();
        manual.call(&mut peer, slot, share.clone());
    }
    let (mut peer, slot) = manual.session();
    peer.send(share);
    manual.turn([slot]);
    let Reply::Refused(refusal) = peer.answer().unwrap().body else { panic!("not refused") };
    assert_eq!(refusal.code, Code::LimitReached, "{refusal}");
}
