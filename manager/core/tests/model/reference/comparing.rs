//! Whether two answers are the same, as far as the page says what they are.

use protocol::{
    Abandonment, BarrierStatus, Cause, Failure, Grant, LockGrant, ObjectInfo, ObjectState, Outcome, Reply,
    Results, RunningCallInfo,
};

use super::effects::{Known, locks_of};

/// The locks that an answer brings.
pub(crate) fn taken_locks(reply: &Reply) -> impl Iterator<Item = &LockGrant> {
    let (grants, reacquired) = match reply {
        Reply::Taken(taken) => (&taken.grants[..], taken.reacquired.as_ref()),
        Reply::TimedOut { reacquired } => (&[][..], reacquired.as_ref()),
        _ => (&[][..], None),
    };
    locks_of(grants).chain(reacquired)
}

pub(crate) fn same_reply(expected: &Reply, actual: &Reply, known: Known) -> bool {
    match (expected, actual) {
        (Reply::Refused(expected), Reply::Refused(actual)) => {
            expected.code == actual.code && !actual.text.is_empty()
        }
        (Reply::Taken(expected), Reply::Taken(actual)) => {
            let mut grants = expected.grants.iter().zip(&actual.grants);
            expected.index == actual.index
                && expected.grants.len() == actual.grants.len()
                && grants.all(|(expected, actual)| same_grant(expected, actual, known))
                && same_option(&expected.reacquired, &actual.reacquired, |one, other| {
                    same_lock(one, other, known)
                })
        }
        (Reply::TimedOut { reacquired: expected }, Reply::TimedOut { reacquired: actual }) => {
            same_option(expected, actual, |one, other| same_lock(one, other, known))
        }
        (Reply::SetBy(expected), Reply::SetBy(actual)) => same_option(expected, actual, same_cause),
        (Reply::Barrier(expected), Reply::Barrier(actual)) => same_barrier(expected, actual),
        (Reply::Object(expected), Reply::Object(actual)) => same_object(expected, actual, known),
        // `compare` looks where the event is.
        (Reply::Mirrored { .. }, Reply::Mirrored { .. }) => true,
        (expected, actual) => expected == actual,
    }
}

fn same_option<T>(expected: &Option<T>, actual: &Option<T>, same: impl Fn(&T, &T) -> bool) -> bool {
    match (expected, actual) {
        (Some(expected), Some(actual)) => same(expected, actual),
        (None, None) => true,
        _ => false,
    }
}

fn same_grant(expected: &Grant, actual: &Grant, known: Known) -> bool {
    match (expected, actual) {
        (Grant::Event(expected), Grant::Event(actual)) => same_cause(expected, actual),
        (Grant::Lock(expected), Grant::Lock(actual)) => same_lock(expected, actual, known),
        (Grant::Permits { abandoned: expected }, Grant::Permits { abandoned: actual }) => {
            same_option(expected, actual, same_abandonment)
        }
        (Grant::Results(expected), Grant::Results(actual)) => same_results(expected, actual),
        (expected, actual) => expected == actual,
    }
}

/// Numbers that were given in this input may differ; `compare` looks whether they are new.
fn same_lock(expected: &LockGrant, actual: &LockGrant, known: Known) -> bool {
    let same_number = |expected, actual, known| expected == actual || (expected > known && actual > known);
    same_number(expected.holding, actual.holding, known.holding)
        && same_number(expected.token, actual.token, known.token)
        && expected.depth == actual.depth
        && same_option(&expected.abandoned, &actual.abandoned, same_abandonment)
}

fn same_abandonment(expected: &Abandonment, actual: &Abandonment) -> bool {
    (expected.process, &expected.program, expected.held_ns)
        == (actual.process, &actual.program, actual.held_ns)
        && same_text(&expected.how, &actual.how)
}

fn same_cause(expected: &Cause, actual: &Cause) -> bool {
    (expected.process, &expected.program, expected.age_ns) == (actual.process, &actual.program, actual.age_ns)
        && same_option(&expected.reason, &actual.reason, |expected, actual| same_text(expected, actual))
}

fn same_barrier(expected: &BarrierStatus, actual: &BarrierStatus) -> bool {
    (expected.parties, expected.waiting, expected.broken.is_some())
        == (actual.parties, actual.waiting, actual.broken.is_some())
}

fn same_results(expected: &Results, actual: &Results) -> bool {
    let mut results = expected.results.iter().zip(&actual.results);
    expected.complete == actual.complete
        && expected.results.len() == actual.results.len()
        && results.all(|(expected, actual)| {
            (expected.first, expected.calls) == (actual.first, actual.calls)
                && same_outcome(&expected.outcome, &actual.outcome)
        })
}

fn same_outcome(expected: &Outcome, actual: &Outcome) -> bool {
    match (expected, actual) {
        (Outcome::Failed(expected), Outcome::Failed(actual)) => {
            let Failure { kind, text } = expected;
            *kind == actual.kind && same_text(text, &actual.text)
        }
        (expected, actual) => expected == actual,
    }
}

fn same_object(expected: &ObjectInfo, actual: &ObjectInfo, known: Known) -> bool {
    let same_state = match (&expected.state, &actual.state) {
        (
            ObjectState::Event { auto_reset, set_by },
            ObjectState::Event { auto_reset: actual_reset, set_by: actual_cause },
        ) => auto_reset == actual_reset && same_option(set_by, actual_cause, same_cause),
        (
            ObjectState::Lock { is_reentrant, holder, abandoned },
            ObjectState::Lock { is_reentrant: actual_kind, holder: actual_holder, abandoned: actual_mark },
        ) => {
            let same_holder = same_option(holder, actual_holder, |expected, actual| {
                let mut expected = expected.clone();
                if expected.token > known.token {
                    expected.token = actual.token;
                }
                expected == *actual
            });
            is_reentrant == actual_kind
                && same_holder
                && same_option(abandoned, actual_mark, same_abandonment)
        }
        (
            ObjectState::Barrier { status, acting },
            ObjectState::Barrier { status: actual_status, acting: actual_acting },
        ) => same_barrier(status, actual_status) && acting == actual_acting,
        (
            ObjectState::Pool { batches, is_closed, running },
            ObjectState::Pool { batches: actual_count, is_closed: actual_closed, running: actual_running },
        ) => {
            // The page leaves the order of the batches open.
            let in_order = |running: &[RunningCallInfo]| {
                let mut running = running.to_vec();
                running.sort_by_key(|call| (call.batch, call.number));
                running
            };
            (batches, is_closed) == (actual_count, actual_closed)
                && in_order(running) == in_order(actual_running)
        }
        (expected, actual) => expected == actual,
    };
    same_state
        && (expected.id, &expected.name, expected.references, expected.waiting, &expected.waiters)
            == (actual.id, &actual.name, actual.references, actual.waiting, &actual.waiters)
}

/// A text that begins with a tilde says what the other contains; an empty one leaves it open.
fn same_text(expected: &str, actual: &str) -> bool {
    match expected.strip_prefix('~') {
        Some(part) => actual.contains(part),
        None => expected == actual,
    }
}
