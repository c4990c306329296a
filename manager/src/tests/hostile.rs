//! Clients that have a manager keep as much as it will: its memory stays within bounds, and others are served.

use std::fs;
use std::io::Write;
use std::time::Duration;

use protocol::limits::{NAME_BYTES_MAX, REASON_BYTES_MAX};
use protocol::{
    CallsOutcome, Chunk, Code, Limits, OpenMode, Outcome, Refusal, Reply, Request, Spec, Target, ThreadId,
    WaitMode,
};

use super::manager_process::ManagerProcess;
use super::processes::LITTLE_MEMORY;
use super::raw_client::{RawClient, done, object, open, open_anonymous, open_batch, open_event};
use super::timeouts::eventually;

/// How many hundredths of its limit the manager may take. What it promises is twice the limit.
const HUNDREDTHS_MAX: usize = 160;

/// How many requests an attacker sends before it reads.
const AT_ONCE: usize = 16;

/// How many bytes of memory a process has, by a line of what the kernel says of it.
fn memory(process: u32, which: &str) -> usize {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(which)).expect("a line of the kernel's");
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() << 10
}

/// The most bytes of memory that a process has had so far.
fn most_memory(process: u32) -> usize {
    memory(process, "VmHWM:")
}

/// Sends requests until one is refused for want of memory. Returns about how many were not.
fn fill<'a>(peer: &mut RawClient, mut request: impl FnMut(usize) -> Request<'a>) -> usize {
    for number in 0.. {
        peer.send(request(number));
        if number % AT_ONCE != 0 {
            continue;
        }
        // A wait is answered only if it is refused; the request behind it always is.
        peer.send(Request::EventIsSet { id: object(1) });
        let mut is_full = false;
        loop {
            match peer.answer().unwrap().body {
                Reply::Flag(_) if is_full => return number,
                Reply::Flag(_) => break,
                Reply::Refused(Refusal { code: Code::LimitReached, .. }) => is_full = true,
                Reply::Refused(refusal) => panic!("{refusal}"),
                _ => {}
            }
        }
    }
    unreachable!("a manager has an end");
}

/// Runs calls of batch 27 in pool 26 until a result is not taken, or a call. Returns how many were.
fn fill_with_results(peer: &mut RawClient, result: &[u8]) -> u64 {
    for first in 0.. {
        let call = Chunk { arguments: b"\0", carries: vec![], calls: 1 };
        match peer.call(Request::BatchAdd { id: object(27), chunks: vec![call], last: false }) {
            Reply::Refused(refusal) if refusal.code == Code::LimitReached => return first,
            Reply::Done => {}
            other => panic!("{other:?}"),
        }
        let wait = super::raw_client::wait_for(Target::Calls { pool: object(26), most: 1 }, Some(0));
        assert!(matches!(peer.call(wait), Reply::Taken(_)));
        let end = CallsOutcome { calls: 1, outcome: Outcome::Returned(result) };
        done(peer, Request::CallsEnd { batch: object(27), first, ends: [end].into(), carries: vec![] });
        let Reply::Progress(progress) = peer.call(Request::BatchProgress { id: object(27) }) else {
            panic!("a batch has a progress")
        };
        if progress.failed > 100 {
            return first;
        }
    }
    unreachable!("a manager has an end");
}

/// A manager with little memory that is attacked, and a client that is not to notice.
struct AttackedManager {
    manager: ManagerProcess,
    innocent: RawClient,
    /// The most memory that the manager had before the attacks.
    before: usize,
}

impl AttackedManager {
    fn new() -> AttackedManager {
        let manager = ManagerProcess::start_as("manager with little memory");
        let mut innocent = manager.session();
        done(&mut innocent, open_event(1, "loud"));
        done(&mut innocent, set_loud());
        done(&mut innocent, open_event(2, "never"));
        done(&mut innocent, open_anonymous(3, Spec::Queue { capacity: None, is_joinable: false }));
        let before = most_memory(manager.process());
        AttackedManager { manager, innocent, before }
    }

    /// Looks what the manager has taken so far, and whether it serves the innocent client.
    fn check(&mut self, what: &str) {
        done(&mut self.innocent, set_loud());
        done(&mut self.innocent, Request::EventIsSet { id: object(1) });
        let grown = most_memory(self.manager.process()) - self.before;
        println!("{what}: {} KiB of {} KiB", grown >> 10, LITTLE_MEMORY >> 10);
        assert!(grown < LITTLE_MEMORY / 100 * HUNDREDTHS_MAX, "{what}: {grown} bytes");
    }

    /// Waits until most of the memory is free.
    fn until_free(&mut self) {
        let innocent = &mut self.innocent;
        let item = vec![0; 6 << 20];
        let put = || Request::Wait {
            mode: WaitMode::Any,
            targets: [Target::Put { queue: object(3), item: &item, carries: vec![] }].into(),
            timeout_ns: Some(0),
            thread: ThreadId(1),
        };
        eventually("there is room again", || {
            let put = (0..3).take_while(|_| matches!(innocent.call(put()), Reply::Taken(_))).count();
            for _ in 0..put {
                let get = super::raw_client::wait_for(Target::Get { queue: object(3) }, Some(0));
                assert!(matches!(innocent.call(get), Reply::Taken(_)));
            }
            done(innocent, Request::EventIsSet { id: object(1) });
            (put == 3).then_some(())
        });
    }

    /// Objects with long names, which stay when their makers have gone: so they are removed.
    fn objects_with_long_names(&mut self) {
        let mut attacker = self.manager.session();
        let name = |number: usize| format!("{number:0>NAME_BYTES_MAX$}");
        let barrier = Spec::Barrier { parties: 2 };
        let made = (0..).take_while(|&number| {
            let name = name(number);
            let request = open(1000 + number as u128, Some(&name), barrier, OpenMode::CreateNew);
            !matches!(attacker.call(request), Reply::Refused(_))
        });
        let made = made.count();
        self.check(&format!("{made} objects"));
        (0..made)
            .for_each(|number| done(&mut attacker, Request::Remove { id: object(1000 + number as u128) }));
        self.until_free();
    }

    /// Requests that wait in a queue.
    fn requests_that_wait(&mut self) {
        let mut attacker = self.manager.session();
        let targets_max = Limits::default().wait_targets_max;
        let waits = fill(&mut attacker, |number| Request::Wait {
            mode: WaitMode::Any,
            targets: std::iter::repeat_n(
                Target::Event { id: object(2) },
                if number % 2 == 0 { 1 } else { targets_max },
            )
            .collect(),
            timeout_ns: Some(u64::MAX / 2),
            thread: ThreadId(number as u64),
        });
        self.check(&format!("{waits} requests that wait"));
        drop(attacker);
        self.until_free();
    }

    /// Empty items, and such that carry much.
    fn items(&mut self) {
        let mut attacker = self.manager.session();
        done(&mut attacker, open_anonymous(20, Spec::Queue { capacity: None, is_joinable: true }));
        let items = fill(&mut attacker, |number| Request::Wait {
            mode: WaitMode::Any,
            targets: [Target::Put { queue: object(20), item: b"", carries: vec![object(1); number % 100] }]
                .into(),
            timeout_ns: None,
            thread: ThreadId(0),
        });
        self.check(&format!("{items} items"));
        drop(attacker);
        self.until_free();
    }

    /// Large items.
    fn large_items(&mut self) {
        let mut attacker = self.manager.session();
        done(&mut attacker, open_anonymous(25, Spec::Queue { capacity: None, is_joinable: false }));
        let bytes = vec![7; 1 << 20];
        let items = fill(&mut attacker, |number| Request::Wait {
            mode: WaitMode::Any,
            targets: [Target::Put {
                queue: object(25),
                item: &bytes[..(number * 100_000) % (1 << 20)],
                carries: vec![],
            }]
            .into(),
            timeout_ns: None,
            thread: ThreadId(0),
        });
        self.check(&format!("{items} large items"));
        drop(attacker);
        self.until_free();
    }

    /// Results that nobody fetches.
    fn results(&mut self) {
        let mut attacker = self.manager.session();
        done(&mut attacker, open_anonymous(26, Spec::Pool));
        done(&mut attacker, open_batch(27, 26, 28, "f"));
        let result = [&[0xd0, 0x86, 0x03][..], &vec![7; 50_000]].concat();
        let results = fill_with_results(&mut attacker, &result);
        self.check(&format!("{results} results"));
        drop(attacker);
        self.until_free();
    }

    /// Calls that carry much. These stay, while others do not read, and others send half a frame.
    fn calls_and_peers_that_halt(&mut self) {
        let mut attacker = self.manager.session();
        done(&mut attacker, open_anonymous(30, Spec::Pool));
        done(&mut attacker, open_batch(31, 30, 32, "f"));
        let chunks = fill(&mut attacker, |_| {
            let chunk = Chunk { arguments: b"\0", carries: vec![object(1); 1000], calls: 1 };
            Request::BatchAdd { id: object(31), chunks: vec![chunk; 10], last: false }
        });
        self.check(&format!("{chunks} times ten tasks"));

        // As many chunks as a frame can have, and all of them empty.
        let chunk = Chunk { arguments: b"", carries: vec![], calls: 1 };
        let request = Request::BatchAdd { id: object(31), chunks: vec![chunk; 2 << 20], last: false };
        let Reply::Refused(refusal) = attacker.call(request) else { panic!("too many chunks were taken") };
        assert_eq!(refusal.code, Code::LimitReached);
        self.check("a frame of empty chunks");

        let mut crowd: Vec<RawClient> = (0..20).map(|_| self.manager.session()).collect();
        for peer in &mut crowd {
            peer.stream.set_write_timeout(Some(Duration::from_millis(50))).unwrap();
            for _ in 0..3000 {
                let bytes = peer.frame(Request::EventCause { id: object(1) });
                if peer.stream.write_all(&bytes).is_err() {
                    break;
                }
            }
        }
        self.check("answers that are not read");

        let mut halting: Vec<RawClient> = (0..20).map(|_| self.manager.session()).collect();
        for peer in &mut halting {
            peer.stream.set_write_timeout(Some(Duration::from_millis(50))).unwrap();
            let _ = peer.stream.write_all(&(8_u32 << 20).to_le_bytes());
            let _ = peer.stream.write_all(&vec![0; 4 << 20]);
        }
        self.check("half frames");
        drop((attacker, crowd, halting));
        self.until_free();
        eventually("the memory goes back to the system", || {
            let left = memory(self.manager.process(), "VmRSS:").saturating_sub(self.before);
            (left < LITTLE_MEMORY / 4 * 3).then_some(())
        });
    }
}

/// Sets the first event, with the longest reason.
fn set_loud() -> Request<'static> {
    static REASON: [u8; REASON_BYTES_MAX] = [b'x'; REASON_BYTES_MAX];
    let reason = std::str::from_utf8(&REASON).expect("these are letters");
    Request::EventSet { id: object(1), reason: Some(reason) }
}

#[test]
fn hostile_clients_take_no_more_memory_than_a_manager_may_use_and_keep_nobody_from_it() {
    let mut attacked = AttackedManager::new();
    attacked.objects_with_long_names();
    attacked.requests_that_wait();
    attacked.items();
    attacked.large_items();
    attacked.results();
    attacked.calls_and_peers_that_halt();
}
