//! Where one caller waits for its turn: the answer to its request, or the office of the reader.

use std::os::fd::OwnedFd;
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use protocol::Reply;

use crate::Result;
use crate::reader::Reader;
use crate::receipts::Receipt;
use crate::sync::lock;

/// What a caller is woken for.
#[derive(Debug)]
pub(crate) enum Turn {
    /// Its request is answered, or never will be.
    Answered(Result<Answered>),
    /// It is the reader now, for everyone, until its own request is answered.
    Read(Reader),
}

/// An answer, and what keeps it from being confirmed.
#[derive(Debug)]
pub(crate) struct Answered {
    pub(crate) reply: Reply,
    /// There is one if the answer brings an item.
    pub(crate) receipt: Option<Receipt>,
    /// The descriptor that came with it, if it is one of shared memory.
    pub(crate) enclosed: Option<OwnedFd>,
}

/// The place of one call, from its request to its answer.
///
/// Nobody takes two turns at once: only the reader answers, and the office of the reader is given to one
/// whose request is not answered. So there is room for one.
#[derive(Debug, Default)]
pub(crate) struct Seat {
    place: Mutex<Place>,
    given: Condvar,
}

#[derive(Debug, Default)]
struct Place {
    /// The turn that was given and not taken.
    turn: Option<Turn>,
    /// Whether the caller sleeps. One that does not is spared a system call.
    asleep: bool,
}

thread_local! {
    /// A thread makes one blocking call at a time, so all of them use one seat and none allocates.
    static OWN: Arc<Seat> = Arc::default();
}

impl Seat {
    /// The seat for the blocking calls of this thread.
    pub(crate) fn own() -> Arc<Seat> {
        // A destructor of a thread-local value may call when this one is gone already.
        OWN.try_with(Arc::clone).unwrap_or_default()
    }

    /// Gives the caller its turn, and wakes it if it sleeps.
    pub(crate) fn give(&self, turn: Turn) {
        let mut place = lock(&self.place);
        debug_assert!(place.turn.is_none(), "a caller was given two turns at once");
        place.turn = Some(turn);
        let asleep = place.asleep;
        drop(place);
        if asleep {
            self.given.notify_one();
        }
    }

    /// The turn, if it was given.
    pub(crate) fn take(&self) -> Option<Turn> {
        lock(&self.place).turn.take()
    }

    /// Sleeps until a turn is given.
    pub(crate) fn sleep(&self) -> Turn {
        let mut place = lock(&self.place);
        loop {
            if let Some(turn) = place.turn.take() {
                place.asleep = false;
                return turn;
            }
            place.asleep = true;
            place = self.given.wait(place).unwrap_or_else(PoisonError::into_inner);
        }
    }
}
