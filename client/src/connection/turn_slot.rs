//! The place where one caller waits for its turn: the answer to its request, or the reader's role.

use crate::sync::{Mutex, Ordering, SleepWord, lock};

/// The caller has no turn, and is awake.
const AWAKE: u32 = 0;

/// The caller has no turn, and sleeps or is about to.
const ASLEEP: u32 = 1;

/// The turn was given and not taken.
const GIVEN: u32 = 2;

/// What a caller wakes up for.
#[derive(Debug)]
pub(crate) enum Turn<A, R> {
    /// Its request is answered, or never will be.
    Answered(A),
    /// It is the reader now, for everyone, until its own request is answered.
    Read(R),
}

/// The place of one call, from its request to its answer. It has room for one turn, since no caller gets two at once:
/// only the reader hands out answers, and the reader's role goes to a caller whose request is not answered.
#[derive(Debug)]
pub(crate) struct TurnSlot<A, R> {
    /// The turn that was given and not taken.
    turn: Mutex<Option<Turn<A, R>>>,
    /// Whether the caller has its turn, is awake, or sleeps; it sleeps on this word.
    state: SleepWord,
}

impl<A, R> TurnSlot<A, R> {
    /// Gives the caller its turn, and wakes it if it sleeps. Without a sleeper this makes no system call.
    pub(crate) fn give(&self, turn: Turn<A, R>) {
        let before = lock(&self.turn).replace(turn);
        debug_assert!(before.is_none(), "a caller was given two turns at once");
        if self.state.swap(GIVEN, Ordering::AcqRel) == ASLEEP {
            self.state.wake_one();
        }
    }

    /// Whether a turn was given and not taken.
    pub(crate) fn is_given(&self) -> bool {
        self.state.load(Ordering::Acquire) == GIVEN
    }

    /// The turn, if it was given.
    pub(crate) fn take(&self) -> Option<Turn<A, R>> {
        // The check comes first: the giver changes the state last, and must not change it after its turn was taken.
        if !self.is_given() {
            return None;
        }
        let turn = lock(&self.turn).take();
        self.state.store(AWAKE, Ordering::Relaxed);
        turn
    }

    /// Sleeps until a turn is given.
    pub(crate) fn sleep(&self) -> Turn<A, R> {
        loop {
            if let Some(turn) = self.take() {
                return turn;
            }
            let before = self.state.compare_exchange(AWAKE, ASLEEP, Ordering::Relaxed, Ordering::Relaxed);
            if before != Err(GIVEN) {
                // This returns when the caller is woken, when its turn came before it slept, or for no reason. The loop
                // distinguishes these.
                self.state.sleep(ASLEEP);
            }
        }
    }
}

impl<A, R> Default for TurnSlot<A, R> {
    fn default() -> TurnSlot<A, R> {
        TurnSlot { turn: Mutex::new(None), state: SleepWord::default() }
    }
}
