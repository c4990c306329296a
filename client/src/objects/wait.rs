//! Waiting for several objects at once.

use std::sync::Arc;
use std::time::Duration;

use client_core::operations::{Wait, WaitEnd};
use client_core::{SignalOperation, Unexpected};
use protocol::{Kind, Limits, Signal, Targets, WaitMode};

use crate::connection::acks::AckHold;
use crate::connection::link::Link;
use crate::objects::reference::Reference;
use crate::process::thread;
use crate::{Error, ErrorKind, Result, Taken, Waitable, duration};

/// Waits until one of these objects is ready, and takes it and no other. Returns its position in the list, and what it
/// took. If several objects are ready, it takes the first in the list. None if the timeout ends first.
///
/// The manager decides in one step, so nothing is taken and released in between: `wait_any(&[&stop, &lock], None)`
/// takes the lock unless the event is set, in one round trip. All objects must belong to one manager. With `None` it
/// waits forever; `Duration::ZERO` only looks; but like any timeout, it breaks a [`Barrier`](crate::Barrier) in the
/// list if nothing is ready.
///
/// **Fairness.** In the wait queue of each object it is like any other wait: first come, first served.
///
/// **Death.** If this process dies while it waits, the wait vanishes; what was already granted to it goes to the next
/// waiter. When the manager dies, the wait fails at once ([`is_manager_gone`](Error::is_manager_gone)).
///
/// ```no_run
/// # use client as rallypoint;
/// # fn main() -> rallypoint::Result<()> {
/// use rallypoint::{Taken, wait_any};
///
/// let manager = rallypoint::Manager::connect()?;
/// let (stop, lock) = (manager.event("stop")?, manager.lock("deploy")?);
/// match wait_any(&[&stop, &lock], None)? {
///     Some((1, Taken::Lock(guard))) => drop(guard),
///     _ => println!("stopped before it had the lock"),
/// }
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// [`is_removed`](Error::is_removed) if one of the objects is removed meanwhile;
/// [`is_deadlock`](Error::is_deadlock) if nothing in the list could ever come;
/// [`is_limit`](Error::is_limit) for more than 1024 objects; those of the objects themselves.
pub fn wait_any(
    targets: &[&dyn Waitable],
    timeout: impl Into<Option<Duration>>,
) -> Result<Option<(usize, Taken)>> {
    let Some((taken, ack_hold)) = wait(None, WaitMode::Any, targets, timeout.into())? else {
        return Ok(None);
    };
    let index = taken.index as usize;
    let target = targets.get(index).ok_or(Unexpected::Objects)?;
    let grant = taken.grants.into_iter().next().ok_or(Unexpected::Objects)?;
    Ok(Some((index, target.receive(grant)?.with_ack_hold(ack_hold))))
}

/// Waits until all of these objects are ready at one time, and takes them all in one step. Returns what it took, in the
/// order of the list. It takes none before, and none if the timeout ends first: then it returns none.
///
/// **Fairness.** A wait for all that lacks one object does not hold up other waiters for the rest. So it can wait long:
/// if others want the objects one by one all the time, they may never be ready at one time. Once they are, it takes
/// them ahead of later waiters. If that is too seldom, take the objects one after the other, everywhere in the same
/// order, or put one lock in front of all.
///
/// # Errors
///
/// As with [`wait_any`]; [`is_bad_target`](Error::is_bad_target) if an object is named twice, or cannot be part of such
/// a wait: conditions, barriers, and more than one queue to get from.
pub fn wait_all(
    targets: &[&dyn Waitable],
    timeout: impl Into<Option<Duration>>,
) -> Result<Option<Vec<Taken>>> {
    let Some((taken, mut ack_hold)) = wait(None, WaitMode::All, targets, timeout.into())? else {
        return Ok(None);
    };
    if taken.grants.len() != targets.len() {
        return Err(Unexpected::Objects.into());
    }
    let mut received = Vec::with_capacity(targets.len());
    for (target, grant) in targets.iter().zip(taken.grants) {
        received.push(match target.receive(grant)? {
            // A wait for all brings at most one item, which the hold is for.
            Taken::Item(item) => Taken::Item(item.with_ack_hold(ack_hold.take())),
            other => other,
        });
    }
    Ok(Some(received))
}

/// Signals one object and waits for another, in one request and one atomic step: the signal takes effect before the
/// wait begins, even if the timeout ends first. Then this returns none.
pub(crate) fn signal_and_wait<'a>(
    signalled: &Reference,
    signal: impl SignalOperation<'a>,
    target: &dyn Waitable,
    timeout: Option<Duration>,
) -> Result<Option<Taken>> {
    let signal = Some((signalled, signal.into_signal()));
    let Some((taken, ack_hold)) = wait(signal, WaitMode::Any, &[target], timeout)? else {
        return Ok(None);
    };
    let grant = taken.grants.into_iter().next().ok_or(Unexpected::Objects)?;
    Ok(Some(target.receive(grant)?.with_ack_hold(ack_hold)))
}

/// One round trip. Returns what was taken, and the hold on the answer if an item is among it.
fn wait(
    signal: Option<(&Reference, Signal<'_>)>,
    mode: WaitMode,
    targets: &[&dyn Waitable],
    timeout: Option<Duration>,
) -> Result<Option<(protocol::WaitResult, Option<AckHold>)>> {
    // The manager would refuse this too, once it had read all targets.
    let targets_max = Limits::default().wait_targets_max;
    if targets.len() > targets_max {
        let text = format!("a wait has at most {targets_max} targets, this one has {}", targets.len());
        return Err(Error::new(ErrorKind::Limit, text));
    }
    let signalled = signal.as_ref().map(|(reference, _)| *reference);
    let link = common_link(signalled.into_iter().chain(targets.iter().map(|target| target.reference())))?;
    let mut kinds = targets.iter().map(|target| target.reference().kind());
    if kinds.any(|kind| matches!(kind, Kind::Lock | Kind::RLock)) {
        link.open_deferred_releases()?;
    }
    let targets: Targets<'_> = targets.iter().map(|target| target.target()).collect();
    let timeout_ns = timeout.map(duration::nanoseconds);
    let thread = thread::this_thread();
    let signal = signal.map(|(_, signal)| signal);
    match link.run_with_ack_hold(Wait { signal, mode, targets, timeout_ns, thread })? {
        (WaitEnd::Taken(taken), ack_hold) => Ok(Some((taken, ack_hold))),
        (WaitEnd::TimedOut { .. }, _) => Ok(None),
    }
}

/// The one link of all these objects.
pub(crate) fn common_link<'a>(references: impl Iterator<Item = &'a Reference>) -> Result<&'a Arc<Link>> {
    let mut common: Option<&Arc<Link>> = None;
    for reference in references {
        let link = reference.link()?;
        if common.is_some_and(|common| !Arc::ptr_eq(common, link)) {
            let text = "one wait cannot be for objects of different managers";
            return Err(Error::new(ErrorKind::BadTarget, text));
        }
        common = Some(link);
    }
    common.ok_or_else(|| Error::new(ErrorKind::BadTarget, "a wait needs at least one object"))
}
