//! Locks of both kinds ("Locks").

use protocol::{Abandonment, Code, LockGrant, ObjectId, Reply, SessionId};

use super::{Body, Caller, Model, ModelAnswer, abandonment};

pub(crate) struct Lock {
    pub(crate) is_reentrant: bool,
    pub(crate) holder: Option<Holder>,
    /// Who left it behind, until somebody holds it or clears the mark.
    pub(crate) abandoned: Option<Abandonment>,
}

#[derive(Clone)]
pub(crate) struct Holder {
    pub(crate) caller: Caller,
    pub(crate) since: u64,
    pub(crate) holding: u64,
    pub(crate) token: u64,
    pub(crate) depth: u32,
    /// Whether others have waited for the lock since.
    pub(crate) is_wanted: bool,
}

impl Lock {
    pub(crate) fn new(is_reentrant: bool) -> Lock {
        Lock { is_reentrant, holder: None, abandoned: None }
    }

    /// Whether a thread holds it, in this holding if one is named.
    pub(crate) fn is_held_by(&self, caller: Caller, holding: Option<u64>) -> bool {
        self.holder.as_ref().is_some_and(|holder| {
            holder.caller == caller && holding.is_none_or(|holding| holding == holder.holding)
        })
    }
}

impl Model {
    /// Makes a caller the holder of a lock that is ready: in a new holding, or in one that it gave up.
    pub(crate) fn take_lock(
        &mut self,
        id: ObjectId,
        caller: Caller,
        holding: Option<u64>,
        depth: u32,
    ) -> LockGrant {
        let (now, next_holding, token) = (self.now, self.last_holding + 1, self.token);
        let lock = self.lock(id).unwrap();
        if let Some(holder) = &mut lock.holder {
            holder.depth += depth;
            return LockGrant {
                holding: holder.holding,
                token: holder.token,
                depth: holder.depth,
                abandoned: None,
            };
        }
        let abandoned = lock.abandoned.take();
        let new_holding = holding.unwrap_or(next_holding);
        let holder = Holder { caller, since: now, holding: new_holding, token, depth, is_wanted: false };
        lock.holder = Some(holder);
        self.last_holding = self.last_holding.max(new_holding);
        self.token += 1;
        if self.is_lock_awaited(id) {
            self.lock_wanted(id, false);
        }
        LockGrant { holding: new_holding, token, depth, abandoned }
    }

    pub(crate) fn release_lock(&mut self, caller: Caller, id: ObjectId, holding: Option<u64>) -> ModelAnswer {
        let lock = self.lock(id)?;
        let Some(holder) = &mut lock.holder else {
            return match holding.is_none() && lock.abandoned.take().is_some() {
                true => Ok(Reply::Done),
                false => Err(Code::NotOwner),
            };
        };
        let is_its = match holding {
            Some(holding) => holder.caller.session == caller.session && holder.holding == holding,
            None => holder.caller == caller,
        };
        if !is_its {
            return Err(Code::NotOwner);
        }
        holder.depth -= 1;
        if holder.depth == 0 {
            self.free_lock(id);
        }
        Ok(Reply::Done)
    }

    pub(crate) fn free_lock(&mut self, id: ObjectId) {
        self.end_holding(id);
    }

    /// Ends the holding of a lock, if it is one and is held.
    pub(crate) fn end_holding(&mut self, id: ObjectId) {
        if let Body::Lock(lock) = &mut self.objects.get_mut(&id).unwrap().body
            && let Some(holder) = lock.holder.take()
            && holder.is_wanted
        {
            self.lock_unwanted(holder.caller.session);
        }
    }

    pub(crate) fn force_release(&mut self, session: SessionId, id: ObjectId) -> ModelAnswer {
        let holder = self.lock(id)?.holder.clone().ok_or(Code::NotOwner)?;
        // The text names the process that took it.
        let how = format!("~process {} ", self.sessions[&session].process);
        let mark = abandonment(&self.sessions[&holder.caller.session], &how, self.now - holder.since);
        self.lock(id)?.abandoned = Some(mark);
        self.free_lock(id);
        Ok(Reply::Done)
    }
}
