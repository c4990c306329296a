//! Serving: who gets what, in which order.
//!
//! After each input the model examines the waits in the order in which they came, serves the first that can be served,
//! and begins anew. So no wait takes what one that came before could take. A wait for all blocks nobody; only one for
//! any that waits for more permits than there are holds up those behind it.

use protocol::limits::FRAME_BYTES_MAX;
use protocol::{Code, Grant};

use super::locks::Lock;
use super::queues::Queue;
use super::sessions::{Unconfirmed, Used};
use super::waits::{Decision, Wait, Want};
use super::{Body, Caller, Model};

/// What is to become of a wait.
#[derive(Debug)]
pub(crate) enum Verdict {
    Blocked,
    TakeOne(usize),
    TakeAll,
    Refuse(Code),
}

/// Whether an object would serve a wait now.
enum Readiness {
    Ready,
    NotYet,
    Never(Code),
}

use Readiness::{Never, NotYet, Ready};

impl Model {
    /// Serves until nobody can be served, breaks deadlocks of waits for their own locks, and frees what nothing keeps.
    pub(crate) fn serve(&mut self) {
        loop {
            let verdicts = self.waits.iter().map(|(&key, wait)| (key, self.verdict(wait, key)));
            let served = verdicts.into_iter().find(|(_, verdict)| !matches!(verdict, Verdict::Blocked));
            if let Some((key, verdict)) = served {
                match verdict {
                    Verdict::Refuse(code) => self.refuse_wait(key, code),
                    verdict => {
                        let wait = self.waits.remove(&key).unwrap();
                        self.decide(wait, verdict);
                    }
                }
            } else if !(self.trip_one() || self.break_one_deadlock() || self.free_one()) {
                return self.free_blobs();
            }
        }
    }

    /// What is to become of a wait that came as this number.
    pub(crate) fn verdict(&self, wait: &Wait, arrival: u64) -> Verdict {
        let mut ready = 0;
        for (position, want) in wait.targets.iter().enumerate() {
            match self.readiness(want, wait.caller, arrival) {
                Ready if !wait.is_for_all => return Verdict::TakeOne(position),
                Ready => ready += 1,
                NotYet => {}
                Never(code) => return Verdict::Refuse(code),
            }
        }
        match wait.is_for_all && ready == wait.targets.len() {
            true if self.answer_may_be_too_large(&wait.targets) => Verdict::Refuse(Code::LimitReached),
            true => Verdict::TakeAll,
            false => Verdict::Blocked,
        }
    }

    /// Whether the item that these targets bring, and 2,048 bytes for each of them, are more than a frame.
    fn answer_may_be_too_large(&self, targets: &[Want]) -> bool {
        let items = targets.iter().filter_map(|want| match (want, &self.objects[&want.object()?].body) {
            (Want::Get(_), Body::Queue(queue)) => Some(queue.items[0].content.bytes().len()),
            _ => None,
        });
        items.sum::<usize>() + 2048 * targets.len() > FRAME_BYTES_MAX
    }

    fn readiness(&self, want: &Want, caller: Caller, arrival: u64) -> Readiness {
        let when = |is_ready: bool| if is_ready { Ready } else { NotYet };
        let Some(id) = want.object() else { return NotYet };
        match (want, &self.objects[&id].body) {
            (Want::Event(_), Body::Event(event)) => when(event.set_by.is_some()),
            (Want::Lock(_) | Want::Relock(_), Body::Lock(lock)) => {
                when(lock.holder.as_ref().is_none_or(|holder| lock.is_reentrant && holder.caller == caller))
            }
            (Want::Permits(_, permits), Body::Semaphore(semaphore)) => {
                when(semaphore.available() >= *permits && !self.is_held_up(id, arrival))
            }
            (Want::Barrier { .. }, Body::Barrier(barrier)) => {
                if barrier.is_broken {
                    Never(Code::Broken)
                } else {
                    NotYet
                }
            }
            (Want::Latch(_), Body::Latch(latch)) => when(latch.count == 0),
            (Want::Get(_), Body::Queue(queue)) => match queue.items.is_empty() {
                true if queue.is_closed => Never(Code::Closed),
                is_empty => when(!is_empty),
            },
            (Want::Put { .. }, Body::Queue(Queue { is_closed: true, .. })) => Never(Code::Closed),
            (Want::Put { .. }, Body::Queue(queue)) => {
                when(queue.capacity.is_none_or(|capacity| (queue.items.len() as u64) < capacity))
            }
            (Want::Join(_), Body::Queue(queue)) => when(queue.unfinished_count == 0),
            (Want::Calls { pool: id, .. }, Body::Pool(pool)) => {
                if pool.is_closed && self.open_batches(*id).is_empty() {
                    return Never(Code::Closed);
                }
                when(!pool.has_nothing_to_begin())
            }
            (Want::Results { least, .. }, Body::Batch(batch)) => {
                when(batch.is_ready(*least) && !self.is_held_up(id, arrival))
            }
            (Want::Notification(_), _) => NotYet,
            (want, _) => unreachable!("the kind was checked when the wait began: {want:?}"),
        }
    }

    /// Whether a wait that came before still waits for an object, since it wants more than there is.
    fn is_held_up(&self, id: protocol::ObjectId, arrival: u64) -> bool {
        let is_ahead = |(_, other): (&u64, &Wait)| {
            !other.is_for_all && other.targets.iter().any(|want| want.object() == Some(id))
        };
        self.waits.range(..arrival).any(is_ahead)
    }

    /// Takes what a wait can take, and answers it.
    pub(crate) fn decide(&mut self, mut wait: Wait, verdict: Verdict) {
        self.note_if_unused = true;
        if let Verdict::Refuse(code) = verdict {
            return self.reply(wait.caller.session, wait.request, super::refused(code));
        }
        if let Some(decision) = wait.decided.take() {
            let ((lock, _), holding, depth) = wait.gave_up.expect("it waits for the lock that it gave up");
            let reacquired = self.take_lock(lock, wait.caller, Some(holding), depth);
            return self.answer(&wait, decision, Some(reacquired));
        }
        let mut unconfirmed = Vec::new();
        let (index, taken) = match verdict {
            Verdict::TakeOne(position) => (position as u32, vec![wait.targets.swap_remove(position)]),
            _ => (0, std::mem::take(&mut wait.targets)),
        };
        let taken = taken.into_iter();
        let grants = taken.map(|want| self.take(want, wait.caller, &mut unconfirmed)).collect();
        self.conclude(wait, Decision::Taken { index, grants, unconfirmed });
    }

    fn take(&mut self, want: Want, caller: Caller, unconfirmed: &mut Vec<Unconfirmed>) -> Grant {
        match want {
            Want::Event(id) => self.take_event(id, unconfirmed),
            Want::Lock(id) => Grant::Lock(self.take_lock(id, caller, None, 1)),
            Want::Permits(id, permits) => {
                let now = self.now;
                let abandoned = self.semaphore(id).unwrap().take(caller.session, permits, now);
                Grant::Permits { abandoned }
            }
            Want::Latch(_) => Grant::Latch,
            Want::Get(queue) => self.take_item(queue, caller, unconfirmed),
            Want::Put { queue, item } => {
                self.queue(queue).unwrap().put(item);
                Grant::Put
            }
            Want::Join(_) => Grant::Joined,
            Want::Calls { pool, most } => self.take_calls(pool, caller.session, most),
            Want::Results { batch, .. } => self.take_results(batch, caller.session),
            Want::Relock(_) | Want::Notification(_) | Want::Barrier { .. } | Want::Nothing => {
                unreachable!("it is not taken")
            }
        }
    }

    /// Ends a wait that was decided: with its answer, or with a wait for the lock that it gave up.
    pub(crate) fn conclude(&mut self, mut wait: Wait, decision: Decision) {
        self.note_if_unused = true;
        // The lock may have ended while a party waited for the end of a barrier's action.
        let Some(((lock, _), holding, depth)) = wait.gave_up.filter(|(lock, ..)| self.exists(*lock)) else {
            return self.answer(&wait, decision, None);
        };
        let is_its = |lock: &mut Lock| lock.is_reentrant && lock.is_held_by(wait.caller, None);
        let is_free = self.lock(lock).is_ok_and(|lock| lock.holder.is_none());
        if self.lock(lock).is_ok_and(is_its) || (is_free && !self.is_held_up(lock, u64::MAX)) {
            let reacquired = self.take_lock(lock, wait.caller, Some(holding), depth);
            return self.answer(&wait, decision, Some(reacquired));
        }
        wait.is_for_all = false;
        wait.deadline = None;
        wait.targets = vec![Want::Relock(lock)];
        wait.decided = Some(decision);
        let key = self.park(wait);
        self.relocking.push(key);
    }

    fn answer(&mut self, wait: &Wait, decision: Decision, reacquired: Option<protocol::LockGrant>) {
        let (unconfirmed, decision) = match decision {
            Decision::Taken { index, grants, unconfirmed } => {
                (unconfirmed, Decision::Taken { index, grants, unconfirmed: Vec::new() })
            }
            Decision::TimedOut => (Vec::new(), Decision::TimedOut),
        };
        self.reply_with(wait.caller.session, wait.request, decision.reply(reacquired), unconfirmed);
    }

    /// Notes a grant that must not be lost.
    pub(crate) fn unconfirmed(&self, id: protocol::ObjectId, what: Used) -> Unconfirmed {
        Unconfirmed { object: (id, self.objects[&id].serial), what }
    }
}
