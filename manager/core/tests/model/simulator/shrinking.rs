//! Shrinking: a short trace after which the core and the model still differ.

use protocol::{Request, Targets};

use super::running::replay;
use super::seeds::Divergence;
use super::step::SimulatedStep;

/// Leaves out what does not matter.
pub(crate) fn shrink(divergence: Divergence) -> Divergence {
    let limits = divergence.limits;
    let mut steps = divergence.steps;
    let Some((taken, mut what)) = replay(&limits, &steps) else {
        return Divergence { limits, steps, what: divergence.what };
    };
    steps.truncate(taken);
    let mut size = steps.len().div_ceil(2);
    loop {
        let mut at = steps.len();
        let mut is_shorter = false;
        while at > 0 {
            let from = at.saturating_sub(size);
            let mut rest = steps.clone();
            rest.drain(from..at.min(rest.len()));
            if let Some((taken, other)) = replay(&limits, &rest) {
                rest.truncate(taken);
                (steps, what, is_shorter) = (rest, other, true);
            }
            at = from.min(steps.len());
        }
        if size == 1 && !is_shorter {
            break;
        }
        size = if is_shorter && size == 1 { 1 } else { size.div_ceil(2) };
    }
    for position in 0..steps.len() {
        for simpler in simpler(&steps[position]) {
            let before = std::mem::replace(&mut steps[position], simpler);
            match replay(&limits, &steps) {
                Some((taken, other)) if taken == steps.len() => what = other,
                _ => steps[position] = before,
            }
        }
    }
    Divergence { limits, steps, what }
}

/// Steps that say less.
fn simpler(step: &SimulatedStep) -> Vec<SimulatedStep> {
    let mut simpler = Vec::new();
    if let SimulatedStep::Request { session, request, unread, body } = step {
        let with = |body: Request<'static>, unread: u64| SimulatedStep::Request {
            session: *session,
            request: *request,
            unread,
            body,
        };
        if *unread > 0 {
            simpler.push(with(body.clone(), 0));
        }
        if let Request::Wait { mode, targets, timeout_ns, thread } = body {
            for left_out in 0..targets.len() {
                let mut fewer: Targets<'static> = targets.clone();
                fewer.remove(left_out);
                let (mode, timeout_ns, thread) = (*mode, *timeout_ns, *thread);
                simpler.push(with(Request::Wait { mode, targets: fewer, timeout_ns, thread }, *unread));
            }
        }
    }
    simpler
}
