//! The callers that wait for answers on one connection, and the reader's role, which they pass to each other.

use std::sync::Arc;

use client_core::{DisconnectReason, PendingRequests, RequestMap};
use protocol::RequestId;

use crate::connection::turn_slot::{Turn, TurnSlot};
use crate::sync::{Mutex, lock};

/// The callers that wait for answers, and the reader while none of them has it. `R` is what the reader reads with:
/// there is one, and the caller that has it is the reader. `A` is the type of an answer. The role is never lost: the
/// caller that takes the reader passes it on, to a caller that sleeps or to the next that comes. Or the connection
/// ends, which wakes all callers and lets none sleep any more.
#[derive(Debug)]
pub(crate) struct Callers<A, R> {
    state: Mutex<CallersState<A, R>>,
}

#[derive(Debug)]
struct CallersState<A, R> {
    /// The slots of all requests that wait for an answer, and why the connection is over.
    slots: PendingRequests<Arc<TurnSlot<A, R>>>,
    /// The requests whose callers sleep. Any of these can become the reader.
    asleep: RequestMap<()>,
    /// The reader, while no caller has it. It ends with the connection.
    reader: Option<R>,
}

impl<A, R> Callers<A, R> {
    /// No caller waits yet, and the first that does becomes the reader.
    pub(crate) fn new(reader: R) -> Callers<A, R> {
        let (slots, asleep) = (PendingRequests::new(), RequestMap::new());
        Callers { state: Mutex::new(CallersState { slots, asleep, reader: Some(reader) }) }
    }

    /// Enters the slot of a request before that is sent. Otherwise the reader might find no slot for the answer.
    pub(crate) fn enter(
        &self,
        request: RequestId,
        slot: &Arc<TurnSlot<A, R>>,
    ) -> Result<(), DisconnectReason> {
        lock(&self.state).slots.insert(request, Arc::clone(slot))
    }

    /// Takes out the slot of a request that the caller gives up. False if it was answered before.
    pub(crate) fn abandon(&self, request: RequestId) -> bool {
        let mut state = lock(&self.state);
        state.asleep.remove(request);
        state.slots.abandon(request).is_some()
    }

    /// Waits for the answer to a request that was entered with this slot. If no other caller has the reader, this one
    /// takes it and calls `read` until `read` has brought the answer.
    pub(crate) fn wait(&self, request: RequestId, slot: &TurnSlot<A, R>, mut read: impl FnMut(&mut R)) -> A {
        let mut role = self.read_or_sleep(request);
        loop {
            if let Some(mut reader) = role.take() {
                while !slot.is_given() {
                    read(&mut reader);
                }
                self.pass_on(reader);
            }
            match slot.sleep() {
                Turn::Answered(answer) => return answer,
                Turn::Read(reader) => role = Some(reader),
            }
        }
    }

    /// Decides how this caller waits: as the reader, or asleep if there is one.
    fn read_or_sleep(&self, request: RequestId) -> Option<R> {
        let mut state = lock(&self.state);
        // A caller whose answer has come must not become the reader.
        if !state.slots.contains(request) {
            return None;
        }
        let reader = state.reader.take();
        if reader.is_none() {
            state.asleep.insert(request, ());
        }
        reader
    }

    /// Takes the reader, if no caller has it. The caller reads without waiting, and passes the reader on.
    pub(crate) fn take_reader(&self) -> Option<R> {
        lock(&self.state).reader.take()
    }

    /// Passes the reader's role to a caller that sleeps, or leaves it for the next that comes.
    pub(crate) fn pass_on(&self, reader: R) {
        let next = lock(&self.state).pass_on(reader);
        // Outside of the lock, since the caller that wakes up may want it.
        if let Some((slot, reader)) = next {
            slot.give(Turn::Read(reader));
        }
    }

    /// Hands an answer out, which only the reader does. Without a slot, it is a late answer to a request that was given
    /// up; then it comes back.
    pub(crate) fn give(&self, request: RequestId, answer: A) -> Option<A> {
        let slot = lock(&self.state).take_answered(request);
        match slot {
            None => Some(answer),
            Some(slot) => {
                slot.give(Turn::Answered(answer));
                None
            }
        }
    }

    /// Ends the connection for all callers, those that wait and those that come later.
    pub(crate) fn end(&self, end: DisconnectReason, mut answer: impl FnMut() -> A) {
        let slots = lock(&self.state).handle_end(end);
        for slot in slots {
            slot.give(Turn::Answered(answer()));
        }
    }

    /// Why the connection is over, if it is.
    pub(crate) fn ended(&self) -> Option<DisconnectReason> {
        lock(&self.state).slots.end().cloned()
    }

    /// Whether no request waits for its answer.
    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        lock(&self.state).slots.is_empty()
    }
}

impl<A, R> CallersState<A, R> {
    /// Takes the reader back. If a caller sleeps, returns the reader with the slot of the caller that is to have it.
    fn pass_on(&mut self, reader: R) -> Option<(Arc<TurnSlot<A, R>>, R)> {
        if self.slots.end().is_some() {
            return None;
        }
        let Some((request, ())) = self.asleep.pop_first() else {
            self.reader = Some(reader);
            return None;
        };
        let slot = self.slots.get(request).expect("a caller that sleeps has a slot");
        Some((Arc::clone(slot), reader))
    }

    fn take_answered(&mut self, request: RequestId) -> Option<Arc<TurnSlot<A, R>>> {
        self.asleep.remove(request);
        self.slots.handle_answer(request)
    }

    fn handle_end(&mut self, end: DisconnectReason) -> impl Iterator<Item = Arc<TurnSlot<A, R>>> + use<A, R> {
        self.asleep = RequestMap::new();
        self.slots.handle_end(end)
    }
}
