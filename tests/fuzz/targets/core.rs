//! The core: no sequence of requests reaches one of its assertions or leaves something undone, no request is answered
//! twice, and the same inputs have the same effects, also in a state that was restored from a snapshot.
//!
//! The input is a list of steps. A step is one byte that says what happens, to which session, and how much time passes
//! before; for a request, its envelope follows as it would stand in a frame, and for the death of a worker, its call
//! record. This target plays the driver: it numbers sessions and requests, never counts more answers than it was given,
//! and ends a session that says goodbye or is dropped.

#![no_main]

use std::collections::BTreeSet;

use libfuzzer_sys::fuzz_target;
use manager_core::{BlobEffect, DeathCause, Effect, Input, Peer, SessionEnd, State, Time};
use protocol::{Envelope, Epoch, Limits, Request, RequestId, SessionId};
use uuid::Uuid;

/// The most sessions at one time.
const SESSIONS_MAX: usize = 4;

/// How many nanoseconds may pass before a step.
const PAUSES_NS: [u64; 4] = [0, 0, 1, 1_000_000];

/// A client of the manager.
struct FuzzedClient {
    session: SessionId,
    /// How many answers it was sent.
    answers: u64,
    /// The number of its last request.
    requests: u64,
    /// Its requests that were not answered.
    open: BTreeSet<RequestId>,
}

/// Two managers that get the same inputs, and their clients.
struct FuzzedCore {
    states: [State; 2],
    now: Time,
    clients: Vec<FuzzedClient>,
    /// How many sessions have begun.
    sessions: u64,
}

impl FuzzedCore {
    fn new() -> FuzzedCore {
        let limits = Limits {
            objects_max: 16,
            session_waits_max: 5,
            mirrored_events_max: 2,
            calls_and_items_max: 12,
            stored_bytes_max: 1000,
            ..Limits::default()
        };
        let state = || State::new(Epoch(Uuid::from_u128(1)), limits.clone(), 1);
        FuzzedCore { states: [state(), state()], now: Time::ZERO, clients: Vec::new(), sessions: 0 }
    }

    /// Takes one step, and returns what is left of the input; none if it makes no sense from here on.
    fn step<'a>(&mut self, step: u8, rest: &'a [u8]) -> Option<&'a [u8]> {
        self.now = self.now.after_ns(PAUSES_NS[usize::from(step >> 6)]);
        let chosen = usize::from(step >> 4 & 3);
        match step & 15 {
            0 if self.clients.len() < SESSIONS_MAX => self.begin(),
            1 if chosen < self.clients.len() => self.end(chosen, SessionEnd::Goodbye),
            2 if chosen < self.clients.len() => self.end(chosen, SessionEnd::Died(DeathCause::Signal(9))),
            3 => self.apply(Input::TimePassed, None),
            4 => self.restore(),
            6 if chosen < self.clients.len() => {
                let (record, rest) = postcard::take_from_bytes(rest).ok()?;
                let session = self.clients[chosen].session;
                self.apply(Input::CallsFound { session, is_last: true, record }, None);
                self.end(chosen, SessionEnd::Died(DeathCause::Signal(9)));
                return Some(rest);
            }
            _ if chosen < self.clients.len() => {
                let (envelope, rest) = postcard::take_from_bytes(rest).ok()?;
                self.request(chosen, envelope);
                return Some(rest);
            }
            _ => return None,
        }
        Some(rest)
    }

    /// Goes on with the second manager as a snapshot of the first.
    fn restore(&mut self) {
        let snapshot = postcard::to_allocvec(&self.states[0]).expect("a state can be written");
        self.states[1] = postcard::from_bytes(&snapshot).expect("what was written can be read");
    }

    fn begin(&mut self) {
        self.sessions += 1;
        let session = SessionId(self.sessions);
        self.clients.push(FuzzedClient { session, answers: 0, requests: 0, open: BTreeSet::new() });
        let peer = Peer { process: self.sessions as u32, program: "program".into() };
        self.apply(Input::SessionBegan { session, peer }, None);
    }

    fn end(&mut self, chosen: usize, ending: SessionEnd) {
        let session = self.clients.swap_remove(chosen).session;
        self.apply(Input::SessionEnded { session, ending }, Some(session));
    }

    fn request(&mut self, chosen: usize, mut envelope: Envelope<'_>) {
        let client = &mut self.clients[chosen];
        let session = client.session;
        envelope.received %= client.answers + 1;
        if envelope.request.wants_answer() {
            client.requests += 1;
            envelope.request = RequestId(client.requests);
            client.open.insert(envelope.request);
        }
        let is_goodbye = matches!(envelope.body, Request::Goodbye);
        self.apply(Input::Request { session, envelope }, None);
        if is_goodbye && let Some(left) = self.position(session) {
            self.end(left, SessionEnd::Goodbye);
        }
    }

    fn position(&self, session: SessionId) -> Option<usize> {
        self.clients.iter().position(|client| client.session == session)
    }

    /// Applies one input to both managers, and does what follows from it. `ended` is the session that it ends.
    fn apply(&mut self, input: Input<'_>, ended: Option<SessionId>) {
        let [once, twice] = [0, 1].map(|index| {
            let mut effects = Vec::new();
            self.states[index].apply(self.now, input.clone(), &mut effects);
            self.states[index].assert_settled();
            effects
        });
        assert_eq!(once, twice);
        let mut dropped = Vec::new();
        let mut released = Vec::new();
        for effect in once {
            match effect {
                Effect::Reply { session, request, .. }
                | Effect::Share { session, request, .. }
                | Effect::Bind { session, request, .. }
                | Effect::Blob(
                    BlobEffect::Opened { session, request, .. }
                    | BlobEffect::Fetched { session, request, .. }
                    | BlobEffect::Read { session, request, .. },
                ) => self.answered(session, request, ended),
                Effect::Blob(
                    BlobEffect::Sent { .. } | BlobEffect::Written { .. } | BlobEffect::Freed { .. },
                ) => {}
                Effect::Drop { session, .. } => dropped.push(session),
                Effect::LocksWanted { holding, .. } => {
                    // Every other holding is taken to have been released without a request.
                    released.extend(holding.filter(|holding| holding.number % 2 == 0));
                }
                Effect::Publish(_) | Effect::Unbind { .. } => {}
                Effect::Signal { session, .. } | Effect::ReadCallRecord { session } => {
                    let is_known = ended == Some(session) || self.position(session).is_some();
                    assert!(is_known, "a signal to a session that has ended, or a look at its record");
                }
            }
        }
        released.into_iter().for_each(|holding| self.apply(Input::DeferredRelease(holding), ended));
        for session in dropped {
            if let Some(left) = self.position(session) {
                self.end(left, SessionEnd::Died(DeathCause::Dropped("dropped".into())));
            }
        }
    }

    fn answered(&mut self, session: SessionId, request: RequestId, ended: Option<SessionId>) {
        // Waits of the session that are due time out before its end is applied, and nobody reads that.
        if ended != Some(session) {
            let position = self.position(session).expect("nobody answers a session that has ended");
            let client = &mut self.clients[position];
            client.answers += 1;
            assert!(client.open.remove(&request), "{request:?} is answered once");
        }
    }

    /// Ends every session, and finds that nobody waits any more.
    fn finish(mut self) {
        while !self.clients.is_empty() {
            self.end(0, SessionEnd::Goodbye);
        }
        assert_eq!(self.states[0].next_deadline(), None);
    }
}

fuzz_target!(|bytes: &[u8]| {
    let mut world = FuzzedCore::new();
    let mut rest = bytes;
    while let Some((&step, after)) = rest.split_first() {
        match world.step(step, after) {
            Some(left) => rest = left,
            None => break,
        }
    }
    world.finish();
});
