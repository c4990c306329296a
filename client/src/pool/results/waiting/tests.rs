//! Waits for a batch when the manager refuses a request or answers late.

use std::sync::{Arc, Barrier};

use protocol::{CallsResult, Code, Grant, ObjectId, Outcome, Payload, Refusal, Reply, WaitResult};
use uuid::Uuid;

use super::*;
use crate::connection::fake_manager::FakeManager;
use crate::connection::link::Link;
use crate::pool::submit::chunks::{EncodedChunk, encode_chunks};
use crate::pool::submit::submission::{self, RunOptions, Submission};
use crate::pool::submitted_batches::SubmittedBatches;
use crate::task::append_value;

/// Submits a batch of one call in this way, to a manager that gives these answers in turn.
fn submit(
    submit: impl FnOnce(Submission<'_>, &[EncodedChunk]) -> Result<Arc<SubmittedBatch>>,
    answers: impl Fn() -> Vec<Reply> + Send + Sync + 'static,
) -> (Arc<SubmittedBatch>, Arc<SubmittedBatches>, FakeManager) {
    let manager = FakeManager::start(move |mut peer| {
        let mut answers = answers().into_iter();
        while let Some(asked) = peer.next() {
            if asked.request.wants_answer() {
                peer.answer([(asked.request, answers.next().expect("there are more requests than answers"))]);
            }
        }
    });
    let (batch, submitted) = submit_to(&manager, submit);
    (batch, submitted, manager)
}

fn submit_to(
    manager: &FakeManager,
    submit: impl FnOnce(Submission<'_>, &[EncodedChunk]) -> Result<Arc<SubmittedBatch>>,
) -> (Arc<SubmittedBatch>, Arc<SubmittedBatches>) {
    let link = Link::connect(&transport::Address::unix(manager.socket()).unwrap()).unwrap();
    let submitted = Arc::<SubmittedBatches>::default();
    let submission = Submission {
        served_as: None,
        link: &link,
        pool: ObjectId(Uuid::nil()),
        function: "f",
        options: RunOptions::default(),
        submitted_batches: &submitted,
    };
    let chunks = encode_chunks(&[(7_u32,)], 1, FakeManager::EPOCH).unwrap();
    (submit(submission, &chunks).unwrap(), submitted)
}

fn refusal() -> Reply {
    Reply::Refused(Refusal::new(Code::LimitReached, "a session has at most 0 blocked requests"))
}

fn result() -> Reply {
    let bytes = append_value(&7_u32, Vec::new(), None).unwrap().0;
    let outcome = Outcome::Returned(Payload::from(bytes.as_slice()));
    let results = Results { results: vec![CallsResult { first: 0, calls: 1, outcome }], complete: true };
    Reply::Taken(WaitResult {
        index: 0,
        grants: [Grant::Results(results)].into_iter().collect(),
        reacquired: None,
    })
}

#[test]
fn a_wait_that_is_refused_for_a_limit_can_be_tried_again() {
    let (batch, _submitted, _manager) =
        submit(submission::submit, || vec![Reply::Done, Reply::Done, refusal(), refusal(), result()]);
    for _ in 0..2 {
        assert!(batch.wait(None).unwrap_err().is_limit());
        assert!(!batch.is_over());
    }
    assert!(batch.wait(None).unwrap());
    assert!(batch.is_successful().unwrap());
}

#[test]
fn a_submission_that_is_refused_for_a_limit_is_refused_for_good() {
    let (batch, _submitted, _manager) = submit(submission::submit, || vec![Reply::Done, refusal(), result()]);
    for _ in 0..2 {
        assert!(batch.wait(None).unwrap_err().is_limit());
        assert!(batch.is_over());
    }
}

#[test]
fn a_run_that_is_refused_is_refused_for_good_and_has_no_other_answer() {
    let (batch, _submitted, _manager) = submit(submission::run, || vec![refusal()]);
    for _ in 0..2 {
        assert!(batch.wait(None).unwrap_err().is_limit());
        assert!(batch.is_over());
    }
}

#[test]
fn a_run_has_its_result_with_one_answer() {
    let (batch, _submitted, _manager) = submit(submission::run, || vec![result()]);
    assert!(batch.wait(None).unwrap());
    assert!(batch.is_successful().unwrap());
}

#[test]
fn a_waiter_keeps_its_deadline_with_a_run_whose_submitter_does_not_wait_yet() {
    let answer = Arc::new(Barrier::new(2));
    let may_answer = Arc::clone(&answer);
    let manager = FakeManager::start(move |mut peer| {
        let run = peer.next().unwrap();
        may_answer.wait();
        peer.answer([(run.request, result())]);
        while peer.next().is_some() {}
    });
    let (batch, _submitted) = submit_to(&manager, submission::run);
    for timeout in [Duration::ZERO, Duration::from_millis(1)] {
        assert!(!batch.wait(Some(timeout)).unwrap());
    }
    answer.wait();
    assert!(batch.wait(None).unwrap());
    assert!(batch.is_successful().unwrap());
}
