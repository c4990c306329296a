//! Waits: which are allowed, how they begin, time out and are cancelled ("Waiting").

use protocol::limits::{CARRIES_MAX, CARRIES_PER_REQUEST_MAX, PAYLOAD_BYTES_MAX};
use protocol::{Code, Grant, LockGrant, ObjectId, Reply, RequestId, SessionId, Target, WaitMode, WaitResult};

use super::blobs::Content;
use super::events::Event;
use super::memory::{GRANT_OF_CALLS, HOLDER, grant_of_event_cost, item_cost_most, wait_cost_most};
use super::queues::Item;
use super::serving::Verdict;
use super::sessions::Unconfirmed;
use super::{Caller, Model, Pin};

/// A blocked wait.
#[derive(Debug)]
pub(crate) struct Wait {
    pub(crate) caller: Caller,
    pub(crate) request: RequestId,
    pub(crate) since: u64,
    pub(crate) deadline: Option<u64>,
    /// Whether it is for all of several targets.
    pub(crate) is_for_all: bool,
    pub(crate) targets: Vec<Want>,
    /// The lock that it gave up: its holding, and how often its holder had acquired it.
    pub(crate) gave_up: Option<(Pin, u64, u32)>,
    /// How it was decided, if it only waits to hold its lock again.
    pub(crate) decided: Option<Decision>,
}

/// What a wait wants of one of its targets.
#[derive(Debug)]
pub(crate) enum Want {
    Event(ObjectId),
    /// A lock of either kind.
    Lock(ObjectId),
    /// The lock that it gave up.
    Relock(ObjectId),
    Notification(ObjectId),
    Permits(ObjectId, u64),
    /// To pass a barrier; with the number of the party once all have come.
    Barrier {
        id: ObjectId,
        has_action: bool,
        came: Option<u32>,
    },
    Latch(ObjectId),
    Get(ObjectId),
    Put {
        queue: ObjectId,
        item: Item,
    },
    Join(ObjectId),
    /// Calls of a pool, at most this many.
    Calls {
        pool: ObjectId,
        most: u32,
    },
    /// Results of a batch, at least this many.
    Results {
        batch: ObjectId,
        least: u32,
    },
    /// Nothing any more, since the wait has come to a barrier.
    Nothing,
}

#[derive(Debug)]
pub(crate) enum Decision {
    Taken { index: u32, grants: Vec<Grant>, unconfirmed: Vec<Unconfirmed> },
    TimedOut,
}

impl Want {
    pub(crate) fn object(&self) -> Option<ObjectId> {
        match *self {
            Want::Event(id)
            | Want::Lock(id)
            | Want::Relock(id)
            | Want::Notification(id)
            | Want::Permits(id, _)
            | Want::Barrier { id, .. }
            | Want::Latch(id)
            | Want::Get(id)
            | Want::Put { queue: id, .. }
            | Want::Join(id)
            | Want::Calls { pool: id, .. }
            | Want::Results { batch: id, .. } => Some(id),
            Want::Nothing => None,
        }
    }
}

impl Wait {
    /// The items that it wants to put.
    pub(crate) fn items(&self) -> impl Iterator<Item = &Item> {
        self.targets.iter().filter_map(|want| match want {
            Want::Put { item, .. } => Some(item),
            _ => None,
        })
    }
}

impl Decision {
    pub(crate) fn reply(self, reacquired: Option<LockGrant>) -> Reply {
        match self {
            Decision::TimedOut => Reply::TimedOut { reacquired },
            Decision::Taken { index, grants, .. } => {
                Reply::Taken(WaitResult { index, grants: grants.into(), reacquired })
            }
        }
    }

    /// Whether it took something that cannot be passed on.
    pub(crate) fn is_final(&self) -> bool {
        let moves_nothing =
            |grant: &Grant| matches!(grant, Grant::Notified | Grant::Event(_) | Grant::Latch | Grant::Joined);
        match self {
            Decision::Taken { grants, unconfirmed, .. } => {
                unconfirmed.is_empty() && !grants.iter().all(moves_nothing)
            }
            Decision::TimedOut => false,
        }
    }
}

impl Model {
    /// Refuses a wait whose request is not allowed.
    pub(crate) fn check_wait(
        &self,
        request: RequestId,
        mode: WaitMode,
        targets: &[Target<'_>],
    ) -> Result<(), Code> {
        if !request.wants_answer() {
            return Err(Code::BadArgument);
        }
        if targets.is_empty() {
            return Err(Code::BadTarget);
        }
        if targets.len() > self.limits.wait_targets_max {
            return Err(Code::LimitReached);
        }
        let count = |is_it: fn(&Target<'_>) -> bool| targets.iter().filter(|target| is_it(target)).count();
        let conditions = count(|target| matches!(target, Target::Condition { .. }));
        let locks = count(|target| matches!(target, Target::Lock { .. } | Target::RLock { .. }));
        if conditions > 1 || (conditions == 1 && locks > 0) {
            return Err(Code::BadTarget);
        }
        if mode == WaitMode::All && targets.len() > 1 {
            let gets = count(|target| matches!(target, Target::Get { .. }));
            let others = count(|target| {
                matches!(
                    target,
                    Target::Calls { .. }
                        | Target::Results { .. }
                        | Target::ManyResults { .. }
                        | Target::Condition { .. }
                        | Target::Barrier { .. }
                )
            });
            let is_named_twice = |one: &Target<'_>| {
                targets.iter().filter(|other| other.object().0 == one.object().0).count() > 1
            };
            if gets > 1 || others > 0 || targets.iter().any(is_named_twice) {
                return Err(Code::BadTarget);
            }
        }
        Ok(())
    }

    /// Refuses targets for which this caller may not wait as things are.
    pub(crate) fn check_targets(&mut self, caller: Caller, targets: &[Target<'_>]) -> Result<(), Code> {
        let (mut items, mut bytes, mut carried, mut memory) = (0, 0, 0, 0);
        targets.iter().try_for_each(|target| {
            match target {
                Target::Put { item, carries, .. } => {
                    items += 1;
                    bytes += item.len();
                    memory += item_cost_most(carries.len()) + item.len();
                    carried += carries.len();
                    check_carried(carried)?;
                    self.check_item(item, carries, items, bytes)?;
                    self.check_memory(memory)?;
                }
                Target::PutBlob { blob, carries, .. } => {
                    self.check_blob(caller.session, *blob)?;
                    items += 1;
                    memory += item_cost_most(carries.len());
                    carried += carries.len();
                    check_carried(carried)?;
                    self.check_item(&[], carries, items, bytes)?;
                    self.check_memory(memory)?;
                }
                Target::Calls { most: 0, .. } => return Err(Code::BadArgument),
                Target::Calls { .. } if self.sessions[&caller.session].is_terminating => {
                    return Err(Code::Cancelled);
                }
                // Whoever runs none gets some, so that they end and make room.
                Target::Calls { .. } if self.grants_of(caller.session) > 0 => {
                    self.check_memory(GRANT_OF_CALLS)?;
                }
                _ => {}
            }
            let (id, kind) = target.object();
            self.find(id, kind)?;
            match *target {
                Target::Condition { id, holding } => self.check_condition(caller, id, holding),
                Target::Semaphore { id, permits } => {
                    self.check_permits(id, permits)?;
                    self.check_memory(HOLDER)
                }
                Target::Event { id } => match self.event(id)? {
                    Event { auto_reset: true, reason_cost, .. } => {
                        let cost = grant_of_event_cost(*reason_cost);
                        self.check_memory(cost)
                    }
                    _ => Ok(()),
                },
                Target::Join { queue } => self.check_joinable(queue),
                _ => Ok(()),
            }
        })
    }

    /// Refuses an item that no queue could hold, or for which the manager has no room: with it, the wait brings this
    /// many items of this many bytes.
    fn check_item(&self, item: &[u8], carries: &[ObjectId], items: usize, bytes: usize) -> Result<(), Code> {
        let (items_kept, bytes_kept) = self.kept();
        let is_too_much = item.len() > PAYLOAD_BYTES_MAX
            || carries.len() > CARRIES_MAX
            || items_kept + items > self.limits.calls_and_items_max
            || bytes_kept + bytes > self.limits.stored_bytes_max;
        if is_too_much { Err(Code::LimitReached) } else { Ok(()) }
    }

    /// Begins a wait.
    pub(crate) fn wait(
        &mut self,
        caller: Caller,
        request: RequestId,
        mode: WaitMode,
        targets: &[Target<'_>],
        timeout_ns: Option<u64>,
    ) -> Result<(), Code> {
        self.check_wait(request, mode, targets)?;
        self.check_targets(caller, targets)?;
        let wait = Wait {
            caller,
            request,
            since: self.now,
            deadline: timeout_ns.map(|timeout_ns| self.now.saturating_add(timeout_ns).min(u64::MAX - 1)),
            is_for_all: mode == WaitMode::All && targets.len() > 1,
            targets: targets.iter().map(|target| self.want(target)).collect(),
            gave_up: None,
            decided: None,
        };
        // A wait that only asks has no effect, unless it gives up a lock or breaks a barrier.
        let has_effect = |want: &Want| matches!(want, Want::Notification(_) | Want::Barrier { .. });
        let only_asks = timeout_ns == Some(0) && !wait.targets.iter().any(has_effect);
        match self.verdict(&wait, u64::MAX) {
            Verdict::Blocked if only_asks => self.conclude(wait, Decision::TimedOut),
            Verdict::Blocked => return self.block(wait),
            verdict => self.decide(wait, verdict),
        }
        Ok(())
    }

    fn want(&self, target: &Target<'_>) -> Want {
        match *target {
            Target::Event { id } => Want::Event(id),
            Target::Lock { id } | Target::RLock { id } => Want::Lock(id),
            Target::Condition { id, .. } => Want::Notification(id),
            Target::Semaphore { id, permits } => Want::Permits(id, permits),
            Target::Barrier { id, has_action } => Want::Barrier { id, has_action, came: None },
            Target::Latch { id } => Want::Latch(id),
            Target::Get { queue } => Want::Get(queue),
            Target::Put { queue, item, ref carries } => {
                self.want_to_put(queue, Content::Bytes(item.into()), carries)
            }
            Target::PutBlob { queue, blob, ref carries } => {
                self.want_to_put(queue, Content::Blob(blob), carries)
            }
            Target::Join { queue } => Want::Join(queue),
            Target::Calls { pool, most } => Want::Calls { pool, most },
            Target::Results { batch } => Want::Results { batch, least: 1 },
            Target::ManyResults { batch, least } => Want::Results { batch, least },
        }
    }

    fn want_to_put(&self, queue: ObjectId, content: Content, carries: &[ObjectId]) -> Want {
        let carries = carries.iter().filter_map(|&id| self.pin(id)).collect();
        Want::Put { queue, item: Item { content, carries, put: 0 } }
    }

    /// Refuses another blocked request of a session.
    pub(crate) fn check_room_to_wait(&self, session: SessionId, request: RequestId) -> Result<(), Code> {
        let of_session = |other: &&Wait| other.caller.session == session;
        if self.waits.values().filter(of_session).count() >= self.limits.session_waits_max {
            return Err(Code::LimitReached);
        }
        match self.waits.values().filter(of_session).any(|other| other.request == request) {
            true => Err(Code::BadArgument),
            false => Ok(()),
        }
    }

    /// Has a wait that cannot be decided at once wait, if it may.
    fn block(&mut self, mut wait: Wait) -> Result<(), Code> {
        self.check_room_to_wait(wait.caller.session, wait.request)?;
        self.check_memory(wait_cost_most(wait.targets.len()) + self.brought_cost(&wait))?;
        if self.is_deadlock(&wait) {
            return Err(Code::Deadlock);
        }
        let condition = wait.targets.iter().find_map(|want| match want {
            Want::Notification(id) => Some(*id),
            _ => None,
        });
        if let Some(condition) = condition {
            let (lock, holding, depth) = self.give_up_lock(condition);
            wait.gave_up = Some(((lock, self.objects[&lock].serial), holding, depth));
        }
        self.park(wait);
        Ok(())
    }

    /// Puts a wait at the end of the wait queue.
    pub(crate) fn park(&mut self, wait: Wait) -> u64 {
        let locks: Vec<ObjectId> = wait
            .targets
            .iter()
            .filter_map(|want| match want {
                Want::Lock(id) | Want::Relock(id) => Some(*id),
                _ => None,
            })
            .collect();
        locks.into_iter().for_each(|lock| self.lock_wanted(lock, true));
        self.arrivals += 1;
        self.waits.insert(self.arrivals, wait);
        self.arrivals
    }

    /// Ends what is due, the earliest first.
    pub(crate) fn expire(&mut self) {
        loop {
            let due = self.waits.iter().filter(|(_, wait)| wait.deadline.is_some_and(|due| due <= self.now));
            let first = due.min_by_key(|(_, wait)| wait.deadline).map(|(&key, wait)| (wait.deadline, key));
            if let Some((due, id, number)) = self.next_call_due()
                && first.is_none_or(|(deadline, _)| Some(due) < deadline)
            {
                self.expire_call(id, number);
                continue;
            }
            let Some((_, key)) = first else { return };
            self.break_barriers_of(key);
            let wait = self.waits.remove(&key).unwrap();
            self.conclude(wait, Decision::TimedOut);
        }
    }

    pub(crate) fn cancel(&mut self, session: SessionId, request: RequestId) -> Reply {
        let is_it = |(_, wait): &(&u64, &Wait)| wait.caller.session == session && wait.request == request;
        let found = self.waits.iter().find(is_it).map(|(&key, _)| key);
        if let Some(key) = found
            && !self.waits[&key].decided.as_ref().is_some_and(Decision::is_final)
        {
            self.break_barriers_of(key);
            self.refuse_wait(key, Code::Cancelled);
        }
        Reply::Done
    }
}

/// Refuses a wait whose items carry this many objects together.
fn check_carried(objects: usize) -> Result<(), Code> {
    if objects > CARRIES_PER_REQUEST_MAX { Err(Code::LimitReached) } else { Ok(()) }
}
