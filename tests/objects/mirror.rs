//! Mirrors: shared memory shows what a round trip would show, and nothing once the manager is dead.

use std::fs::{self, File};
use std::io::{IoSliceMut, Write};
use std::mem::MaybeUninit;
use std::process::Command;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use client::Event;
use memmap2::MmapOptions;
use protocol::{Answer, Envelope, Reply, Request, RequestId, SharedMemory, append_frame, decode};
use rustix::io::Errno;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use rustix::process::Signal;

use crate::faults::malformed_peers::RawPeer;
use crate::support::remote_client::{ClientReport, EventOrder, RemoteClient};
use crate::support::{ManagerProgram, PATIENCE, apply, eventually, private_folder, serve_by, state, test};

/// The time within which everybody knows that the manager is gone.
const SOON: Duration = Duration::from_secs(1);

#[apply(test)]
fn shows_what_another_process_has_set_as_soon_as_that_returns() {
    let program = ManagerProgram::start();
    let mut client = RemoteClient::with_event(&program, "flag", false);
    let mirror = program.connect().event("flag").unwrap().mirror().unwrap();
    assert!(mirror.is_mapped());
    for _ in 0..500 {
        assert_eq!(mirror.is_set(), Ok(false));
        assert_eq!(client.ask(EventOrder::Set { reason: None }), Ok(ClientReport::Done));
        assert_eq!(mirror.is_set(), Ok(true));
        assert_eq!(mirror.wait(None), Ok(true));
        assert_eq!(client.ask(EventOrder::Clear), Ok(ClientReport::Done));
    }
}

#[apply(test)]
fn wakes_all_waiters_even_if_a_clear_follows_at_once() {
    const WAITERS: usize = 8;
    let program = ManagerProgram::start();
    let mut client = RemoteClient::with_event(&program, "flag", false);
    let mirror = program.connect().event("flag").unwrap().mirror().unwrap();
    let (sender, receiver) = mpsc::channel();
    for _ in 0..WAITERS {
        let (mirror, sender) = (mirror.clone(), sender.clone());
        thread::spawn(move || sender.send(mirror.wait(None)).unwrap());
    }
    let started = Instant::now();
    let mut woken = 0;
    // A thread that has not started to wait misses a set that is cleared, so there is more than one set.
    while woken < WAITERS {
        assert!(started.elapsed() < PATIENCE, "{woken} of {WAITERS} were woken");
        assert_eq!(client.ask(EventOrder::Set { reason: None }), Ok(ClientReport::Done));
        assert_eq!(client.ask(EventOrder::Clear), Ok(ClientReport::Done));
        while let Ok(outcome) = receiver.try_recv() {
            assert_eq!(outcome, Ok(true));
            woken += 1;
        }
    }
    assert_eq!(mirror.is_set(), Ok(false));
}

#[apply(test)]
fn shows_a_sleeper_a_set_that_was_cleared_before_it_woke() {
    let program = ManagerProgram::start();
    let event = program.connect().event("flag").unwrap();
    let mut sleeper = RemoteClient::with_event(&program, "flag", false);
    assert_eq!(sleeper.ask(EventOrder::Mirror), Ok(ClientReport::Done));
    for round in 0..5 {
        sleeper.tell(EventOrder::Watch { timeout: PATIENCE });
        eventually("it sleeps on the flag", || sleeps_on_a_futex(sleeper.process()));
        // So it has looked, and looks again only after both the set and the clear.
        sleeper.stop();
        event.set().unwrap();
        event.clear().unwrap();
        sleeper.go_on();
        assert_eq!(sleeper.report(), Ok(ClientReport::Flag(true)), "round {round}");
        assert_eq!(event.is_set(), Ok(false));
    }
    // A wait does not end for a set that happened before it.
    assert_eq!(sleeper.ask(EventOrder::Watch { timeout: Duration::ZERO }), Ok(ClientReport::Flag(false)));
}

/// Whether the main thread of a process is in the system call that waits for a word of memory to change.
fn sleeps_on_a_futex(process: u32) -> bool {
    let folder = format!("/proc/{process}");
    // "running", or the number of the system call and its arguments.
    let call = fs::read_to_string(format!("{folder}/syscall")).unwrap();
    let number = call.split(' ').next().and_then(|number| number.parse().ok());
    number == Some(libc::SYS_futex) && state(folder.as_ref()) == Some('S')
}

#[apply(test)]
fn a_wait_ends_at_its_timeout() {
    let program = ManagerProgram::start();
    let mirror = program.connect().event("never").unwrap().mirror().unwrap();
    // A sleeper checks whether the manager lives more often than this.
    let timeout = Duration::from_millis(1200);
    let started = Instant::now();
    assert_eq!(mirror.wait(timeout), Ok(false));
    assert!(started.elapsed() >= timeout);
    assert_eq!(mirror.wait(Duration::ZERO), Ok(false));
    mirror.event().set().unwrap();
    assert_eq!(mirror.wait(Duration::ZERO), Ok(true));
    assert_eq!(mirror.wait(Duration::MAX), Ok(true), "centuries are fine");
}

#[apply(test)]
fn of_a_killed_manager_shows_nothing() {
    shows_nothing_after(Signal::KILL);
}

#[apply(test)]
fn of_a_manager_that_ended_shows_nothing() {
    shows_nothing_after(Signal::TERM);
}

fn shows_nothing_after(signal: Signal) {
    let mut program = ManagerProgram::start();
    let manager = program.connect();
    let set = manager.event("set").unwrap();
    set.set().unwrap();
    let (set, never) = (set.mirror().unwrap(), manager.event("never").unwrap().mirror().unwrap());
    assert_eq!((set.is_set(), never.is_set()), (Ok(true), Ok(false)));
    let waiter = thread::spawn({
        let never = never.clone();
        move || never.wait(None)
    });
    program.running.signal(signal);
    program.running.wait();
    let ended = Instant::now();
    // The kernel may still be finishing its work for a process whose status was fetched.
    eventually("the mirror knows", || set.is_set().is_err());
    assert!(ended.elapsed() < SOON);
    for mirror in [&set, &never] {
        assert!(mirror.is_set().unwrap_err().is_manager_gone());
        assert!(mirror.wait(None).unwrap_err().is_manager_gone());
    }
    assert!(waiter.join().unwrap().unwrap_err().is_manager_gone());
    assert!(ended.elapsed() < SOON, "it took {:?}", ended.elapsed());

    // The next manager at the socket is another, whose memory is another.
    program.restart();
    let again = program.connect().event("set").unwrap().mirror().unwrap();
    assert_eq!(again.is_set(), Ok(false));
    assert!(set.is_set().unwrap_err().is_manager_gone());
}

#[apply(test)]
fn of_a_removed_event_shows_nothing_though_its_place_is_used_again() {
    let program = ManagerProgram::start();
    let manager = program.connect();
    let mirror = manager.event("gone").unwrap().mirror().unwrap();
    let place = place_of(mirror.event());
    let waiter = thread::spawn({
        let mirror = mirror.clone();
        move || mirror.wait(None)
    });
    manager.event("gone").unwrap().remove().unwrap();
    let error = waiter.join().unwrap().unwrap_err();
    assert!(error.is_removed() || error.is_no_such_object(), "{error:?}");
    let mut next = manager.anonymous_event().unwrap();
    let mut others = Vec::new();
    while place_of(&next) != place {
        others.push(std::mem::replace(&mut next, manager.anonymous_event().unwrap()));
        assert!(others.len() < 1000, "the place is never used again");
    }
    let of_next = next.mirror().unwrap();
    for is_set in [true, false] {
        if is_set { next.set() } else { next.clear() }.unwrap();
        assert_eq!(of_next.is_set(), Ok(is_set));
        assert!(mirror.is_set().unwrap_err().is_no_such_object());
    }
    assert!(mirror.is_set().unwrap_err().is_no_such_object());
    assert!(mirror.wait(None).unwrap_err().is_no_such_object());
    assert!(mirror.event().mirror().unwrap_err().is_no_such_object());
}

/// Where an event is in the mirror of its manager.
fn place_of(event: &Event) -> u32 {
    let reference = event.reference();
    match reference.link().unwrap().call(Request::EventMirror { id: reference.id() }) {
        Ok(Reply::Mirrored { number, .. }) => number,
        answer => panic!("there is no mirror: {answer:?}"),
    }
}

#[apply(test)]
fn keeps_an_event_without_a_name() {
    let program = ManagerProgram::start();
    let event = program.connect().anonymous_event().unwrap();
    let mirror = event.mirror().unwrap();
    event.set().unwrap();
    drop(event);
    assert_eq!(mirror.is_set(), Ok(true));
    assert_eq!(mirror.event().clear(), Ok(()));
    assert_eq!(mirror.is_set(), Ok(false));
}

#[apply(test)]
fn does_not_exist_for_an_event_with_auto_reset() {
    let program = ManagerProgram::start();
    let turn = program.connect().event_options().auto_reset(true).create_new("turn").unwrap();
    let error = turn.mirror().unwrap_err();
    assert!(error.is_wrong_parameters(), "{error:?}");
    assert!(error.to_string().contains("\"turn\""), "{error}");
}

#[apply(test)]
fn of_thousands_of_events_each_shows_its_own() {
    let program = ManagerProgram::start();
    let manager = program.connect();
    let mirrors: Vec<_> = (0..3000).map(|_| manager.anonymous_event().unwrap().mirror().unwrap()).collect();
    for (number, mirror) in mirrors.iter().enumerate() {
        if number % 3 == 0 {
            mirror.event().set().unwrap();
        }
    }
    for (number, mirror) in mirrors.iter().enumerate() {
        assert_eq!(mirror.is_set(), Ok(number % 3 == 0), "event {number}");
    }
}

#[apply(test)]
fn cannot_be_written_by_clients() {
    let program = ManagerProgram::start();
    let mirror = program.connect().event("flag").unwrap().mirror().unwrap();
    let (memory, bytes) = memory_of(&program);
    let is_refused = |outcome: std::io::Result<()>| {
        let errno = outcome.as_ref().err().and_then(Errno::from_io_error);
        assert!(matches!(errno, Some(Errno::PERM | Errno::ACCESS)), "{outcome:?}");
    };
    is_refused(MmapOptions::new().len(bytes).map_raw(&memory).map(drop));
    is_refused((&memory).write_all(&[0xff; 8]));
    is_refused(memory.set_len(0));
    is_refused(memory.set_len(2 * bytes as u64));
    // Nor can a client write to it after it has had the kernel open it again.
    let link = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&memory));
    let again = File::options().read(true).write(true).open(link).unwrap();
    is_refused(MmapOptions::new().len(bytes).map_raw(&again).map(drop));
    is_refused((&again).write_all(&[0xff; 8]));
    // It is the real memory, and unchanged.
    assert!(MmapOptions::new().len(bytes).map_raw_read_only(&memory).is_ok());
    assert_eq!(mirror.is_set(), Ok(false));
    mirror.event().set().unwrap();
    assert_eq!(mirror.is_set(), Ok(true));
}

/// The mirror's memory as a bare descriptor, with which a peer may do what it likes.
fn memory_of(program: &ManagerProgram) -> (File, usize) {
    let mut peer = RawPeer::in_session(&program.socket);
    let share = Request::Share { memory: SharedMemory::Mirror };
    let mut frame = Vec::new();
    append_frame(&mut frame, &Envelope { request: RequestId(1), received: 0, body: share }).unwrap();
    peer.send(&frame);

    let (mut answer, mut space) = ([0; 256], [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))]);
    let mut enclosed = RecvAncillaryBuffer::new(&mut space);
    let slices = &mut [IoSliceMut::new(&mut answer)];
    let received = recvmsg(&peer.stream, slices, &mut enclosed, RecvFlags::CMSG_CLOEXEC).unwrap();
    let descriptor = enclosed.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
        _ => None,
    });
    // A frame begins with its length.
    let answer: Answer = decode(&answer[4..received.bytes]).unwrap();
    let Answer { body: Reply::Shared { bytes }, .. } = answer else { panic!("not shared: {answer:?}") };
    (descriptor.expect("a descriptor comes with it").into(), usize::try_from(bytes).unwrap())
}

#[apply(test)]
fn without_memory_to_share_each_look_is_a_round_trip() {
    let folder = private_folder();
    let socket = folder.path().join("own/manager.sock");
    // The limit on the size of files keeps the manager from making shared memory. Its log goes nowhere, since a log
    // file could exceed the limit.
    let script = r#"ulimit -f 1 && exec "$0" "$@" 2>/dev/null"#;
    let manager = env!("CARGO_BIN_EXE_manager");
    let mut running = serve_by(Command::new("sh").args(["-c", script, manager]), &socket);
    let manager = client::Manager::connect_to(&socket).unwrap();
    let mirror = manager.event("flag").unwrap().mirror().unwrap();
    assert!(!mirror.is_mapped());
    assert_eq!((mirror.is_set(), mirror.wait(Duration::from_millis(20))), (Ok(false), Ok(false)));
    let waiter = thread::spawn({
        let mirror = mirror.clone();
        move || mirror.wait(None)
    });
    mirror.event().set().unwrap();
    assert_eq!((mirror.is_set(), mirror.wait(None)), (Ok(true), Ok(true)));
    assert_eq!(waiter.join().unwrap(), Ok(true));
    mirror.event().clear().unwrap();
    assert_eq!(mirror.is_set(), Ok(false));

    let turn = manager.event_options().auto_reset(true).create_new("turn").unwrap();
    assert!(turn.mirror().unwrap_err().is_wrong_parameters());
    let lock = manager.lock("lock").unwrap();
    for _ in 0..3 {
        drop(lock.acquire().unwrap());
    }

    let removed = manager.event("gone").unwrap().mirror().unwrap();
    manager.event("gone").unwrap().remove().unwrap();
    assert!(removed.is_set().unwrap_err().is_no_such_object());
    running.signal(Signal::KILL);
    running.wait();
    assert!(mirror.is_set().unwrap_err().is_manager_gone());
    assert!(mirror.wait(None).unwrap_err().is_manager_gone());
}
