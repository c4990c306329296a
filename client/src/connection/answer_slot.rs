//! Where one caller waits for its turn: the answer to its request, or the reader's role.

use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use protocol::Reply;
use sys::futex::{self, Sleepers};

use crate::Result;
use crate::connection::acks::AckHold;
use crate::connection::reader::Reader;
use crate::sync::lock;

/// The caller has no turn, and is awake.
const AWAKE: u32 = 0;

/// The caller has no turn, and sleeps or is about to.
const ASLEEP: u32 = 1;

/// The turn was given and not taken.
const GIVEN: u32 = 2;

/// What a caller is woken for.
#[derive(Debug)]
pub(crate) enum Turn {
    /// Its request is answered, or never will be.
    Answered(Result<Answered>),
    /// It is the reader now, for everyone, until its own request is answered.
    Read(Reader),
}

/// An answer, and what holds its acknowledgement back.
#[derive(Debug)]
pub(crate) struct Answered {
    pub(crate) reply: Reply,
    /// Some if the answer brings an item that carries proxies.
    pub(crate) ack_hold: Option<AckHold>,
    /// The descriptor that came with it, if the answer shares memory.
    pub(crate) enclosed: Option<OwnedFd>,
}

/// The place of one call, from its request to its answer.
///
/// It has room for one turn, as no caller gets two at once: only the reader hands out answers, and the reader's role
/// goes to a caller whose request is not answered.
#[derive(Debug, Default)]
pub(crate) struct AnswerSlot {
    /// The turn that was given and not taken.
    turn: Mutex<Option<Turn>>,
    /// Whether the caller has its turn, is awake, or sleeps; it sleeps on this word.
    state: AtomicU32,
}

thread_local! {
    /// A thread makes one blocking call at a time, so all of them use one slot and none allocates.
    static OWN: Arc<AnswerSlot> = Arc::default();
}

impl AnswerSlot {
    /// The slot for the blocking calls of this thread.
    pub(crate) fn own() -> Arc<AnswerSlot> {
        // The destructor of another thread-local value may call after this one was destroyed.
        OWN.try_with(Arc::clone).unwrap_or_default()
    }

    /// Gives the caller its turn, and wakes it if it sleeps. Without a sleeper this makes no system call.
    pub(crate) fn give(&self, turn: Turn) {
        let before = lock(&self.turn).replace(turn);
        debug_assert!(before.is_none(), "a caller was given two turns at once");
        if self.state.swap(GIVEN, Ordering::AcqRel) == ASLEEP {
            futex::wake_one(&self.state, Sleepers::OfThisProcess);
        }
    }

    /// Whether a turn was given and not taken.
    pub(crate) fn is_given(&self) -> bool {
        self.state.load(Ordering::Acquire) == GIVEN
    }

    /// The turn, if it was given.
    pub(crate) fn take(&self) -> Option<Turn> {
        // Asked first: the giver changes the state last, and must not do so for a turn that is gone.
        if !self.is_given() {
            return None;
        }
        let turn = lock(&self.turn).take();
        self.state.store(AWAKE, Ordering::Relaxed);
        turn
    }

    /// Sleeps until a turn is given.
    pub(crate) fn sleep(&self) -> Turn {
        loop {
            if let Some(turn) = self.take() {
                return turn;
            }
            let before = self.state.compare_exchange(AWAKE, ASLEEP, Ordering::Relaxed, Ordering::Relaxed);
            if before != Err(GIVEN) {
                // It returns when the caller is woken, when its turn came before it slept, or for no reason. The loop
                // tells these apart.
                futex::wait(&self.state, ASLEEP, Sleepers::OfThisProcess, None);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    fn answer(number: u64) -> Turn {
        Turn::Answered(Ok(Answered { reply: Reply::Count(number), ack_hold: None, enclosed: None }))
    }

    fn number(turn: Turn) -> u64 {
        match turn {
            Turn::Answered(Ok(Answered { reply: Reply::Count(number), .. })) => number,
            turn => panic!("{turn:?}"),
        }
    }

    #[test]
    fn a_turn_is_taken_once() {
        let slot = AnswerSlot::default();
        assert!(slot.take().is_none());
        slot.give(answer(1));
        assert!(slot.is_given());
        assert_eq!(slot.take().map(number), Some(1));
        assert!(!slot.is_given() && slot.take().is_none());
        slot.give(answer(2));
        assert_eq!(number(slot.sleep()), 2);
    }

    #[test]
    fn no_turn_is_lost_however_the_caller_sleeps() {
        const TURNS: u64 = 20_000;
        let slot = AnswerSlot::default();
        thread::scope(|scope| {
            scope.spawn(|| (0..TURNS).for_each(|turn| assert_eq!(number(slot.sleep()), turn)));
            for turn in 0..TURNS {
                // Sometimes the caller sleeps already, and sometimes it is about to.
                while slot.is_given() {
                    thread::yield_now();
                }
                slot.give(answer(turn));
            }
        });
    }
}
