//! What the core asks of an object, whatever its kind.

use alloc::string::String;
use core::fmt::Debug;

use protocol::{Kind, ObjectState, Refusal, SessionId, Spec};

use crate::State;
use crate::objects::{Body, Unconfirmed, Want};
use crate::sessions::session::Abandoner;
use crate::store::catalog::Object;
use crate::store::lifetime::ObjectEnd;
use crate::store::slab::Key;
use crate::waiting::wait::{Caller, Lane, Readiness};
use crate::waiting::wait_queue::WaitQueue;

/// How the waiters of an object are served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Served {
    /// Each for itself, from the front of each wait queue.
    Queues,
    /// Several in one step.
    Together,
    /// None can be.
    Nobody,
}

/// What distinguishes an object from those of other kinds.
///
/// The questions take the body alone. A function that changes more than the body takes the whole state and the object's
/// key. An object knows nothing of deadlines, of other targets of a wait, or of the order of waiters.
pub(crate) trait ObjectBody: Debug {
    /// Its kind.
    fn kind(&self) -> Kind;

    /// What it was made with; none for what `Open` cannot make.
    fn spec(&self, state: &State) -> Option<Spec>;

    /// Its state, for an inspection.
    fn inspect(&self, state: &State, object: &Object) -> ObjectState;

    /// Whether it would serve a waiter now, apart from other waiters.
    fn readiness(&self, want: &Want, caller: Caller) -> Readiness;

    /// Whether taking what this wants leaves less for others, so that their order matters.
    #[inline]
    fn is_used_up(&self, want: &Want) -> bool {
        let _ = want;
        false
    }

    /// Whether a wait for it may take what a wait that came before could get.
    #[inline]
    fn may_be_used_up(&self) -> bool {
        true
    }

    /// Whether it is a lock that this caller holds, so that the caller need not queue for it.
    #[inline]
    fn is_held_by(&self, caller: Caller) -> bool {
        let _ = caller;
        false
    }

    /// Who holds it before this caller can, if it is a lock that another thread holds, or this one without being able
    /// to take it again.
    #[inline]
    fn holder_before(&self, caller: Caller) -> Option<Caller> {
        let _ = caller;
        None
    }

    /// Which wait queues it has.
    #[inline]
    fn lanes(&self) -> &'static [Lane] {
        &[Lane::Main]
    }

    /// A wait queue that it keeps itself, beside the main one.
    #[inline]
    fn wait_queue_in(&self, lane: Lane) -> &WaitQueue {
        let _ = lane;
        unreachable!("only a queue has lanes beside the main one")
    }

    /// The same, mutable.
    #[inline]
    fn wait_queue_mut(&mut self, lane: Lane) -> &mut WaitQueue {
        let _ = lane;
        unreachable!("only a queue has lanes beside the main one")
    }

    /// How those of its waiters are served that can be served now, if there are this many in its main wait queue.
    #[inline]
    fn service(&self, waiting: u32) -> Served {
        let _ = waiting;
        Served::Queues
    }

    /// Up to which of its waiters, by their numbers, one step has decided what becomes of them; 0 unless they are about
    /// to be told, in slices.
    #[inline]
    fn decided_upto(&self) -> u64 {
        0
    }

    /// Notes that a session has made it with `CreateNew`.
    fn created_new(state: &mut State, key: Key, session: SessionId) {
        let _ = (state, key, session);
    }

    /// Is removed by a session, or refuses that. The text says what was removed, and which process did it.
    fn remove(state: &mut State, key: Key, session: SessionId, text: String) -> Result<(), Refusal> {
        let _ = session;
        state.destroy(key, &ObjectEnd::Removed(text));
        Ok(())
    }

    /// Follows up on the end of a session that holds something of it. Returns whether it holds more, to be left behind
    /// by further calls.
    fn abandoned(state: &mut State, key: Key, abandoner: &Abandoner, what: &str) -> bool {
        let _ = (state, key, abandoner, what);
        unreachable!("nothing is held of this kind");
    }

    /// Takes back a grant that its receiver never got.
    fn given_back(state: &mut State, key: Key, grant: Unconfirmed) {
        let _ = (state, key);
        unreachable!("nothing of this kind is unconfirmed: {grant:?}");
    }

    /// Lets go of everything that it kept. Its key leads to nothing any more, and nobody waits for it.
    #[inline]
    fn destroyed(&mut self, state: &mut State, key: Key, end: &ObjectEnd) {
        let _ = (state, key, end);
    }
}

/// The body of any kind: each does what its kind does.
impl ObjectBody for Body {
    #[inline]
    fn kind(&self) -> Kind {
        with_body!(self, it => it.kind())
    }

    #[inline]
    fn spec(&self, state: &State) -> Option<Spec> {
        with_body!(self, it => it.spec(state))
    }

    #[inline]
    fn inspect(&self, state: &State, object: &Object) -> ObjectState {
        with_body!(self, it => it.inspect(state, object))
    }

    #[inline]
    fn readiness(&self, want: &Want, caller: Caller) -> Readiness {
        with_body!(self, it => it.readiness(want, caller))
    }

    #[inline]
    fn is_used_up(&self, want: &Want) -> bool {
        with_body!(self, it => it.is_used_up(want))
    }

    #[inline]
    fn may_be_used_up(&self) -> bool {
        with_body!(self, it => it.may_be_used_up())
    }

    #[inline]
    fn is_held_by(&self, caller: Caller) -> bool {
        with_body!(self, it => it.is_held_by(caller))
    }

    #[inline]
    fn holder_before(&self, caller: Caller) -> Option<Caller> {
        with_body!(self, it => it.holder_before(caller))
    }

    #[inline]
    fn lanes(&self) -> &'static [Lane] {
        with_body!(self, it => it.lanes())
    }

    #[inline]
    fn wait_queue_in(&self, lane: Lane) -> &WaitQueue {
        with_body!(self, it => it.wait_queue_in(lane))
    }

    #[inline]
    fn wait_queue_mut(&mut self, lane: Lane) -> &mut WaitQueue {
        with_body!(self, it => it.wait_queue_mut(lane))
    }

    #[inline]
    fn service(&self, waiting: u32) -> Served {
        with_body!(self, it => it.service(waiting))
    }

    #[inline]
    fn decided_upto(&self) -> u64 {
        with_body!(self, it => it.decided_upto())
    }

    #[inline]
    fn created_new(state: &mut State, key: Key, session: SessionId) {
        for_kind!(state.catalog.at(key).body, created_new(state, key, session));
    }

    #[inline]
    fn remove(state: &mut State, key: Key, session: SessionId, text: String) -> Result<(), Refusal> {
        for_kind!(state.catalog.at(key).body, remove(state, key, session, text))
    }

    #[inline]
    fn abandoned(state: &mut State, key: Key, abandoner: &Abandoner, what: &str) -> bool {
        for_kind!(state.catalog.at(key).body, abandoned(state, key, abandoner, what))
    }

    #[inline]
    fn given_back(state: &mut State, key: Key, grant: Unconfirmed) {
        for_kind!(state.catalog.at(key).body, given_back(state, key, grant));
    }

    #[inline]
    fn destroyed(&mut self, state: &mut State, key: Key, end: &ObjectEnd) {
        with_body!(self, it => it.destroyed(state, key, end));
    }
}
