//! Waits for one target, or for several.

use protocol::{LockGrant, Reply, Request, Signal, Target, Targets, ThreadId, WaitMode, WaitResult};

use super::answers;
use crate::{Operation, Unexpected, WaitTarget};

/// Waits for one target and takes it. None if the timeout ended first.
#[derive(Clone, Copy, Debug)]
pub struct WaitFor<T> {
    /// What to wait for.
    pub target: T,
    /// Nanoseconds after which the wait gives up; 0 only looks; none waits forever.
    pub timeout_ns: Option<u64>,
    /// The thread that waits.
    pub thread: ThreadId,
}

impl<'a, T: WaitTarget<'a>> Operation<'a> for WaitFor<T> {
    type Output = Option<T::Granted>;

    fn into_request(self) -> Request<'a> {
        let targets = Targets::from_iter([self.target.into_target()]);
        Request::Wait { mode: WaitMode::Any, targets, timeout_ns: self.timeout_ns, thread: self.thread }
    }

    fn output(reply: Reply) -> Result<Option<T::Granted>, Unexpected> {
        answers::taken(reply, T::accept)
    }
}

/// Waits for the first of two targets that is ready, and takes it. None if the timeout ended first.
///
/// The two grant different things, since the grant tells which of them was taken.
#[derive(Clone, Copy, Debug)]
pub struct WaitForEither<A, B> {
    /// What to take if both are ready; none to wait for the second alone.
    pub first: Option<A>,
    /// What to take otherwise; none to wait for the first alone.
    pub second: Option<B>,
    /// Nanoseconds after which the wait gives up; 0 only looks; none waits forever.
    pub timeout_ns: Option<u64>,
    /// The thread that waits.
    pub thread: ThreadId,
}

/// Which of two targets a wait took, and what it got by that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Either<A, B> {
    /// The first.
    First(A),
    /// The second.
    Second(B),
}

impl<'a, A: WaitTarget<'a>, B: WaitTarget<'a>> Operation<'a> for WaitForEither<A, B> {
    type Output = Option<Either<A::Granted, B::Granted>>;

    fn into_request(self) -> Request<'a> {
        let WaitForEither { first, second, timeout_ns, thread } = self;
        let first = first.map(WaitTarget::into_target);
        let targets = first.into_iter().chain(second.map(WaitTarget::into_target)).collect();
        Request::Wait { mode: WaitMode::Any, targets, timeout_ns, thread }
    }

    fn output(reply: Reply) -> Result<Self::Output, Unexpected> {
        answers::taken(reply, |grant| {
            A::accept(grant).map(Either::First).or_else(|grant| B::accept(grant).map(Either::Second))
        })
    }
}

/// Waits for any or all of some targets, and takes them in one step.
#[derive(Clone, Debug)]
pub struct Wait<'a> {
    /// What to do first, in the same step.
    pub signal: Option<Signal<'a>>,
    /// Whether one target is enough.
    pub mode: WaitMode,
    /// What to wait for.
    pub targets: Targets<'a>,
    /// Nanoseconds after which the wait gives up; 0 only looks; none waits forever.
    pub timeout_ns: Option<u64>,
    /// The thread that waits.
    pub thread: ThreadId,
}

/// How a wait ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WaitEnd {
    /// It took something.
    Taken(WaitResult),
    /// Its timeout ended first.
    TimedOut {
        /// The lock that the wait gave up and the waiter holds again, if it waited for a condition.
        reacquired: Option<LockGrant>,
    },
}

impl<'a> Operation<'a> for Wait<'a> {
    type Output = WaitEnd;

    fn into_request(self) -> Request<'a> {
        let Wait { signal, mode, targets, timeout_ns, thread } = self;
        match signal {
            Some(signal) => Request::SignalAndWait { signal, mode, targets, timeout_ns, thread },
            None => Request::Wait { mode, targets, timeout_ns, thread },
        }
    }

    fn output(reply: Reply) -> Result<WaitEnd, Unexpected> {
        match reply {
            Reply::Taken(taken) => Ok(WaitEnd::Taken(taken)),
            Reply::TimedOut { reacquired } => Ok(WaitEnd::TimedOut { reacquired }),
            reply => Err(Unexpected::reply(reply)),
        }
    }
}

/// Whether the answer to a request may have to wait until another process does something. A driver can then sleep in a
/// way that costs more to begin, and that nothing but the answer disturbs.
#[must_use]
pub fn may_be_late(request: &Request<'_>) -> bool {
    match request {
        Request::SignalAndWait { .. } => true,
        Request::Wait { timeout_ns: Some(0), .. } => false,
        Request::Wait { targets, .. } => !targets.iter().all(is_usually_ready),
        // The manager answers it at once, or begins something whose outcome comes later.
        _ => false,
    }
}

/// Whether a wait for this target is usually answered at once: others hold or fill such an object for short times only.
/// This names every target, so that the compiler asks whoever adds one.
fn is_usually_ready(target: &Target<'_>) -> bool {
    match target {
        Target::Lock { .. }
        | Target::RLock { .. }
        | Target::Semaphore { .. }
        | Target::Put { .. }
        | Target::PutBlob { .. } => true,
        Target::Barrier { .. }
        | Target::Condition { .. }
        | Target::Event { .. }
        | Target::Get { .. }
        | Target::Join { .. }
        | Target::Latch { .. }
        | Target::ManyResults { .. }
        | Target::Results { .. }
        | Target::Calls { .. } => false,
    }
}
