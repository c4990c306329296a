//! The one wait: for any or all of some targets, first come, first served, with a deadline, decided atomically.
//!
//! A request that can not be decided at once becomes a [`Waiter`], which stands in the list of each of its targets.
//! Whatever changes an object so that somebody may be served *touches* it; at the end of each input `settle` walks
//! the lists of touched objects from the front. A waiter leaves all of its lists in the moment it is decided, so it
//! is never decided twice, and what it takes is taken in that same moment, so nothing is granted twice either.
//!
//! The lists are woven through the waiters themselves: joining and leaving cost the same however many wait.

use alloc::format;

use protocol::{Code, Grant, Refusal, Reply, RequestId, SessionId, Taken, Target, Targets, WaitMode};
use smallvec::SmallVec;

use crate::object::Body;
use crate::slab::{Key, Slab};
use crate::{State, Time};

/// A blocked request.
#[derive(Debug)]
pub(crate) struct Waiter {
    session: SessionId,
    request: RequestId,
    deadline: Option<Time>,
    mode: WaitMode,
    targets: SmallVec<[Stand; 1]>,
}

/// A waiter's place in the list of one of its targets.
#[derive(Clone, Debug)]
struct Stand {
    object: Key,
    want: Want,
    before: Option<Place>,
    behind: Option<Place>,
}

/// Names a stand: which waiter, and which of its targets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    waiter: Key,
    target: u32,
}

/// What a waiter wants of a target's object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Want {
    /// That an event is set.
    Event,
    /// A task of a pool.
    Task,
    /// Results of a batch.
    Results,
}

/// Whether an object would serve a waiter now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Readiness {
    /// It would.
    Ready,
    /// It may later.
    NotYet,
    /// It never will; the wait is refused.
    Never(Refusal),
}

impl Readiness {
    pub(crate) fn when(ready: bool) -> Readiness {
        if ready { Readiness::Ready } else { Readiness::NotYet }
    }
}

/// What is to become of a waiter.
#[derive(Debug)]
enum Verdict {
    /// It goes on waiting.
    Blocked,
    /// It takes the target at this position.
    TakeOne(usize),
    /// It takes all of its targets.
    TakeAll,
    /// It can not be served any more.
    Refuse(Refusal),
}

/// Who waits for one object, first come first.
#[derive(Debug, Default)]
pub(crate) struct WaitList {
    first: Option<Place>,
    last: Option<Place>,
}

impl WaitList {
    /// The waiter that came first.
    pub(crate) fn first(&self) -> Option<Key> {
        self.first.map(|place| place.waiter)
    }

    fn push(&mut self, waiters: &mut Slab<Waiter>, place: Place) {
        stand(waiters, place).before = self.last;
        match self.last {
            Some(last) => stand(waiters, last).behind = Some(place),
            None => self.first = Some(place),
        }
        self.last = Some(place);
    }

    fn remove(&mut self, waiters: &mut Slab<Waiter>, place: Place) {
        let Stand { before, behind, .. } = *stand(waiters, place);
        match before {
            Some(before) => stand(waiters, before).behind = behind,
            None => self.first = behind,
        }
        match behind {
            Some(behind) => stand(waiters, behind).before = before,
            None => self.last = before,
        }
    }
}

fn stand(waiters: &mut Slab<Waiter>, place: Place) -> &mut Stand {
    &mut waiters[place.waiter].targets[place.target as usize]
}

impl State {
    /// Begins a wait. It is answered here or, if it blocks, later.
    pub(crate) fn wait(
        &mut self,
        session: SessionId,
        request: RequestId,
        mode: WaitMode,
        targets: &Targets,
        timeout_ns: Option<u64>,
    ) -> Result<(), Refusal> {
        if !request.wants_answer() {
            return Err(Refusal::new(Code::BadArgument, "a wait needs an answer, so it can not be one-way"));
        }
        let targets = self.stands(mode, targets)?;
        let deadline = timeout_ns.map(|timeout_ns| self.now.after_ns(timeout_ns));
        let waiter = Waiter { session, request, deadline, mode, targets };
        match self.verdict(&waiter) {
            Verdict::Blocked if timeout_ns == Some(0) => self.reply(session, request, Reply::TimedOut),
            Verdict::Blocked => self.park(waiter)?,
            verdict => self.carry_out(&waiter, verdict),
        }
        Ok(())
    }

    /// Finds the objects of the targets, and refuses targets that can not be waited for like this.
    fn stands(&self, mode: WaitMode, targets: &Targets) -> Result<SmallVec<[Stand; 1]>, Refusal> {
        let targets_max = self.limits.wait_targets_max;
        if targets.is_empty() {
            return Err(Refusal::new(Code::BadTarget, "a wait needs at least one target"));
        }
        if targets.len() > targets_max {
            let text = format!("a wait has at most {targets_max} targets, this one has {}", targets.len());
            return Err(Refusal::new(Code::LimitReached, text));
        }
        let mut stands: SmallVec<[Stand; 1]> = SmallVec::with_capacity(targets.len());
        for target in targets {
            let (id, kind) = target.object();
            let object = self.catalog.find(id, kind)?;
            stands.push(Stand { object, want: Want::of(target), before: None, behind: None });
        }
        if mode == WaitMode::All && stands.len() > 1 {
            if stands.iter().any(|stand| matches!(stand.want, Want::Task | Want::Results)) {
                let text = "tasks and results can be large, so they are not part of a wait for all";
                return Err(Refusal::new(Code::BadTarget, text));
            }
            let mut objects: SmallVec<[Key; 8]> = stands.iter().map(|stand| stand.object).collect();
            objects.sort_unstable();
            if objects.windows(2).any(|pair| pair[0] == pair[1]) {
                return Err(Refusal::new(Code::BadTarget, "a wait for all names each object once"));
            }
        }
        Ok(stands)
    }

    /// Whether and how a waiter can be served now.
    fn verdict(&self, waiter: &Waiter) -> Verdict {
        let mut ready = 0;
        for (position, stand) in waiter.targets.iter().enumerate() {
            match self.readiness(stand) {
                Readiness::Ready if waiter.mode == WaitMode::Any => return Verdict::TakeOne(position),
                Readiness::Ready => ready += 1,
                Readiness::NotYet => {}
                Readiness::Never(refusal) => return Verdict::Refuse(refusal),
            }
        }
        if ready == waiter.targets.len() { Verdict::TakeAll } else { Verdict::Blocked }
    }

    fn readiness(&self, stand: &Stand) -> Readiness {
        match (&self.catalog.at(stand.object).body, stand.want) {
            (Body::Event(event), Want::Event) => event.readiness(),
            (Body::Pool(pool), Want::Task) => pool.readiness(),
            (Body::Batch(batch), Want::Results) => batch.readiness(),
            _ => unreachable!("the kind was checked when the wait began"),
        }
    }

    /// Takes what is to be taken and answers. The waiter stands in no list.
    fn carry_out(&mut self, waiter: &Waiter, verdict: Verdict) {
        let (index, chosen) = match verdict {
            Verdict::Blocked => return,
            Verdict::Refuse(refusal) => {
                return self.reply(waiter.session, waiter.request, Reply::Refused(refusal));
            }
            Verdict::TakeOne(position) => (position, &waiter.targets[position..=position]),
            Verdict::TakeAll => (0, waiter.targets.as_slice()),
        };
        let grants = chosen.iter().map(|stand| self.take(stand, waiter.session)).collect();
        let taken = Taken { index: index as u32, grants };
        self.reply(waiter.session, waiter.request, Reply::Taken(taken));
    }

    fn take(&mut self, stand: &Stand, session: SessionId) -> Grant {
        match stand.want {
            Want::Event => self.event_take(stand.object, session),
            Want::Task => self.task_take(stand.object, session),
            Want::Results => self.results_take(stand.object),
        }
    }

    /// Lets a waiter stand in the list of each of its targets.
    fn park(&mut self, waiter: Waiter) -> Result<(), Refusal> {
        let session = self.sessions.get_mut(&waiter.session).expect("requests come from live sessions");
        if session.waits.len() >= self.limits.session_waits_max {
            let text = format!("a session has at most {} blocked requests", self.limits.session_waits_max);
            return Err(Refusal::new(Code::LimitReached, text));
        }
        let (request, deadline, targets) = (waiter.request, waiter.deadline, waiter.targets.len());
        let key = self.waiters.insert(waiter);
        if !session.add_wait(request, key) {
            self.waiters.remove(key);
            let text = format!("request {request} is blocked already; ids are used once");
            return Err(Refusal::new(Code::BadArgument, text));
        }
        for target in 0..targets as u32 {
            let place = Place { waiter: key, target };
            let object = stand(&mut self.waiters, place).object;
            self.catalog.at_mut(object).waiters.push(&mut self.waiters, place);
        }
        if let Some(deadline) = deadline {
            self.deadlines.insert((deadline, key));
        }
        Ok(())
    }

    /// Takes a waiter out of the lists of its targets, and out of the world.
    pub(crate) fn unpark(&mut self, key: Key) -> Waiter {
        for target in 0..self.waiters[key].targets.len() as u32 {
            let place = Place { waiter: key, target };
            let object = stand(&mut self.waiters, place).object;
            self.catalog.at_mut(object).waiters.remove(&mut self.waiters, place);
        }
        let waiter = self.waiters.remove(key);
        if let Some(deadline) = waiter.deadline {
            self.deadlines.remove(&(deadline, key));
        }
        if let Some(session) = self.sessions.get_mut(&waiter.session) {
            session.remove_wait(waiter.request);
        }
        waiter
    }

    /// Ends a blocked request with a refusal.
    pub(crate) fn refuse_waiter(&mut self, key: Key, refusal: Refusal) {
        let waiter = self.unpark(key);
        self.reply(waiter.session, waiter.request, Reply::Refused(refusal));
    }

    pub(crate) fn cancel(&mut self, session: SessionId, request: RequestId) -> Reply {
        if let Some(key) = self.sessions[&session].waiter_of(request) {
            self.refuse_waiter(key, Refusal::new(Code::Cancelled, "the wait was cancelled"));
        }
        Reply::Done
    }

    /// Times out every wait whose deadline has come.
    pub(crate) fn expire(&mut self) {
        while let Some(&(deadline, key)) = self.deadlines.first() {
            if deadline > self.now {
                break;
            }
            let waiter = self.unpark(key);
            self.reply(waiter.session, waiter.request, Reply::TimedOut);
        }
    }

    /// Notes that somebody who waits for this object may now be served.
    pub(crate) fn touch(&mut self, key: Key) {
        if self.touched.back() != Some(&key) {
            self.touched.push_back(key);
        }
    }

    /// Serves whoever can be served after what has changed, and frees what is not used, until nothing changes.
    pub(crate) fn settle(&mut self) {
        loop {
            if let Some(key) = self.touched.pop_front() {
                if self.catalog.get(key).is_some() {
                    self.serve(key);
                }
            } else if let Some(noted) = self.unused.pop() {
                self.free(noted);
            } else {
                return;
            }
        }
    }

    /// Walks the list of one object from the front, as far as it can serve.
    fn serve(&mut self, key: Key) {
        let mut next = self.catalog.at(key).waiters.first;
        while let Some(place) = next {
            let waiter = &self.waiters[place.waiter];
            if self.readiness(&waiter.targets[place.target as usize]) == Readiness::NotYet {
                break;
            }
            next = self.next_of_another(place);
            match self.verdict(waiter) {
                Verdict::Blocked => {}
                verdict => {
                    let waiter = self.unpark(place.waiter);
                    self.carry_out(&waiter, verdict);
                }
            }
        }
    }

    /// The next place in a list that is not the same waiter's, as a wait for any may name an object twice.
    fn next_of_another(&self, place: Place) -> Option<Place> {
        let mut next = Some(place);
        while let Some(at) = next {
            if at.waiter != place.waiter {
                break;
            }
            next = self.waiters[at.waiter].targets[at.target as usize].behind;
        }
        next
    }
}

impl Want {
    fn of(target: &Target) -> Want {
        match target {
            Target::Event { .. } => Want::Event,
            Target::Task { .. } => Want::Task,
            Target::Results { .. } => Want::Results,
        }
    }
}
