//! What an input has as its effects, and how that compares with what the core did.
//!
//! The page orders answers only as far as one decision follows another, so the order of decisions that have nothing to
//! do with each other is taken from the core. What the page leaves open is taken from there, too: the words of refusals
//! and causes, the numbers of locks that are taken in one step, and which place of the mirror an event gets.

use manager_core::{BlobEffect, Effect, Publication};
use protocol::shared_memory::mirror::EventState;
use protocol::{Code, Grant, LockGrant, ObjectId, Reply, RequestId, SessionId, SharedMemory, StopSignal};

use super::blobs::Blob;
use super::comparing::{same_reply, taken_locks};
use super::sessions::Unconfirmed;
use super::{Body, Model};

/// One effect.
#[derive(Debug)]
pub(crate) enum Expected {
    Reply {
        session: SessionId,
        request: RequestId,
        reply: Reply,
        /// What the answer brings and must not be lost.
        unconfirmed: Vec<Unconfirmed>,
    },
    Share {
        session: SessionId,
        request: RequestId,
        memory: SharedMemory,
    },
    Bind {
        session: SessionId,
        request: RequestId,
        leader: u32,
    },
    Unbind {
        session: SessionId,
        leader: u32,
    },
    /// A blob was made, of which the core says the number.
    BlobOpened {
        session: SessionId,
        request: RequestId,
        bytes: u64,
    },
    /// Anything else about blobs.
    Blob(BlobEffect),
    Publish {
        id: ObjectId,
        change: Change,
    },
    Signal {
        session: SessionId,
        signal: StopSignal,
    },
    ReadCallRecord {
        session: SessionId,
    },
    Drop {
        session: SessionId,
        code: Code,
    },
}

/// What happens to an event in the mirror.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// It is published for the first time.
    First {
        is_set: bool,
    },
    Set,
    Cleared,
    Ended,
}

/// The numbers of locks up to which they are known. Larger ones were given in this input.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Known {
    pub(crate) holding: u64,
    pub(crate) token: u64,
}

impl Model {
    /// Answers a request with grants that must not be lost.
    pub(crate) fn reply_with(
        &mut self,
        session: SessionId,
        request: RequestId,
        reply: Reply,
        unconfirmed: Vec<Unconfirmed>,
    ) {
        if request.wants_answer() && self.sessions.contains_key(&session) {
            self.effects.push(Expected::Reply { session, request, reply, unconfirmed });
        }
    }

    /// Compares what the model expects with what the core did. Afterwards the model knows what the page leaves open.
    pub(crate) fn compare(&mut self, effects: &[Effect]) -> Result<(), String> {
        let mut expected = std::mem::take(&mut self.effects);
        self.check_last(&expected, effects)?;
        let mut locks: Vec<(LockGrant, LockGrant)> = Vec::new();
        for effect in effects.iter().filter(|effect| !matches!(effect, Effect::LocksWanted { .. })) {
            let Some(position) = expected.iter().position(|one| self.matches(one, effect)) else {
                return Err(format!("the core has the effect\n  {effect:?}\n{}", list(&expected)));
            };
            let one = expected.remove(position);
            if let (Expected::Reply { reply, .. }, Effect::Reply { reply: actual, .. }) = (&one, effect) {
                taken_locks(reply).zip(taken_locks(actual)).for_each(|(expected, actual)| {
                    locks.push((expected.clone(), actual.clone()));
                });
            }
            self.adopt(one, effect);
        }
        if !expected.is_empty() {
            return Err(format!("the core has no further effect\n{}", list(&expected)));
        }
        self.compare_wanted(effects)?;
        self.adopt_numbers(&locks)
    }

    /// The answer to a request that does not wait comes after everything that follows from it.
    fn check_last(&self, expected: &[Expected], effects: &[Effect]) -> Result<(), String> {
        let Some((session, request)) = self.answers_last.filter(|(_, request)| request.wants_answer()) else {
            return Ok(());
        };
        let is_expected = matches!(expected.last(), Some(Expected::Reply { .. }));
        let is_last = match effects.last() {
            Some(Effect::Reply { session: to, request: of, .. }) => (*to, *of) == (session, request),
            _ => false,
        };
        let is_deadlock = |effect: &Effect| match effect {
            Effect::Reply { reply: Reply::Refused(refusal), .. } => refusal.code == Code::Deadlock,
            _ => false,
        };
        let may_be_earlier = self.is_sliced && effects.iter().any(is_deadlock);
        match is_expected && !is_last && !may_be_earlier {
            true => Err(format!("the answer to {request:?} is not the last effect: {effects:?}")),
            false => Ok(()),
        }
    }

    fn matches(&self, expected: &Expected, actual: &Effect) -> bool {
        match (expected, actual) {
            (
                Expected::Reply { session, request, reply, .. },
                Effect::Reply { session: to, request: of, reply: actual },
            ) => (session, request) == (to, of) && same_reply(reply, actual, self.known),
            (
                Expected::Share { session, request, memory },
                Effect::Share { session: to, request: of, memory: actual },
            ) => (session, request, memory) == (to, of, actual),
            (
                Expected::Bind { session, request, leader },
                Effect::Bind { session: to, request: of, leader: actual },
            ) => (session, request, leader) == (to, of, actual),
            (Expected::Unbind { session, leader }, Effect::Unbind { session: of, leader: actual }) => {
                (session, leader) == (of, actual)
            }
            (
                Expected::BlobOpened { session, request, .. },
                Effect::Blob(BlobEffect::Opened { session: to, request: of, blob }),
            ) => (session, request) == (to, of) && *blob > self.last_blob,
            (Expected::Blob(expected), Effect::Blob(actual)) => expected == actual,
            (Expected::Publish { id, change }, Effect::Publish(publication)) => {
                self.is_published(*id, *change, *publication)
            }
            (Expected::ReadCallRecord { session }, Effect::ReadCallRecord { session: whose }) => {
                session == whose
            }
            (Expected::Signal { session, signal }, Effect::Signal { session: whom, signal: actual }) => {
                (session, signal) == (whom, actual)
            }
            (Expected::Drop { session, code }, Effect::Drop { session: whom, refusal }) => {
                (session, code) == (whom, &refusal.code)
            }
            _ => false,
        }
    }

    fn is_published(&self, id: ObjectId, change: Change, actual: Publication) -> bool {
        let Publication { number, serial, state } = actual;
        if let Change::First { is_set } = change {
            // The mirror has as many places as events may be in it.
            let exists = (number as usize) < self.limits.mirrored_events_max;
            let is_free = self.mirror.values().all(|other| other.number != number);
            return exists && is_free && serial != 0 && state.is_set() == is_set;
        }
        let Some(before) = self.mirror.get(&id) else { return false };
        let EventState(word) = before.state;
        // The lowest bit is the flag, and the others count how often it was set.
        let (is_right, serial_now) = match change {
            Change::Set => (state.0 == (word | 1).wrapping_add(2), before.serial),
            Change::Cleared => (state.0 == word & !1, before.serial),
            _ => (state.was_set_since(before.state), 0),
        };
        is_right && number == before.number && serial == serial_now
    }

    /// Takes from the core what the page leaves open.
    fn adopt(&mut self, expected: Expected, actual: &Effect) {
        match (expected, actual) {
            (Expected::Reply { session, unconfirmed, .. }, Effect::Reply { .. }) => {
                if let Some(session) = self.sessions.get_mut(&session) {
                    session.answers += 1;
                    let number = session.answers;
                    session.unconfirmed.extend(unconfirmed.into_iter().map(|grant| (number, grant)));
                }
            }
            (Expected::BlobOpened { session, bytes, .. }, Effect::Blob(BlobEffect::Opened { blob, .. })) => {
                self.last_blob = *blob;
                self.blobs.insert(*blob, Blob { bytes, written: 0, is_whole: false });
                self.give_blob(session, *blob);
                self.answered(session);
            }
            (
                Expected::Share { session, .. }
                | Expected::Bind { session, .. }
                | Expected::Blob(BlobEffect::Fetched { session, .. } | BlobEffect::Read { session, .. }),
                _,
            ) => self.answered(session),
            (Expected::Publish { id, change: Change::Ended }, _) => {
                self.mirror.remove(&id);
            }
            (Expected::Publish { id, .. }, Effect::Publish(publication)) => {
                self.mirror.insert(id, *publication);
            }
            _ => {}
        }
    }

    /// Counts an answer that the driver makes.
    fn answered(&mut self, session: SessionId) {
        if let Some(session) = self.sessions.get_mut(&session) {
            session.answers += 1;
        }
    }

    /// Takes the numbers of the locks that were taken in this input, which must be new, and grow.
    fn adopt_numbers(&mut self, locks: &[(LockGrant, LockGrant)]) -> Result<(), String> {
        let known = self.known;
        let (mut holding, mut token) = (known.holding, known.token);
        let (mut holdings, mut tokens) = (Vec::new(), Vec::new());
        for (expected, actual) in locks {
            if expected.token > known.token {
                // Acquiring a reentrant lock once more keeps its token.
                let is_repeated = actual.depth > 1 && tokens.contains(&actual.token);
                if actual.token <= token && !is_repeated {
                    return Err(format!("the token {} is not larger than {token}", actual.token));
                }
                token = token.max(actual.token);
                tokens.push(actual.token);
            }
            if expected.holding > known.holding {
                let is_used = actual.holding <= known.holding || holdings.contains(&actual.holding);
                if is_used && expected.depth == 1 {
                    return Err(format!("the holding {} was used before", actual.holding));
                }
                holdings.push(actual.holding);
                holding = holding.max(actual.holding);
            }
        }
        let given = |number: u64, is_token: bool| {
            let pair = locks.iter().find(|(expected, _)| match is_token {
                true => expected.token == number,
                false => expected.holding == number,
            });
            pair.map(|(_, actual)| if is_token { actual.token } else { actual.holding })
        };
        for object in self.objects.values_mut() {
            if let Body::Lock(lock) = &mut object.body
                && let Some(holder) = &mut lock.holder
            {
                if holder.token > known.token {
                    holder.token = given(holder.token, true).unwrap_or(holder.token);
                }
                if holder.holding > known.holding {
                    holder.holding = given(holder.holding, false).unwrap_or(holder.holding);
                }
            }
        }
        self.known = Known { holding: self.known.holding.max(holding), token: self.known.token.max(token) };
        self.last_holding = self.last_holding.max(self.known.holding);
        self.token = self.token.max(self.known.token + 1);
        Ok(())
    }
}

/// What was taken from an object, as a grant.
pub(crate) fn locks_of(grants: &[Grant]) -> impl Iterator<Item = &LockGrant> {
    grants.iter().filter_map(|grant| match grant {
        Grant::Lock(lock) => Some(lock),
        _ => None,
    })
}

fn list(expected: &[Expected]) -> String {
    let lines: Vec<String> = expected.iter().map(|one| format!("  {one:?}")).collect();
    format!("what the model expects and has not come:\n{}", lines.join("\n"))
}
