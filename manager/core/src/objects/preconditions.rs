//! What requests need, by the kind of object that they name: who may wait for it, with what else, and which requests
//! come after work that is [unfinished](crate::waiting::unfinished).

use protocol::{Code, Refusal, Request, SessionId, Target};

use crate::State;
use crate::objects::Body;
use crate::objects::queue::Brought;
use crate::store::memory::HOLDER_BYTES;
use crate::store::slab::Key;
use crate::waiting::wait::Caller;

/// Whether a target is a notification.
pub(crate) fn is_condition(target: &Target<'_>) -> bool {
    matches!(target, Target::Condition { .. })
}

/// Whether a target is a lock, reentrant or not.
pub(crate) fn is_lock(target: &Target<'_>) -> bool {
    matches!(target, Target::Lock { .. } | Target::RLock { .. })
}

/// Whether the answer of a wait would bring an item for this target.
pub(crate) fn brings_item(target: &Target<'_>) -> bool {
    matches!(target, Target::Get { .. })
}

/// Refuses a target that cannot be part of a wait for all.
pub(crate) fn check_part_of_all(target: &Target<'_>) -> Result<(), Refusal> {
    let text = match target {
        Target::Calls { .. } | Target::Results { .. } | Target::ManyResults { .. } => {
            "calls and results can be large, so they are not part of a wait for all"
        }
        Target::Condition { .. } | Target::Barrier { .. } => {
            "conditions and barriers are not part of a wait for all"
        }
        _ => return Ok(()),
    };
    Err(Refusal::new(Code::BadTarget, text))
}

impl State {
    /// The object of a target, if this caller may wait for it as things are. `brought` counts what the targets of one
    /// wait bring.
    #[inline]
    pub(crate) fn find_target(
        &self,
        caller: Caller,
        target: &Target<'_>,
        brought: &mut Brought,
    ) -> Result<Key, Refusal> {
        match target {
            Target::Calls { most: 0, .. } => {
                return Err(Refusal::new(Code::BadArgument, "a wait for calls asks for at least one"));
            }
            Target::Calls { .. } => self.check_may_work(caller.session)?,
            Target::Put { item, carries, .. } => self.check_item(item.len(), carries, brought)?,
            Target::PutBlob { blob, carries, .. } => {
                self.check_blob(caller.session, *blob)?;
                self.check_item(0, carries, brought)?;
            }
            _ => {}
        }
        let (id, kind) = target.object();
        let key = self.catalog.find(id, kind)?;
        match *target {
            Target::Event { .. } => self.check_event_memory(key)?,
            Target::Condition { holding, .. } => self.check_condition(caller, key, holding)?,
            Target::Semaphore { permits, .. } => {
                self.check_permits(key, permits)?;
                self.check_memory(HOLDER_BYTES)?;
            }
            Target::Join { .. } => self.check_joinable(key)?,
            _ => {}
        }
        Ok(key)
    }

    /// Whether a request would see half of what earlier inputs have left, or undo it.
    pub(crate) fn depends_on_unfinished(&self, session: SessionId, request: &Request<'_>) -> bool {
        match request {
            Request::Wait { targets, .. } | Request::SignalAndWait { targets, .. } => {
                self.may_be_unfinished(targets)
            }
            Request::EventClear { id }
            | Request::QueueClose { id }
            | Request::Remove { id }
            | Request::BarrierPass { id, .. }
            | Request::BarrierAbort { id, .. }
            | Request::BarrierReset { id }
            | Request::BarrierStatus { id } => {
                self.catalog.key(*id).is_some_and(|key| self.unfinished.agenda.concerns(key))
            }
            Request::Notify { id, .. } => {
                let condition = self.catalog.key(*id).map(|key| &self.catalog.at(key).body);
                let lock = condition.and_then(Body::lock_of_condition);
                lock.is_some_and(|lock| self.unfinished.agenda.joins(lock))
            }
            Request::Cancel { request } => {
                let waiter = self.sessions.get(&session).and_then(|session| session.waiter_of(*request));
                waiter.is_some_and(|waiter| self.is_decided(waiter))
            }
            _ => false,
        }
    }
}
