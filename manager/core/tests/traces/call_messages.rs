//! Messages about calls, each made by a short function: how they are added, granted and ended.

use protocol::{
    CallsGrant, CallsOutcome, CallsResult, Chunk, Failure, FailureKind, Grant, ObjectId, Outcome, Reply,
    Request, RequestId, Results, SessionId, Target, calls,
};

use crate::requests::wait_for;
use crate::world::World;

/// The arguments or results of calls, each preceded by its length.
pub(crate) fn calls_of(each: &[&[u8]]) -> Vec<u8> {
    let mut bytes = Vec::new();
    each.iter().for_each(|call| calls::append(&mut bytes, call));
    bytes
}

/// A chunk of this many calls, which carries no proxies.
pub(crate) fn input(arguments: &[u8], calls: u32) -> Chunk<'_> {
    Chunk { arguments, carries: Vec::new(), calls }
}

/// Chunks of one call each, without arguments.
pub(crate) fn empty_calls(count: usize) -> Vec<Chunk<'static>> {
    vec![input(&[0], 1); count]
}

/// The result of one call that returned.
pub(crate) fn returned(call: u64, result: &[u8]) -> CallsResult {
    returned_all(call, &[result])
}

/// The results of calls that returned together.
pub(crate) fn returned_all(first: u64, results: &[&[u8]]) -> CallsResult {
    let outcome = Outcome::Returned(calls_of(results)[..].into());
    CallsResult { first, calls: results.len() as u32, outcome }
}

/// How each call ended: its number, and the kind of its failure.
pub(crate) fn endings(results: Vec<CallsResult>) -> Vec<(u64, Option<FailureKind>)> {
    let each = |CallsResult { first, calls, outcome }| {
        let kind = match outcome {
            Outcome::Returned(_) | Outcome::ReturnedBlob { .. } => None,
            Outcome::Failed(Failure { kind, .. }) => Some(kind),
        };
        (first..first + u64::from(calls)).map(move |call| (call, kind))
    };
    results.into_iter().flat_map(each).collect()
}

impl World {
    /// Adds calls with these arguments, in a chunk each, and says that they are the last.
    pub(crate) fn fill(&mut self, session: SessionId, batch: ObjectId, calls: &[&[u8]]) {
        let chunks: Vec<Vec<u8>> = calls.iter().map(|&arguments| calls_of(&[arguments])).collect();
        let chunks = chunks.iter().map(|arguments| input(arguments, 1)).collect();
        assert_eq!(self.ask(session, Request::BatchAdd { id: batch, chunks, last: true }), Reply::Done);
    }

    /// Takes a call in a worker: its batch, number and arguments.
    pub(crate) fn take_call(&mut self, worker: SessionId, pool: ObjectId) -> (ObjectId, u64, Vec<u8>) {
        let request = self.send(worker, wait_for(Target::Calls { pool, most: 1 }));
        self.call_of(worker, request)
    }

    /// The one call that a worker's wait was granted.
    pub(crate) fn call_of(&mut self, worker: SessionId, request: RequestId) -> (ObjectId, u64, Vec<u8>) {
        let grant = self.calls_of(worker, request);
        let mut arguments = grant.arguments.as_bytes();
        let call = calls::take_first(&mut arguments).expect("a call has arguments").to_vec();
        assert_eq!((grant.calls, arguments.len()), (1, 0), "it is one call");
        (grant.batch, grant.first, call)
    }

    /// The calls that a worker's wait was granted.
    pub(crate) fn calls_of(&mut self, worker: SessionId, request: RequestId) -> CallsGrant {
        match self.answer(worker, request) {
            Some(Reply::Taken(mut taken)) => match taken.grants.pop() {
                Some(Grant::Calls(grant)) => grant,
                other => panic!("no calls: {other:?}"),
            },
            other => panic!("nothing was taken: {other:?}"),
        }
    }

    /// Has a worker report that one call returned.
    pub(crate) fn end_call(&mut self, worker: SessionId, batch: ObjectId, call: u64, result: &[u8]) -> Reply {
        self.end_calls(worker, batch, call, &[result])
    }

    /// Has a worker report that calls returned, from this one on.
    pub(crate) fn end_calls(
        &mut self,
        worker: SessionId,
        batch: ObjectId,
        first: u64,
        results: &[&[u8]],
    ) -> Reply {
        let calls = results.len() as u32;
        let results = calls_of(results);
        let ends = [CallsOutcome { calls, outcome: Outcome::Returned(results.as_slice()) }].into();
        self.ask(worker, Request::CallsEnd { batch, first, ends, carries: Vec::new() })
    }

    /// Has a worker report that one call failed.
    pub(crate) fn fail_call(&mut self, worker: SessionId, batch: ObjectId, call: u64, text: &str) -> Reply {
        let outcome = Outcome::Failed(Failure { kind: FailureKind::Panicked, text });
        let ends = [CallsOutcome { calls: 1, outcome }].into();
        self.ask(worker, Request::CallsEnd { batch, first: call, ends, carries: Vec::new() })
    }

    /// Takes the results that are there.
    pub(crate) fn results(&mut self, session: SessionId, batch: ObjectId) -> Results {
        match self.ask(session, wait_for(Target::Results { batch })) {
            Reply::Taken(mut taken) => match taken.grants.pop() {
                Some(Grant::Results(results)) => results,
                other => panic!("not results: {other:?}"),
            },
            other => panic!("no results: {other:?}"),
        }
    }
}
