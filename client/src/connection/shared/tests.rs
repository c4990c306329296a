//! One connection under many threads, out-of-order answers, abandoned requests, and a manager that ends.

use std::sync::mpsc;
use std::thread;

use protocol::shared_memory::deferred_releases::{ENTRIES, WANTED};
use protocol::{BlobItemGrant, Chunk, Code, Grant, ObjectId, OpenMode, Refusal, Reply, Spec, WaitResult};
use uuid::Uuid;

use super::*;
use crate::connection::deferred_release;
use crate::connection::fake_manager::{Asked, FakeManager};

impl SharedConnection {
    fn ask(&self, body: Request<'_>) -> Result<Reply> {
        let slot = own_slot();
        let request = self.begin(&slot, body)?;
        self.finish(request, &slot, ReadMode::PollFirst).map(|answered| answered.reply)
    }
}

fn object(number: u128) -> ObjectId {
    ObjectId(Uuid::from_u128(number))
}

/// A request whose answer from [`opened`] shows which request it is for.
fn open(number: u128) -> Request<'static> {
    Request::Open {
        id: object(number),
        name: None,
        spec: Spec::Event { auto_reset: false },
        mode: OpenMode::CreateNew,
    }
}

fn opened(number: u128) -> Reply {
    Reply::Opened { id: object(number), created: true }
}

/// A manager that reports every request that it gets, and answers at once.
fn recording_manager() -> (FakeManager, mpsc::Receiver<Asked>) {
    let (tell, told) = mpsc::channel();
    let manager = FakeManager::start(move |mut peer| {
        while let Some(asked) = peer.next() {
            tell.send(asked.clone()).unwrap();
            if asked.request.wants_answer() {
                peer.answer([(asked.request, opened(asked.about))]);
            }
        }
    });
    (manager, told)
}

#[test]
fn answers_out_of_order_reach_their_callers() {
    let manager = FakeManager::start(|mut peer| {
        let mut received_max = 0;
        while let Some(first) = peer.next() {
            let mut batch = vec![first];
            while let Some(more) = peer.next_that_came() {
                batch.push(more);
            }
            let answers = batch.iter().map(|asked| (asked.request, opened(asked.about)));
            assert!(batch.iter().map(|asked| asked.received).is_sorted());
            assert!(batch[0].received >= received_max);
            received_max = batch[batch.len() - 1].received;
            peer.answer(answers.rev());
        }
    });
    let connection = manager.connection();
    thread::scope(|scope| {
        for caller in 0..32 {
            let connection = &connection;
            scope.spawn(move || {
                for call in 0..200 {
                    let number = caller * 1000 + call;
                    assert_eq!(connection.ask(open(number)), Ok(opened(number)));
                }
            });
        }
    });
    assert_eq!(connection.acks.acknowledged(), 32 * 200);
    assert!(
        connection.callers.take_reader().is_some(),
        "no caller is the reader when all have their answers"
    );
}

#[test]
fn a_thousand_sleepers_wake_together() {
    const SLEEPERS: usize = 1_000;
    let manager = FakeManager::start(|mut peer| {
        let waiting: Vec<Asked> = std::iter::from_fn(|| peer.next()).take(SLEEPERS).collect();
        peer.answer(waiting.iter().map(|asked| (asked.request, opened(asked.about))));
        assert_eq!(peer.next(), None);
    });
    let connection = manager.connection();
    thread::scope(|scope| {
        for number in 0..SLEEPERS as u128 {
            let connection = &connection;
            let spawned = thread::Builder::new().stack_size(64 << 10).spawn_scoped(scope, move || {
                assert_eq!(connection.ask(open(number)), Ok(opened(number)));
            });
            spawned.unwrap();
        }
    });
    connection.say_goodbye();
}

#[test]
fn the_manager_learns_how_many_answers_were_read() {
    let (manager, told) = recording_manager();
    let connection = manager.connection();
    for number in 0..3 {
        connection.ask(open(number)).unwrap();
        let asked = told.recv().unwrap();
        assert_eq!((asked.request, asked.received), (RequestId(number as u64 + 1), number as u64));
    }
}

#[test]
fn a_late_answer_to_an_abandoned_request_is_dropped() {
    let manager = FakeManager::start(|mut peer| {
        let waiting = peer.next().unwrap();
        let cancel = peer.next().unwrap();
        assert_eq!((cancel.what.as_str(), cancel.request), ("Cancel", RequestId::ONE_WAY));
        assert_eq!(cancel.about, waiting.request.0.into());
        let next = peer.next().unwrap();
        peer.answer([(waiting.request, opened(1)), (next.request, opened(2))]);
        assert_eq!(peer.next().unwrap().received, 2);
    });
    let connection = manager.connection();
    let request = connection.begin(&Arc::default(), open(1)).unwrap();
    connection.abandon(request);
    assert_eq!(connection.ask(open(2)), Ok(opened(2)));
    let _ = connection.ask(open(3));
}

#[test]
fn a_late_answer_gives_back_the_blobs_that_it_brings() {
    let (tell, told) = mpsc::channel();
    let manager = FakeManager::start(move |mut peer| {
        let waiting = peer.next().unwrap();
        let _cancel = peer.next().unwrap();
        let item = BlobItemGrant { number: 1, carries: false, blob: BlobId(7), bytes: 1 << 30 };
        let grants = [Grant::BlobItem(item)].into_iter().collect();
        let taken = Reply::Taken(WaitResult { index: 0, grants, reacquired: None });
        let next = peer.next().unwrap();
        peer.answer([(waiting.request, taken), (next.request, opened(2))]);
        tell.send(peer.next().unwrap().what).unwrap();
    });
    let connection = manager.connection();
    let request = connection.begin(&Arc::default(), open(1)).unwrap();
    connection.abandon(request);
    assert_eq!(connection.ask(open(2)), Ok(opened(2)));
    assert_eq!(told.recv().as_deref(), Ok("BlobClose"));
}

#[test]
fn an_answered_request_is_not_cancelled() {
    let (manager, told) = recording_manager();
    let connection = manager.connection();
    let request = connection.begin(&Arc::default(), open(1)).unwrap();
    connection.ask(open(2)).unwrap();
    connection.abandon(request);
    connection.ask(open(3)).unwrap();
    let asked: Vec<String> = told.try_iter().map(|asked| asked.what).collect();
    assert_eq!(asked, ["Open"; 3]);
}

#[test]
fn an_answer_can_be_taken_without_waiting() {
    let (answer, may_answer) = mpsc::channel();
    let may_answer = Mutex::new(may_answer);
    let manager = FakeManager::start(move |mut peer| {
        let asked = peer.next().unwrap();
        lock(&may_answer).recv().unwrap();
        peer.answer([(asked.request, opened(1))]);
        peer.next();
    });
    let connection = manager.connection();
    let slot = Arc::default();
    connection.begin(&slot, open(1)).unwrap();
    assert!(connection.try_finish(&slot).is_none());
    answer.send(()).unwrap();
    connection.wait_for(StreamReadiness::READABLE, Duration::from_secs(1));
    let answer = std::iter::repeat_with(|| connection.try_finish(&slot)).find_map(|answer| answer);
    assert_eq!(answer.unwrap().unwrap().reply, opened(1));
    assert!(connection.try_finish(&slot).is_none());
}

#[test]
fn the_end_of_the_manager_wakes_everyone_and_says_why() {
    for final_refusal in [None, Some("this client does not read what it asked for")] {
        let manager = FakeManager::start(move |mut peer| {
            for _ in 0..50 {
                peer.next().unwrap();
            }
            if let Some(text) = final_refusal {
                peer.send_final_refusal(Refusal::new(Code::LimitReached, text));
            }
        });
        let connection = manager.connection();
        let expect_gone = |error: Error| {
            assert!(error.is_manager_gone(), "{error:?}");
            assert!(
                error.to_string().ends_with(final_refusal.unwrap_or("it ended, or was ended")),
                "{error}"
            );
        };
        thread::scope(|scope| {
            for number in 0..50 {
                let connection = &connection;
                scope.spawn(move || expect_gone(connection.ask(open(number)).unwrap_err()));
            }
        });
        expect_gone(connection.ask(open(0)).unwrap_err());
        expect_gone(connection.send(open(0)).unwrap_err());
        expect_gone(connection.queue(open(0)).unwrap_err());
        assert!(!connection.is_live());
    }
}

#[test]
fn a_one_way_request_to_a_manager_that_is_gone_fails_with_its_last_refusal() {
    let (gone, is_gone) = mpsc::channel();
    let manager = FakeManager::start(move |mut peer| {
        peer.send_final_refusal(Refusal::new(Code::LimitReached, "too many sessions"));
        drop(peer);
        gone.send(()).unwrap();
    });
    let connection = manager.connection();
    is_gone.recv().unwrap();
    let error = connection.send(open(0)).unwrap_err();
    assert!(error.to_string().ends_with("too many sessions"), "{error}");
    assert_eq!(connection.ask(open(0)).unwrap_err(), error);
}

#[test]
fn a_malformed_answer_ends_the_connection() {
    let manager = FakeManager::start(|mut peer| {
        peer.next().unwrap();
        peer.write(b"\x03\0\0\0abc");
        assert_eq!(peer.next(), None);
    });
    let error = manager.connection().ask(open(0)).unwrap_err();
    assert!(error.is_manager_gone(), "{error:?}");
    assert!(error.to_string().contains("not an answer"), "{error}");
}

#[test]
fn one_way_requests_keep_their_order_and_queued_ones_wait_for_the_next_write() {
    let (manager, told) = recording_manager();
    let connection = manager.connection();
    let detach = |number| Request::Detach { id: object(number) };
    connection.queue(detach(1)).unwrap();
    connection.queue(detach(2)).unwrap();
    assert!(!lock(&connection.sender).poll_output().is_empty());
    connection.send(detach(3)).unwrap();
    assert!(lock(&connection.sender).poll_output().is_empty());
    connection.queue(detach(4)).unwrap();
    connection.ask(open(5)).unwrap();
    connection.queue(detach(6)).unwrap();
    connection.say_goodbye();
    drop(connection);
    let told: Vec<u128> = told.iter().take(6).map(|asked| asked.about).collect();
    assert_eq!(told, [1, 2, 3, 4, 5, 6]);
}

#[test]
fn a_sender_without_room_reads_so_that_neither_side_waits_for_the_other() {
    let large = vec![7; 4 << 20];
    let manager = FakeManager::start(|mut peer| {
        let first = peer.next().unwrap();
        // The answers have as many bytes, and the client must read them while it cannot send.
        let nobodys = Reply::Refused(Refusal::new(Code::Cancelled, "x".repeat(1 << 20)));
        peer.answer((100..108).map(|request| (RequestId(request), nobodys.clone())));
        while let Some(asked) = peer.next() {
            if asked.what == "Open" {
                peer.answer([(first.request, opened(1)), (asked.request, opened(2))]);
            }
        }
    });
    let connection = manager.connection();
    let slot = Arc::default();
    let first = connection.begin(&slot, open(1)).unwrap();
    for _ in 0..4 {
        let chunk = Chunk { arguments: &large, carries: Vec::new(), calls: 1 };
        connection.send(Request::BatchAdd { id: object(0), chunks: vec![chunk], last: false }).unwrap();
    }
    assert_eq!(connection.ask(open(2)), Ok(opened(2)));
    assert_eq!(connection.finish(first, &slot, ReadMode::Blocking).unwrap().reply, opened(1));
}

#[test]
fn a_request_that_fits_into_no_frame_is_refused_and_leaves_no_trace() {
    let (manager, _told) = recording_manager();
    let connection = manager.connection();
    let reason = "x".repeat(protocol::limits::FRAME_BYTES_MAX);
    let large = || Request::PoolTerminate { id: object(0), reason: &reason };
    assert!(connection.ask(large()).unwrap_err().is_limit());
    assert!(connection.send(large()).unwrap_err().is_limit());
    assert!(connection.callers.is_empty());
    assert_eq!(connection.ask(open(1)), Ok(opened(1)));
}

#[test]
fn deferred_releases_leave_with_the_next_request_and_before_it() {
    let (manager, told) = recording_manager();
    let connection = manager.connection();
    let (deferred_releases, memory) = deferred_release::tests::shared();
    connection.adopt(deferred_releases);
    for holding in [1, 2] {
        connection.release(deferred_release::tests::release(holding));
    }
    // The manager finds the first meanwhile.
    memory[ENTRIES].store(0, Ordering::SeqCst);
    assert_eq!(connection.ask(open(7)), Ok(opened(7)));
    let whats: Vec<String> = told.try_iter().map(|asked| asked.what).collect();
    assert_eq!(whats, ["Release", "Open"], "nothing was sent for them before");

    memory[WANTED].store(1, Ordering::SeqCst);
    connection.release(deferred_release::tests::release(3));
    assert_eq!(told.recv().unwrap().what, "Release", "somebody wants it");
}

#[test]
fn a_queued_request_hides_no_release() {
    let (manager, told) = recording_manager();
    let connection = manager.connection();
    connection.adopt(deferred_release::tests::shared().0);
    connection.release(deferred_release::tests::release(1));
    connection.queue(Request::Detach { id: object(5) }).unwrap();
    let whats = [(); 2].map(|()| told.recv().unwrap().what);
    assert_eq!(whats, ["Release", "Detach"], "both were sent");
}

#[test]
fn a_request_that_fits_into_no_frame_hides_no_release() {
    let (manager, told) = recording_manager();
    let connection = manager.connection();
    connection.adopt(deferred_release::tests::shared().0);
    let reason = "x".repeat(protocol::limits::FRAME_BYTES_MAX);
    let too_large = || Request::PoolTerminate { id: object(0), reason: &reason };
    connection.release(deferred_release::tests::release(1));
    assert!(connection.ask(too_large()).is_err());
    assert_eq!(told.recv().unwrap().what, "Release");
    assert_eq!(connection.ask(open(1)), Ok(opened(1)));
    assert_eq!(told.recv().unwrap().what, "Open");
    connection.release(deferred_release::tests::release(2));
    assert!(connection.send(too_large()).is_err());
    assert_eq!(told.recv().unwrap().what, "Release");
}

#[test]
fn nothing_is_entered_while_the_manager_may_not_have_read_what_was_sent_before() {
    let (manager, told) = recording_manager();
    let connection = manager.connection();
    let (deferred_releases, memory) = deferred_release::tests::shared();
    connection.adopt(deferred_releases);
    connection.send(Request::SemaphoreRelease { id: object(5), permits: 1 }).unwrap();
    connection.release(deferred_release::tests::release(1));
    let whats = [(); 2].map(|()| told.recv().unwrap().what);
    assert_eq!(whats, ["SemaphoreRelease", "Release"]);
    assert_eq!(connection.ask(open(1)), Ok(opened(1)));
    connection.release(deferred_release::tests::release(2));
    assert_eq!(
        memory[ENTRIES].load(Ordering::SeqCst),
        2,
        "the answer proves that every request before it was carried out"
    );
}

#[test]
fn acquiring_and_releasing_in_turns_sends_no_release_of_its_own() {
    let (manager, told) = recording_manager();
    let connection = manager.connection();
    let (deferred_releases, memory) = deferred_release::tests::shared();
    connection.adopt(deferred_releases);
    for holding in 1..=50 {
        assert_eq!(connection.ask(open(1)), Ok(opened(1)));
        connection.release(deferred_release::tests::release(holding));
        assert_eq!(memory[ENTRIES].load(Ordering::SeqCst), holding, "it waits for the next request");
    }
    assert_eq!(told.try_iter().filter(|asked| asked.what == "Release").count(), 49);
}
