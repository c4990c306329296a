//! The server: connections on one side, the core on the other.
//!
//! Everything here happens within a *turn* of the event loop, at one moment of time, and nothing waits. The server
//! collects what a turn's inputs cause and sends it at the end, so that all replies to one peer leave in one write.
//!
//! The server queues a session's end, and tells the core only when all effects at hand are done: otherwise answers
//! could overtake each other, and the core relies on their order.

use std::cell::OnceCell;
use std::collections::VecDeque;
use std::mem;
use std::time::Duration;

use manager_core::{Effect, Holding, Input, SessionEnd, State, Time};
use mio::Registry;
use protocol::limits::HELLO_TIME_MAX;
use protocol::{Epoch, FrameBuffer, Limits, SessionId};
use sys::heap::FreedPieces;

use self::blob_memory::BlobMemory;
use self::bound::BoundProcesses;
use self::busy_poll::{BusyPoll, PollOutcome};
use self::clock::{first_token, nanoseconds};
use self::coarse_time::CoarseTime;
use self::connection_table::{ConnectionSlot, ConnectionTable};
use self::number_map::NumberMap;
use self::poll_source::PollSource;
use crate::shared_memory::call_record::CallRecordMemory;
use crate::shared_memory::deferred_releases::DeferredReleaseMemory;
use crate::shared_memory::mirror::Mirror;

mod arrival;
mod blob_memory;
mod blobs;
pub(crate) mod bound;
mod buffers;
mod busy_poll;
mod clock;
mod closer;
mod coarse_time;
mod connection;
mod connection_table;
mod ending;
pub(crate) mod event_loop;
mod handshake;
mod number_map;
mod output;
mod poll_source;
mod reading;
mod sending;
mod sharing;
mod signals;
#[cfg(test)]
mod tests;

/// How long the manager waits for what a peer must do.
#[derive(Clone, Debug)]
pub(crate) struct Timeouts {
    /// Until a fresh connection says hello.
    pub(crate) hello: Duration,
    /// Until the end of the process behind a broken connection shows.
    pub(crate) death: Duration,
    /// Until a peer has taken the refusal that ends its connection.
    pub(crate) final_refusal: Duration,
}

impl Default for Timeouts {
    fn default() -> Timeouts {
        Timeouts {
            hello: HELLO_TIME_MAX,
            death: Duration::from_millis(500),
            final_refusal: Duration::from_secs(10),
        }
    }
}

/// Connects peers with the core.
#[derive(Debug)]
pub(crate) struct Server {
    /// What everything means.
    core: State,
    /// Which life of a manager this is.
    epoch: Epoch,
    /// The limits of what it holds.
    limits: Limits,
    /// How long to wait for peers.
    pub(crate) timeouts: Timeouts,
    /// The user whose processes it serves.
    user: u32,
    /// Where it registers for readiness.
    registry: Registry,
    /// The moment of this turn.
    now: Time,
    /// The same, as connections keep it.
    moment: CoarseTime,
    /// All connections.
    table: ConnectionTable,
    /// The connection of each session. A session that is ending is no longer here.
    sessions: NumberMap<SessionId, ConnectionSlot>,
    /// The number that was given last.
    session_last: u64,
    /// Where events are published, once there is one; none if it could not be made.
    mirror: OnceCell<Option<Mirror>>,
    /// Where sessions enter the locks that they release without a request.
    deferred: NumberMap<SessionId, DeferredReleaseMemory>,
    /// The call records of those sessions that share one.
    call_records: NumberMap<SessionId, CallRecordMemory>,
    /// The sessions whose call records are to be read before anything else.
    records_to_read: VecDeque<SessionId>,
    /// The memory of blobs.
    blobs: BlobMemory,
    /// The deferred releases that were found, to be applied before anything else.
    found: VecDeque<Holding>,
    /// Effects to perform; empty between inputs, and kept for its memory.
    effects: Vec<Effect>,
    /// Ends of sessions that the core does not know yet.
    endings: VecDeque<(SessionId, SessionEnd)>,
    /// How much memory the buffers of all connections take.
    buffered: usize,
    /// The most memory that clients have had since freed memory was given back to the system.
    held_most: usize,
    /// What the core has freed.
    freed: FreedPieces,
    /// The processes that sessions wait for before they end.
    bound: BoundProcesses,
    /// Buffers that no connection uses now.
    spares: Vec<FrameBuffer>,
    /// How much work this turn has done for the connection that it reads.
    work: u64,
    /// Connections to read again in the next turn.
    to_read: VecDeque<ConnectionSlot>,
    /// Connections to send to at the end of this turn.
    to_flush: VecDeque<ConnectionSlot>,
    /// Whether descriptors became free since the last call of `take_closed`.
    has_closed: bool,
    /// Which peers this turn has answered.
    answered: AnsweredPeers,
    /// When to poll for the peer that was answered.
    busy_poll: BusyPoll,
}

/// Which peers a turn has answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum AnsweredPeers {
    /// No peer.
    None,
    /// This peer alone.
    One(ConnectionSlot),
    /// Several, which may need each other or this core to go on.
    Several,
}

impl Server {
    /// A server without connections, for one life of a manager.
    pub(crate) fn new(epoch: Epoch, limits: Limits, registry: Registry) -> Server {
        Server {
            core: State::new(epoch, limits.clone(), first_token()),
            epoch,
            limits,
            timeouts: Timeouts::default(),
            user: sys::process::effective_user(),
            registry,
            now: Time::ZERO,
            moment: CoarseTime::default(),
            table: ConnectionTable::default(),
            sessions: NumberMap::default(),
            session_last: 0,
            mirror: OnceCell::new(),
            deferred: NumberMap::default(),
            call_records: NumberMap::default(),
            records_to_read: VecDeque::new(),
            blobs: BlobMemory::new(),
            found: VecDeque::new(),
            effects: Vec::new(),
            endings: VecDeque::new(),
            buffered: 0,
            held_most: 0,
            freed: FreedPieces::default(),
            bound: BoundProcesses::default(),
            spares: Vec::new(),
            work: 0,
            to_read: VecDeque::new(),
            to_flush: VecDeque::new(),
            has_closed: false,
            answered: AnsweredPeers::None,
            busy_poll: BusyPoll::new(),
        }
    }

    /// Which life of a manager this is.
    pub(crate) fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Begins a turn with what is due, and with what the last one left undone.
    pub(crate) fn begin_turn(&mut self, now: Time) {
        self.now = now;
        self.moment = CoarseTime::at(now);
        self.answered = AnsweredPeers::None;
        // First what is due, so that no request is handled before the core knows what it has to wait for.
        if self.core.next_deadline().is_some_and(|deadline| deadline <= self.now) {
            self.apply(Input::TimePassed);
        }
        // Counted first, since reading may put a connection back into this queue.
        for _ in 0..self.to_read.len() {
            let Some(slot) = self.to_read.pop_front() else { break };
            self.read(slot);
        }
    }

    /// Ends a turn: closes connections that are overdue, and sends whatever is waiting.
    pub(crate) fn end_turn(&mut self) {
        while let Some(slot) = self.table.pop_expired(self.now) {
            self.expire(slot);
        }
        // Sending may show that a peer is gone, and its end may be news for others.
        loop {
            self.settle();
            let Some(slot) = self.to_flush.pop_front() else { break };
            self.flush(slot);
            self.answered = match self.answered {
                AnsweredPeers::None => AnsweredPeers::One(slot),
                AnsweredPeers::One(_) | AnsweredPeers::Several => AnsweredPeers::Several,
            };
        }
        self.give_back_freed();
    }

    /// The peer to poll for before the loop sleeps, if there is one.
    pub(crate) fn expected(&mut self) -> Option<ConnectionSlot> {
        let expected = self.answered_alone().filter(|&slot| self.is_worth_polling_for(slot));
        if expected.is_none() {
            self.busy_poll.sleeps();
        }
        expected
    }

    fn answered_alone(&self) -> Option<ConnectionSlot> {
        match self.answered {
            AnsweredPeers::One(slot) => Some(slot),
            AnsweredPeers::None | AnsweredPeers::Several => None,
        }
    }

    fn is_worth_polling_for(&mut self, slot: ConnectionSlot) -> bool {
        let Some(connection) = self.table.get_mut(slot) else { return false };
        self.busy_poll.is_worth_it(connection.timing, self.now)
    }

    /// Notes what came first since the last turn, now, after the loop has slept: perhaps the peer that was answered.
    pub(crate) fn note_return(&mut self, first: PollSource, now: Time) {
        if let Some(slot) = self.answered_alone().filter(|&slot| first == PollSource::Socket(slot))
            && let Some(connection) = self.table.get_mut(slot)
        {
            self.busy_poll.note_return(&mut connection.timing, now.since(self.now));
        }
    }

    /// Notes what a poll for a peer has brought.
    pub(crate) fn note_poll(&mut self, slot: ConnectionSlot, outcome: PollOutcome) {
        if let Some(connection) = self.table.get_mut(slot) {
            self.busy_poll.note(&mut connection.timing, outcome);
        }
    }

    /// Whether the next turn has work even if no readiness is reported.
    pub(crate) fn has_work_left(&self) -> bool {
        !self.to_read.is_empty()
    }

    /// When the next turn has to begin at the latest.
    pub(crate) fn next_deadline(&self) -> Option<Time> {
        self.core.next_deadline().into_iter().chain(self.table.next_deadline()).min()
    }

    /// Whether a connection was closed since the last call.
    pub(crate) fn take_closed(&mut self) -> bool {
        mem::take(&mut self.has_closed)
    }

    /// Tells the core what happened, and does what follows.
    fn apply(&mut self, input: Input<'_>) {
        self.apply_alone(input);
        self.settle();
    }

    /// Tells the core what happened, and does what it says.
    fn apply_alone(&mut self, input: Input<'_>) {
        self.core.apply(self.now, input, &mut self.effects);
        self.freed.note_work(self.core.steps());
        self.perform();
    }

    /// Tells the core which deferred releases were found, and which sessions have ended, which may end further ones.
    #[inline]
    fn settle(&mut self) {
        let is_settled = self.found.is_empty() && self.records_to_read.is_empty() && self.endings.is_empty();
        if !is_settled {
            self.settle_all();
        }
    }

    fn settle_all(&mut self) {
        loop {
            self.apply_found();
            self.read_call_records();
            let Some((session, ending)) = self.endings.pop_front() else { return };
            self.close_deferred_releases(session);
            self.close_call_record(session);
            let input = self.bound.end(session, &ending).unwrap_or(Input::SessionEnded { session, ending });
            self.apply_alone(input);
        }
    }

    fn perform(&mut self) {
        // Performing applies no input itself, so this can take the list and give it back.
        let mut effects = mem::take(&mut self.effects);
        // Effects are large, and stay where they are.
        for effect in &effects {
            match *effect {
                Effect::Reply { session, request, ref reply } => self.reply(session, request, reply),
                Effect::Share { session, request, memory } => self.share(session, request, memory),
                Effect::Bind { session, request, leader } => self.bind(session, request, leader),
                Effect::Unbind { session, leader } => self.bound.unbind(session, leader),
                Effect::Blob(ref effect) => self.perform_blob(effect),
                Effect::Publish(publication) => self.publish(publication),
                Effect::LocksWanted { session, wanted, holding } => self.want(session, wanted, holding),
                Effect::Signal { session, signal } => self.signal(session, signal),
                Effect::ReadCallRecord { session } => self.records_to_read.push_back(session),
                Effect::Drop { session, ref refusal } => {
                    if let Some(&slot) = self.sessions.get(&session) {
                        self.refuse(slot, refusal.clone());
                    }
                }
            }
        }
        effects.clear();
        self.effects = effects;
    }

    fn ask_read(&mut self, slot: ConnectionSlot) {
        if let Some(connection) = self.table.get_mut(slot)
            && !mem::replace(&mut connection.awaits_read, true)
        {
            self.to_read.push_back(slot);
        }
    }

    fn ask_flush(&mut self, slot: ConnectionSlot) {
        if let Some(connection) = self.table.get_mut(slot)
            && !mem::replace(&mut connection.awaits_flush, true)
        {
            self.to_flush.push_back(slot);
        }
    }

    fn set_deadline(&mut self, slot: ConnectionSlot, timeout: Duration) {
        self.table.set_deadline(slot, Some(self.now.after_ns(nanoseconds(timeout))));
    }
}
