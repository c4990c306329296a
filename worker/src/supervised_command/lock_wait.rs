//! Looking at a wait for a lock while it goes on: who holds the lock, and whether the wait can end at all.

use std::collections::{BTreeMap, BTreeSet};
use std::process;
use std::sync::Arc;

use client::Result;
use client::inspect::HolderInfo;
use client::internal::Link;
use client::internal::operations::{Inspect, ListObjects, Page};
use protocol::{Kind, ObjectId, ObjectInfo, ObjectState, Selector, ThreadId};
use sys::process::name_of;
use sys::process_stat::ProcessStat;

use super::SUPERVISOR_NAME;
use super::deadlock::{Cycle, LockUser, LockWait};

/// How many objects to list, and how many of those that somebody waits for to inspect. A manager with more has
/// deadlocks that are not found.
const OBJECTS_MAX: usize = 10_000;
const INSPECTED_MAX: usize = 200;

/// How many commands around each other are looked at.
const DEPTH_MAX: usize = 100;

/// A lock that this process waits for, as the manager shows it.
#[derive(Debug)]
pub(super) struct AwaitedLock {
    info: ObjectInfo,
}

impl AwaitedLock {
    /// Looks at the lock. None if nobody holds it.
    pub(super) fn look(link: &Link, lock: ObjectId) -> Result<Option<AwaitedLock>> {
        let info = *link.run(Inspect { object: Selector::Id(lock) })?;
        let lock = AwaitedLock { info };
        Ok(lock.holder().is_some().then_some(lock))
    }

    fn holder(&self) -> Option<&protocol::HolderInfo> {
        holder_of(&self.info)
    }

    /// The tenure of the lock: another holder has another token.
    pub(super) fn token(&self) -> Option<u64> {
        self.holder().map(|holder| holder.token)
    }

    /// Who holds it, since when, and who comes before this process; completes “waits for”.
    pub(super) fn describe(&self) -> String {
        let holder = self.holder().map(|holder| HolderInfo::from(holder.clone()).to_string());
        let mut text = format!("{}: {}", called(&self.info), holder.unwrap_or_default());
        let own = self.info.waiters.iter().position(|waiter| waiter.process == process::id());
        match own.unwrap_or_default() {
            0 => {}
            1 => text.push_str("; one waits before this one"),
            more => text.push_str(&format!("; {more} wait before this one")),
        }
        text
    }

    /// The cycle of waits that this process belongs to, if there is one.
    pub(super) fn cycle(&self, link: &Link) -> Result<Option<Cycle>> {
        let Some(mine) = self.own_wait() else { return Ok(None) };
        let alone = Cycle::of_first(std::slice::from_ref(&mine));
        if alone.is_some() {
            return Ok(alone);
        }
        let mut waits = vec![mine];
        waits.extend(other_waits(link)?);
        Ok(Cycle::of_first(&waits))
    }

    fn own_wait(&self) -> Option<LockWait> {
        waits_of(&self.info).into_iter().find(|wait| wait.waiter.process == process::id())
    }
}

/// All waits for locks but those of this process, as far as they are looked at.
fn other_waits(link: &Link) -> Result<Vec<LockWait>> {
    let mut waits = Vec::new();
    // What each thread waits for, since a wait for several objects can end by any of them.
    let mut objects: BTreeMap<(u32, ThreadId), BTreeSet<ObjectId>> = BTreeMap::new();
    for id in awaited_objects(link)? {
        let info = match link.run(Inspect { object: Selector::Id(id) }) {
            // It was removed meanwhile.
            Err(error) if error.is_no_such_object() => continue,
            info => *info?,
        };
        for waiter in &info.waiters {
            objects.entry((waiter.process, waiter.thread)).or_default().insert(info.id);
        }
        waits.extend(waits_of(&info));
    }
    waits.retain(|wait| wait.waiter.process != process::id());
    for wait in &mut waits {
        let awaited = objects.get(&(wait.waiter.process, wait.waiter.thread));
        wait.has_way_out |= awaited.is_some_and(|awaited| awaited.len() > 1);
    }
    Ok(waits)
}

/// The objects for which somebody waits, if they are not too many.
fn awaited_objects(link: &Link) -> Result<Vec<ObjectId>> {
    let (mut awaited, mut listed, mut after) = (Vec::new(), 0, None);
    loop {
        let Page { items, more } = link.run(ListObjects { after })?;
        listed += items.len();
        after = items.last().map(|object| object.id);
        // Workers wait for tasks, and owners for results: that has nothing to do with locks.
        let relevant = items.iter().filter(|object| !matches!(object.kind, Kind::Pool | Kind::Batch));
        awaited.extend(relevant.filter(|object| object.is_awaited).map(|object| object.id));
        if awaited.len() > INSPECTED_MAX || listed > OBJECTS_MAX {
            log::debug!("there are too many objects to look for deadlocks with other commands");
            return Ok(Vec::new());
        }
        if !more || after.is_none() {
            return Ok(awaited);
        }
    }
}

/// The waits for this object, if it is a lock that somebody holds.
fn waits_of(info: &ObjectInfo) -> Vec<LockWait> {
    let Some(holder) = holder_of(info) else { return Vec::new() };
    let user =
        |process, program: &Arc<str>, thread| LockUser { process, program: program.to_string(), thread };
    let holder = user(holder.process, &holder.program, holder.thread);
    let wait = |waiter: &protocol::WaiterInfo| LockWait {
        waiter: user(waiter.process, &waiter.program, waiter.thread),
        enclosing: enclosing_runs(waiter.process),
        lock: called(info),
        holder: holder.clone(),
        has_way_out: waiter.remaining_ns.is_some(),
    };
    info.waiters.iter().map(wait).collect()
}

fn holder_of(info: &ObjectInfo) -> Option<&protocol::HolderInfo> {
    match &info.state {
        ObjectState::Lock { holder, .. } => holder.as_ref(),
        _ => None,
    }
}

fn called(info: &ObjectInfo) -> String {
    info.name.as_ref().map_or_else(|| format!("lock {}", info.id), |name| format!("lock {name:?}"))
}

/// The runs in whose commands a process runs, from the inside out. What a command has started is in the process session
/// of a supervisor, which the run has started.
fn enclosing_runs(process: u32) -> Vec<u32> {
    let mut runs = Vec::new();
    let mut inner = process;
    while runs.len() < DEPTH_MAX
        && let Ok(leader) = ProcessStat::of(inner).map(|stat| stat.session)
        && name_of(leader).is_ok_and(|name| name == SUPERVISOR_NAME)
        && let Ok(supervisor) = ProcessStat::of(leader)
    {
        runs.push(supervisor.parent);
        inner = supervisor.parent;
    }
    runs
}
