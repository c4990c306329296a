//! Runs the calls of a grant, one after the other. Whatever becomes of a call concerns that call alone.

use std::sync::Arc;

use client::Result;
use client::internal::{
    CallError, Carried, Link, OwnBlob, ReceivedPayload, enter_task, is_known_stopped, is_stopped,
};
use protocol::limits::{FAILURE_BYTES_MAX, PAYLOAD_BYTES_MAX};
use protocol::{CallsGrant, Failure, FailureKind, Outcome, calls, shortened};

use crate::error::failed;
use crate::isolation::{fork, panics, streams};
use crate::registry::{HandOver, Registry};
use crate::run_loop::granted_calls::GrantedCalls;

/// The most bytes that a frame has for each carried proxy.
const CARRIED_BYTES: usize = 17;

/// If more calls than this are granted together, they take microseconds, and their worker looks for closed streams
/// after all of them. Otherwise it does so after each.
const STREAMS_EACH_MAX: u32 = 64;

/// The most memory for results that is kept for the next calls, in bytes.
const SPACE_BYTES_MAX: usize = 1 << 20;

/// Runs the calls of a grant, and reports how they ended. Returns how many have begun here; those that were given back
/// have not. `large` has the arguments if they did not come with the grant; `space` is memory for the result of a call.
pub(crate) fn run_calls(
    registry: &Registry,
    link: &Arc<Link>,
    granted: &GrantedCalls,
    grant: &CallsGrant,
    large: Option<&ReceivedPayload>,
    space: &mut Vec<u8>,
) -> Result<u32> {
    granted.accept(grant);
    let scope = enter_task(link, grant.stop, grant.retry);
    let mut all_arguments = grant.arguments.as_bytes();
    let mut begun = 0;
    let mut has_result = false;
    loop {
        let is_stopped = match begun {
            // A grant of one call need not pay for a first look at the event.
            0 => is_known_stopped(grant.stop),
            _ => begun < grant.calls && is_stopped(link, grant.stop),
        };
        if !granted.begin_next(link, has_result.then_some(space.as_slice()), is_stopped)? {
            break;
        }
        let number = grant.first + u64::from(begun);
        scope.begin_call(number);
        log::debug!("call {number} of batch {} calls `{}`", grant.batch, grant.function);
        begun += 1;
        let mut reported = None;
        let mut report = |result: &[u8], blob, carried| {
            reported = Some(report_now(link, granted, result, blob, carried));
        };
        let mut call =
            |arguments: &[u8]| call(registry, &grant.function, arguments, space, Some(link), &mut report);
        let failure = match large {
            Some(arguments) => arguments.read(call),
            None => call(
                calls::take_first(&mut all_arguments)
                    .ok_or_else(|| failed(&"a call came without arguments"))?,
            ),
        };
        if grant.calls <= STREAMS_EACH_MAX {
            streams::reopen_closed();
        }
        has_result = match (reported, failure) {
            (Some(is_reported), _) => !is_reported?,
            (None, Some((kind, text))) => {
                report_failure(link, granted, kind, &text)?;
                false
            }
            (None, None) => unreachable!("a function that does not fail hands its result over"),
        };
    }
    if grant.calls > STREAMS_EACH_MAX {
        streams::reopen_closed();
    }
    space.shrink_to(SPACE_BYTES_MAX);
    Ok(begun)
}

/// Calls a function. Returns how the call failed, if it did.
fn call(
    registry: &Registry,
    function: &str,
    arguments: &[u8],
    space: &mut Vec<u8>,
    link: Option<&Arc<Link>>,
    hand_over: HandOver<'_>,
) -> Option<(FailureKind, String)> {
    let Some(call) = registry.find(function) else {
        return Some((FailureKind::UnknownFunction, unknown(function, registry)));
    };
    match panics::catch(|| call(arguments, space, link, hand_over)) {
        Ok(Ok(())) => None,
        Ok(Err(CallError::Room(error))) => {
            let kind = if error.is_limit() { FailureKind::TooLarge } else { FailureKind::BadEncoding };
            Some((kind, format!("its result: {error}")))
        }
        Ok(Err(error @ CallError::Encode(_))) => {
            Some((FailureKind::BadEncoding, format!("its result: {error}")))
        }
        Ok(Err(error)) => Some((error.failure_kind(), format!("its arguments: {error}"))),
        Err(panic) => {
            fork::end_if_forked();
            Some((FailureKind::Panicked, panic))
        }
    }
}

/// Reports a result at once that cannot wait until others have come together: one that carries proxies, whose objects
/// may end with the value, one that is a blob, and one that cannot travel. Returns whether it did.
fn report_now(
    link: &Link,
    granted: &GrantedCalls,
    result: &[u8],
    blob: Option<OwnBlob>,
    carried: Carried,
) -> Result<bool> {
    if blob.is_none() && carried.is_empty() && result.len() <= PAYLOAD_BYTES_MAX {
        return Ok(false);
    }
    let carries = match carried.of(link.epoch()) {
        Ok(carries) => carries,
        Err(error) => {
            report_failure(link, granted, FailureKind::BadEncoding, &format!("its result: {error}"))?;
            return Ok(true);
        }
    };
    if let Some(OwnBlob { id: blob, bytes, .. }) = blob {
        granted.report_apart(link, Outcome::ReturnedBlob { blob, bytes }, carries)?;
        return Ok(true);
    }
    let bytes = result.len() + carries.len() * CARRIED_BYTES;
    if bytes > PAYLOAD_BYTES_MAX {
        let text = format!("it takes {bytes} bytes; at most {PAYLOAD_BYTES_MAX} travel");
        report_failure(link, granted, FailureKind::TooLarge, &text)?;
    } else {
        granted.report_apart(link, Outcome::Returned(result), carries)?;
    }
    Ok(true)
}

fn report_failure(link: &Link, granted: &GrantedCalls, kind: FailureKind, text: &str) -> Result<()> {
    let text = &text[..text.floor_char_boundary(FAILURE_BYTES_MAX)];
    granted.report_apart(link, Outcome::Failed(Failure { kind, text }), Vec::new())
}

fn unknown(function: &str, registry: &Registry) -> String {
    let names: Vec<String> = registry.names().iter().map(|name| format!("`{name}`")).collect();
    let names = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
    format!("there is no function `{}`; those registered are {names}", shortened(function))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn registry() -> Registry {
        Registry::new()
            .named("double", |number: u32| 2 * number)
            .named("fail", |text: String| -> () { panic!("{text}") })
    }

    /// The encoded result, or how the call failed.
    fn run(function: &str, arguments: &[u8]) -> std::result::Result<Vec<u8>, (FailureKind, String)> {
        let mut handed_over = Vec::new();
        let mut keep = |result: &[u8], _, _| handed_over = result.to_vec();
        match call(&registry(), function, arguments, &mut Vec::new(), None, &mut keep) {
            None => Ok(handed_over),
            Some(failure) => Err(failure),
        }
    }

    #[test]
    fn a_call_returns_or_fails_with_a_reason() {
        assert_eq!(run("double", &[3]), Ok(vec![1, 6]));

        let (kind, text) = run("halve", &[3]).unwrap_err();
        assert_eq!(kind, FailureKind::UnknownFunction);
        assert_eq!(text, "there is no function `halve`; those registered are `double`, `fail`");

        let (kind, text) = run("double", &[3, 3]).unwrap_err();
        assert_eq!((kind, text.as_str()), (FailureKind::BadEncoding, "its arguments: 1 bytes are left over"));

        let (kind, text) = run("fail", &[2, b'n', b'o']).unwrap_err();
        assert_eq!(kind, FailureKind::Panicked);
        assert!(text.starts_with("no"), "{text}");
    }
}
