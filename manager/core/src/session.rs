//! What the core knows of one client process: what it refers to, waits for, runs, and has not confirmed.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::string::ToString;
use alloc::sync::Arc;
use alloc::vec::Vec;

use protocol::{ObjectId, RequestId, SessionId};

use crate::object::Held;
use crate::slab::Key;
use crate::{Cause, Ending, Peer, State};

/// One client process.
#[derive(Debug)]
pub(crate) struct Session {
    /// Its process id.
    pub(crate) process: u32,
    /// The name of its program.
    pub(crate) program: Arc<str>,
    /// How many proxies of each object it holds.
    pub(crate) references: BTreeMap<ObjectId, Held>,
    /// Its blocked requests in ascending order, and their waiters.
    pub(crate) waits: VecDeque<(RequestId, Key)>,
    /// The tasks it runs: batch and number.
    pub(crate) running: Vec<(ObjectId, u32)>,
    /// The batches it made that are not complete.
    pub(crate) batches: Vec<ObjectId>,
    /// How many answers it was sent.
    pub(crate) answers: u64,
    /// What it was granted and may not have received, in the order of the answers that brought it.
    unconfirmed: VecDeque<(u64, Unconfirmed)>,
}

/// A grant that is used up by being granted, and would be lost with the process that it is on its way to.
#[derive(Debug)]
pub(crate) enum Unconfirmed {
    /// An auto-reset event was cleared by it.
    Event(ObjectId),
}

impl Session {
    fn new(peer: Peer) -> Session {
        Session {
            process: peer.process,
            program: peer.program.into(),
            references: BTreeMap::new(),
            waits: VecDeque::new(),
            running: Vec::new(),
            batches: Vec::new(),
            answers: 0,
            unconfirmed: VecDeque::new(),
        }
    }

    /// Notes that the next answer to this session brings a grant that must not be lost.
    pub(crate) fn grant_unconfirmed(&mut self, grant: Unconfirmed) {
        self.unconfirmed.push_back((self.answers + 1, grant));
    }

    /// Takes note that the client has read this many answers. False if it claims more than it was sent.
    pub(crate) fn confirm(&mut self, received: u64) -> bool {
        while self.unconfirmed.front().is_some_and(|(answer, _)| *answer <= received) {
            self.unconfirmed.pop_front();
        }
        received <= self.answers
    }

    /// Where a blocked request stands in `waits`, or would stand.
    fn wait_position(&self, request: RequestId) -> Result<usize, usize> {
        self.waits.binary_search_by_key(&request, |(other, _)| *other)
    }

    /// The waiter of a blocked request.
    pub(crate) fn waiter_of(&self, request: RequestId) -> Option<Key> {
        Some(self.waits[self.wait_position(request).ok()?].1)
    }

    /// Notes a blocked request. False if one of this id is blocked already.
    pub(crate) fn add_wait(&mut self, request: RequestId, waiter: Key) -> bool {
        match self.wait_position(request) {
            Ok(_) => false,
            Err(position) => {
                self.waits.insert(position, (request, waiter));
                true
            }
        }
    }

    pub(crate) fn remove_wait(&mut self, request: RequestId) {
        if let Ok(position) = self.wait_position(request) {
            self.waits.remove(position);
        }
    }
}

impl State {
    pub(crate) fn session_began(&mut self, session: SessionId, peer: Peer) {
        let before = self.sessions.insert(session, Session::new(peer));
        assert!(before.is_none(), "session numbers are used once");
    }

    /// Undoes what a session leaves behind. Its waits go first, so that nothing is handed to the dead.
    pub(crate) fn session_ended(&mut self, session: SessionId, ending: &Ending) {
        let gone = self.sessions.remove(&session).expect("a session ends once");
        for &(_, waiter) in &gone.waits {
            self.unpark(waiter);
        }
        for &batch in &gone.batches {
            self.batch_abandoned(batch);
        }
        for &(batch, task) in &gone.running {
            let text = ending.of_process(gone.process, &gone.program);
            self.task_lost(batch, task, &text);
        }
        if let Ending::Died(_) = ending {
            for (_, grant) in gone.unconfirmed {
                match grant {
                    Unconfirmed::Event(id) => self.event_given_back(id),
                }
            }
        }
        for (&id, &held) in &gone.references {
            self.release(id, held);
        }
    }
}

impl Ending {
    /// What happened, in words, to a process.
    pub(crate) fn of_process(&self, process: u32, program: &str) -> alloc::string::String {
        let how = match self {
            Ending::Goodbye => "left".to_string(),
            Ending::Died(cause) => cause.to_string(),
        };
        alloc::format!("process {process} ({program}) {how}")
    }
}

/// Completes “process 12 (deploy) …”.
impl core::fmt::Display for Cause {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Cause::Signal(signal) => match signal_name(*signal) {
                Some(name) => write!(formatter, "was ended by signal {signal} ({name})"),
                None => write!(formatter, "was ended by signal {signal}"),
            },
            Cause::Exit(status) => write!(formatter, "exited with status {status}"),
            Cause::Disconnected => formatter.write_str("closed its connection"),
            Cause::Dropped(reason) => write!(formatter, "was disconnected: {reason}"),
        }
    }
}

/// The names of the signals that end processes in practice; their numbers are the same on all Linux machines.
fn signal_name(signal: i32) -> Option<&'static str> {
    Some(match signal {
        1 => "SIGHUP",
        2 => "SIGINT",
        3 => "SIGQUIT",
        4 => "SIGILL",
        6 => "SIGABRT",
        8 => "SIGFPE",
        9 => "SIGKILL",
        11 => "SIGSEGV",
        13 => "SIGPIPE",
        14 => "SIGALRM",
        15 => "SIGTERM",
        _ => return None,
    })
}
