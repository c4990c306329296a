//! Memory: how much of it counts for what clients have the manager keep, and what is refused at its edge ("Numbers").
//!
//! The page says what counts, and that each thing counts with its bytes and a fixed cost by its kind. The costs are the
//! manager's own, and stand here once more. The model counts everything anew whenever it needs to know.

use protocol::{Chunk, Code, Grant, ObjectId, SessionId};

use super::batches::{EndedTogether, Opening};
use super::effects::Expected;
use super::events::SetBy;
use super::queues::Item;
use super::sessions::{Session, Unconfirmed, Used};
use super::waits::{Decision, Wait, Want};
use super::{Body, Model, Object};

/// More than these runs ever keep, apart from blobs that never come.
const AMPLE: usize = 1 << 30;

const SESSION: usize = 1_280;
pub(crate) const REFERENCE: usize = 64;
pub(crate) const GRANT_OF_CALLS: usize = 320;
const UNCONFIRMED: usize = 224;
const OBJECT: usize = 64;
const NAME: usize = 24;
const EVENT: usize = 352;
const BATCH: usize = 1_024;
pub(crate) const HOLDER: usize = 512;
const WAIT: usize = 256;
const TARGET: usize = 56;
const DECISION: usize = 256;
const CALL: usize = 128;
const CARRIED: usize = 16;
const JOINABLE: usize = 176;
const CARRIES: usize = 128;
pub(crate) const RESULT_CARRIED: usize = 32;
const TEXT: usize = 16;

/// How far the model may be off while a session ends, as the page does not say in which order its objects go.
const END_OF_SESSION: usize = 4_096;

/// What an object takes, apart from what comes to it later.
pub(crate) fn object_cost(name: Option<&str>, body: &Body) -> usize {
    let body = match body {
        Body::Event(_) => EVENT,
        Body::Lock(_) => 672,
        Body::Condition(_) => 96,
        Body::Semaphore(_) => 144,
        Body::Barrier(_) => 1_536,
        Body::Latch(_) => 0,
        Body::Queue(_) => 224,
        Body::Pool(_) => 544,
        Body::Batch(batch) => BATCH + batch.function.len(),
    };
    OBJECT + name.map_or(0, |name| NAME + name.len()) + body
}

/// What a batch takes with its stop event, and with the references of its owner.
pub(crate) fn batch_cost(opening: &Opening<'_>) -> usize {
    2 * (OBJECT + REFERENCE) + EVENT + BATCH + opening.function.len()
}

/// What chunks of calls take.
pub(crate) fn chunks_cost(chunks: &[Chunk<'_>]) -> usize {
    let chunk = |chunk: &Chunk<'_>| {
        CALL * chunk.calls as usize + chunk.arguments.len() + carries_cost(chunk.carries.len())
    };
    chunks.iter().map(chunk).sum()
}

/// What a call takes whose arguments are a blob.
pub(crate) fn blob_call_cost(carries: usize) -> usize {
    CALL + carries_cost(carries)
}

pub(crate) fn carries_cost(carries: usize) -> usize {
    if carries == 0 { 0 } else { CARRIES + CARRIED * carries }
}

/// What an item takes at most beside its bytes, as a wait does not know which queue it is for.
pub(crate) fn item_cost_most(carries: usize) -> usize {
    CALL + CARRIED * carries + JOINABLE
}

/// What a reason takes.
pub(crate) fn reason_cost(cause: &SetBy) -> usize {
    cause.reason.as_ref().map_or(0, |reason| TEXT + reason.len())
}

/// What the grant of an auto-reset event takes until it is confirmed.
pub(crate) fn grant_of_event_cost(reason: usize) -> usize {
    UNCONFIRMED + reason
}

/// What a wait takes at most while it is blocked, apart from the items that it brings.
pub(crate) fn wait_cost_most(targets: usize) -> usize {
    WAIT + targets_cost(targets) + DECISION
}

fn targets_cost(targets: usize) -> usize {
    if targets > 1 { TARGET * targets } else { 0 }
}

fn unconfirmed_cost(grant: &Unconfirmed) -> usize {
    match &grant.what {
        Used::Set { cause, .. } => grant_of_event_cost(reason_cost(cause)),
        Used::Notification => UNCONFIRMED,
        // It counts with the other items.
        Used::Item(_) => 0,
    }
}

/// What answers bring that were not sent yet.
fn cost_on_its_way(effect: &Expected) -> usize {
    match effect {
        Expected::Reply { unconfirmed, .. } => unconfirmed.iter().map(unconfirmed_cost).sum(),
        _ => 0,
    }
}

impl Model {
    /// Refuses what takes more memory than there is.
    pub(crate) fn check_memory(&self, bytes: usize) -> Result<(), Code> {
        if self.has_memory_for(bytes) { Ok(()) } else { Err(Code::LimitReached) }
    }

    pub(crate) fn has_memory_for(&self, bytes: usize) -> bool {
        bytes <= self.memory_left()
    }

    /// For how many bytes there is room.
    pub(crate) fn memory_left(&self) -> usize {
        let most = self.limits.memory_bytes_max - self.limits.memory_bytes_max / 4;
        let charged = if most > AMPLE { AMPLE } else { self.charged() };
        most.saturating_sub(charged)
    }

    /// How much memory counts for all that clients have the manager keep.
    pub(crate) fn charged(&self) -> usize {
        let (calls, bytes) = self.kept();
        let sessions: usize = self.sessions.iter().map(|(&id, session)| self.session_cost(id, session)).sum();
        let objects: usize = self.objects.values().map(|object| self.cost_of(object)).sum();
        let waits: usize = self.waits.values().map(|wait| self.wait_cost(wait)).sum();
        let effects: usize = self.effects.iter().map(cost_on_its_way).sum();
        let carried: usize = self.all_items().iter().map(|item| CARRIED * item.carries.len()).sum();
        CALL * calls + bytes + sessions + objects + waits + effects + carried
    }

    fn session_cost(&self, id: SessionId, session: &Session) -> usize {
        SESSION
            + session.program.len()
            + REFERENCE * session.references.len()
            + GRANT_OF_CALLS * (self.grants_of(id) as usize).saturating_sub(1)
            + session.unconfirmed.iter().map(|(_, grant)| unconfirmed_cost(grant)).sum::<usize>()
    }

    fn cost_of(&self, object: &Object) -> usize {
        let more = match &object.body {
            Body::Event(event) => event.reason_cost,
            Body::Semaphore(semaphore) => HOLDER * semaphore.holders(),
            Body::Queue(queue) if queue.unfinished.is_some() => JOINABLE * queue.all_items().count(),
            Body::Batch(batch) => batch.carries_cost() + RESULT_CARRIED * batch.carried.len(),
            _ => 0,
        };
        object_cost(object.name.as_deref(), &object.body) + more
    }

    fn wait_cost(&self, wait: &Wait) -> usize {
        let results = |grant: &Grant| match grant {
            Grant::Results(results) => results.results.iter().map(EndedTogether::bytes_of).sum(),
            _ => 0,
        };
        let decision = match &wait.decided {
            Some(Decision::Taken { grants, unconfirmed, .. }) => {
                let unconfirmed: usize = unconfirmed.iter().map(unconfirmed_cost).sum();
                grants.iter().map(results).sum::<usize>() + unconfirmed
            }
            _ => 0,
        };
        let gave_up = if wait.gave_up.is_some() { DECISION } else { 0 };
        WAIT + targets_cost(wait.targets.len()) + gave_up + decision + self.items_cost_beside(wait)
    }

    /// What the items of a wait take that are to go into joinable queues, beyond what others take.
    fn items_cost_beside(&self, wait: &Wait) -> usize {
        let is_joinable = |id: &ObjectId| match &self.objects[id].body {
            Body::Queue(queue) => queue.unfinished.is_some(),
            _ => false,
        };
        let puts = wait.targets.iter().filter(|want| match want {
            Want::Put { queue, .. } => is_joinable(queue),
            _ => false,
        });
        JOINABLE * puts.count()
    }

    /// What the items of a wait take that has not begun.
    pub(crate) fn brought_cost(&self, wait: &Wait) -> usize {
        let item = |item: &Item| CALL + item.content.bytes().len() + CARRIED * item.carries.len();
        wait.items().map(item).sum::<usize>() + self.items_cost_beside(wait)
    }

    /// A cause as an event keeps it: without its reason if there is no room for that.
    pub(crate) fn cause_with_room(&mut self, cause: &SetBy) -> SetBy {
        if cause.reason.is_none() {
            return cause.clone();
        }
        let needed = reason_cost(cause);
        let fits = self.has_memory_for(needed);
        self.reasons.push((fits, self.has_memory_for(needed + END_OF_SESSION)));
        match fits {
            true => cause.clone(),
            false => cause.without_reason(),
        }
    }

    /// Whether the page leaves open which events of this input keep their reasons, since some do and others do not.
    pub(crate) fn is_left_open(&self, ends_session: bool) -> bool {
        let all = self.reasons.iter().all(|(fits, _)| *fits);
        let none = self.reasons.iter().all(|(fits, _)| !fits);
        let is_close = ends_session && self.reasons.iter().any(|(_, fits_amply)| !fits_amply);
        !(all || none) || is_close
    }
}
