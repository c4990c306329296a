//! What the core knows about one client process: what it refers to, waits for, runs, and has not confirmed.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use core::fmt;

use protocol::limits::UNCONFIRMED_MAX;
use protocol::{Abandonment, Code, NamedSignal, ObjectId, Refusal, RequestId, SessionId};
use serde::{Deserialize, Serialize};

use crate::objects::object_body::ObjectBody;
use crate::objects::{Body, Unconfirmed};
use crate::pools::call_record::FoundRecord;
use crate::pools::calls::Granted;
use crate::sessions::deferred_release::Deferral;
use crate::store::blob::BlobReferences;
use crate::store::catalog::{Held, number};
use crate::store::lifetime::Remains;
use crate::store::long_queue::LongQueue;
use crate::store::memory::{SESSION_BYTES, UNCONFIRMED_BYTES};
use crate::store::slab::Key;
use crate::store::small_map::SmallMap;
use crate::work::LongWork;
use crate::{DeathCause, Peer, SessionEnd, State, Time};

/// How many steps it counts to forget a grant that was received.
const STEPS_PER_GRANT: u64 = 4;

/// The number of no holding of a lock.
const NO_LOCK: u64 = 0;

/// One client process.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Session {
    /// Its process id.
    pub(crate) process: u32,
    /// The name of its program.
    pub(crate) program: Arc<str>,
    /// How many proxies of each object it holds, by the [`number`](crate::store::catalog::number) of the object's id.
    pub(crate) references: BTreeMap<u128, Held>,
    /// Its blocked requests, and their waiters.
    waits: SmallMap<RequestId, Key>,
    /// The calls that were granted to it and have not ended. None if it was granted none so far.
    pub(crate) grants: Option<Box<Grants>>,
    /// The batches it made that are not complete.
    pub(crate) batches: BTreeSet<ObjectId>,
    /// Whether it has ended, and still leaves things behind.
    pub(crate) has_ended: bool,
    /// Whether it gets an answer later that comes before all others.
    pub(crate) has_delayed_reply: bool,
    /// Whether it has asked for a call record.
    pub(crate) has_call_record: bool,
    /// Whether it was sent a signal to end, and so gets no calls.
    pub(crate) is_terminating: bool,
    /// How it ended, and which processes that are bound to it are still there, if that is what it waits for.
    pub(crate) ending: Option<Arc<str>>,
    /// The blobs that it made or was granted.
    pub(crate) blobs: BlobReferences,
    /// The objects of which it holds something that its end leaves behind, and the pools that end with it.
    /// Each is behind the number of its holding if it is a lock, and behind [`NO_LOCK`] if it is not.
    pub(crate) held: BTreeSet<(u64, Key)>,
    /// What deferred releases need to know about it.
    pub(crate) deferral: Deferral,
    /// When it began.
    pub(crate) since: Time,
    /// How many answers it was sent.
    pub(crate) answers: u64,
    /// What it was granted and may not have received, in the order of the answers that brought it.
    unconfirmed: LongQueue<(u64, Unconfirmed)>,
}

/// The grants of calls to a session that have not wholly ended, in their order.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Grants {
    open: SmallMap<u64, Granted>,
    /// What the call record of the session says, once the driver has read it.
    pub(crate) found: Option<FoundRecord>,
}

/// A session that leaves something behind, and how.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Abandoner {
    pub(crate) session: SessionId,
    process: u32,
    program: Arc<str>,
    how: Arc<str>,
}

impl Session {
    fn new(peer: &Peer, since: Time) -> Session {
        Session {
            process: peer.process,
            program: peer.program.as_str().into(),
            references: BTreeMap::new(),
            waits: SmallMap::default(),
            grants: None,
            batches: BTreeSet::new(),
            has_ended: false,
            has_delayed_reply: false,
            has_call_record: false,
            is_terminating: false,
            ending: None,
            blobs: BlobReferences::default(),
            held: BTreeSet::new(),
            deferral: Deferral::default(),
            since,
            answers: 0,
            unconfirmed: LongQueue::default(),
        }
    }

    /// Notes that the next answer to this session brings a grant that must not be lost.
    pub(crate) fn grant_unconfirmed(&mut self, grant: Unconfirmed) {
        self.unconfirmed.push_back((self.answers + 1, grant));
    }

    /// The oldest grant that is not confirmed, if the client has read the answer that brought it. A client that claims
    /// more answers than it was sent confirms nothing: what has not reached it goes to others.
    fn next_confirmed(&mut self, received: u64) -> Option<Unconfirmed> {
        let (answer, _) = self.unconfirmed.front()?;
        if *answer > received || received > self.answers {
            None
        } else {
            self.unconfirmed.pop_front().map(|(_, grant)| grant)
        }
    }

    /// All grants that are not confirmed and whose answers the client has read, of which it has read this many.
    fn take_confirmed(&mut self, received: u64) -> LongQueue<(u64, Unconfirmed)> {
        let count = self.unconfirmed.partition_point(|(answer, _)| *answer <= received);
        self.unconfirmed.split_front(count)
    }

    /// Takes the next grant that it may not have received, when it has ended: backwards if they go to others, because
    /// each goes to the front of its queue.
    pub(crate) fn pop_unconfirmed(&mut self, ending: &SessionEnd) -> Option<Unconfirmed> {
        let next = match ending {
            SessionEnd::Goodbye => self.unconfirmed.pop_front(),
            SessionEnd::Died(_) => self.unconfirmed.pop_back(),
        };
        next.map(|(_, grant)| grant)
    }

    /// Refuses an impossible count of answers that were read, and a client that never confirms anything.
    fn check_confirmed(&self, received: u64) -> Result<(), Refusal> {
        if received > self.answers {
            let text =
                format!("{received} answers were received, more than the {} that were sent", self.answers);
            return Err(Refusal::new(Code::Protocol, text));
        }
        if self.unconfirmed.len() > UNCONFIRMED_MAX {
            let text = format!(
                "this client has not confirmed {} grants that it was sent, and the limit is {UNCONFIRMED_MAX}; \
                 the connection is closed",
                self.unconfirmed.len()
            );
            return Err(Refusal::new(Code::LimitReached, text));
        }
        Ok(())
    }

    /// Takes the calls that were granted to it last, when it has ended, and what its call record says: backwards,
    /// because each goes to the front of those that wait.
    pub(crate) fn pop_grant(&mut self) -> Option<(Granted, Option<FoundRecord>)> {
        let grants = self.grants.as_mut()?;
        let last = grants.open.last_key()?;
        grants.open.remove(last).map(|granted| (granted, grants.found))
    }

    /// How much memory it takes, with its first grant of calls.
    pub(crate) fn bytes(&self) -> usize {
        SESSION_BYTES + self.program.len()
    }

    /// Whether it holds a proxy of an object with this id.
    pub(crate) fn refers_to(&self, id: ObjectId) -> bool {
        self.references.contains_key(&number(id))
    }

    /// How many calls it runs: one of each grant.
    pub(crate) fn calls_begun(&self) -> u32 {
        self.grants.as_ref().map_or(0, |grants| grants.len() as u32)
    }

    /// The waiters of its blocked requests.
    pub(crate) fn waiters(&self) -> impl Iterator<Item = Key> {
        self.waits.values().copied()
    }

    /// The first of its blocked requests from this one on, and its waiter.
    pub(crate) fn wait_from(&self, request: RequestId) -> Option<(RequestId, Key)> {
        self.waits.at_or_above(request).map(|(request, &waiter)| (request, waiter))
    }

    /// Notes that it holds something of an object that is no lock, or is the owner of a pool.
    pub(crate) fn hold(&mut self, key: Key) {
        self.held.insert((NO_LOCK, key));
    }

    /// Notes that it holds nothing of such an object any more.
    pub(crate) fn hold_no_more(&mut self, key: Key) {
        self.held.remove(&(NO_LOCK, key));
    }

    /// The lock that it holds in the holding of this number.
    pub(crate) fn lock_held_in(&self, holding: u64) -> Option<Key> {
        self.held.range((holding, Key::MIN)..=(holding, Key::MAX)).next().map(|&(_, key)| key)
    }

    /// How many of its requests are blocked.
    pub(crate) fn waits(&self) -> usize {
        self.waits.len()
    }

    /// The waiter of a blocked request.
    pub(crate) fn waiter_of(&self, request: RequestId) -> Option<Key> {
        self.waits.get(request).copied()
    }

    /// Notes a blocked request, whose id is not blocked yet.
    pub(crate) fn add_wait(&mut self, request: RequestId, waiter: Key) {
        self.waits.insert(request, waiter);
    }

    pub(crate) fn remove_wait(&mut self, request: RequestId) {
        self.waits.remove(request);
    }
}

impl Grants {
    /// The place of the next grant, behind all that are open.
    pub(crate) fn next(&self) -> u64 {
        self.open.last_key().map_or(0, |last| last + 1)
    }

    /// Adds the next grant.
    pub(crate) fn add(&mut self, order: u64, granted: Granted) {
        self.open.insert(order, granted);
    }

    /// Removes a grant of which all calls have ended.
    pub(crate) fn remove(&mut self, order: u64) {
        self.open.remove(order);
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.open.len()
    }
}

impl Abandoner {
    pub(crate) fn of(id: SessionId, session: &Session, how: Arc<str>) -> Abandoner {
        Abandoner { session: id, process: session.process, program: session.program.clone(), how }
    }

    /// What the next taker learns.
    pub(crate) fn abandonment(&self, held_ns: u64) -> Abandonment {
        Abandonment { process: self.process, program: self.program.clone(), how: self.how.clone(), held_ns }
    }

    pub(crate) fn whose(&self) -> (u32, Arc<str>) {
        (self.process, self.program.clone())
    }

    pub(crate) fn how(&self) -> &str {
        &self.how
    }

    /// What happened, in a sentence.
    pub(crate) fn describe(&self) -> String {
        format!("process {} ({}) {}", self.process, self.program, self.how)
    }
}

impl State {
    pub(crate) fn session_began(&mut self, session: SessionId, peer: &Peer) {
        let new = Session::new(peer, self.now);
        // The driver limits how many there are.
        self.memory.charge(new.bytes());
        let before = self.sessions.insert(session, Box::new(new));
        assert!(before.is_none(), "session numbers are used once");
    }

    /// Notes that a client has read this many answers. Refused if that is impossible, or if it never confirms.
    #[inline(always)] // Every request needs it.
    pub(crate) fn confirm(&mut self, session: SessionId, received: u64) -> Result<(), Refusal> {
        let receiver = self.session_at(session);
        if receiver.unconfirmed.is_empty() && received <= receiver.answers {
            return Ok(());
        }
        self.confirm_grants(session, received)
    }

    #[inline(never)]
    fn confirm_grants(&mut self, session: SessionId, received: u64) -> Result<(), Refusal> {
        loop {
            let receiver = self.session_at(session);
            let Some(grant) = receiver.next_confirmed(received) else {
                return receiver.check_confirmed(received);
            };
            self.step(STEPS_PER_GRANT);
            self.let_go(grant);
            if self.is_over() {
                return self.confirm_later(session, received);
            }
        }
    }

    /// Notes that a client has read more answers than this input may follow up on.
    #[cold]
    fn confirm_later(&mut self, session: SessionId, received: u64) -> Result<(), Refusal> {
        let receiver = self.session_at(session);
        let confirmed = receiver.take_confirmed(received);
        let checked = receiver.check_confirmed(received);
        self.go_on_later(LongWork::LetGo(Box::new(Remains { confirmed, ..Remains::default() })));
        checked
    }

    /// Notes that these sessions hold nothing any more of an object that ends. There are no more of them than a manager
    /// serves, so it is done in one go; what frees more comes with the next input if they are many.
    pub(crate) fn held_by_none<'a>(&mut self, key: Key, holders: impl Iterator<Item = &'a SessionId>) {
        for holder in holders {
            self.step(1);
            if let Some(session) = self.sessions.get_mut(holder) {
                session.hold_no_more(key);
            }
        }
    }

    /// Forgets a grant that was received.
    pub(crate) fn let_go(&mut self, grant: Unconfirmed) {
        match grant {
            Unconfirmed::Item(_, item) => self.discard_item(item),
            Unconfirmed::Event { set_by, .. } => self.memory.give_back(UNCONFIRMED_BYTES + set_by.bytes()),
            Unconfirmed::Notification(_) => self.memory.give_back(UNCONFIRMED_BYTES),
        }
    }

    /// Gives a grant that its receiver never got to the next waiter. If its object is gone, so is the grant.
    pub(crate) fn give_back(&mut self, grant: Unconfirmed) {
        match self.catalog.resolve(grant.handle()) {
            Some(key) => Body::given_back(self, key, grant),
            None => self.let_go(grant),
        }
    }
}

/// Completes “process 12 (deploy) …”.
impl fmt::Display for SessionEnd {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SessionEnd::Goodbye => formatter.write_str("left"),
            SessionEnd::Died(cause) => cause.fmt(formatter),
        }
    }
}

/// Completes “process 12 (deploy) …”.
impl fmt::Display for DeathCause {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DeathCause::Signal(signal) => write!(formatter, "was ended by {}", NamedSignal(*signal)),
            DeathCause::Exit(status) => write!(formatter, "exited with status {status}"),
            DeathCause::Ended => formatter.write_str("ended"),
            DeathCause::Disconnected => formatter.write_str("closed its connection"),
            DeathCause::Dropped(reason) => write!(formatter, "was disconnected: {reason}"),
        }
    }
}
