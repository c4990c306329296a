//! How a pipeline travels: what it sends when, and where errors go.

use std::sync::mpsc;

use protocol::{Code, Refusal, Reply};

use super::*;
use crate::connection::fake_manager::{Asked, FakeManager};

/// A manager that answers all requests of one read in one write, and reports each read.
fn manager_of_pieces(reply: fn(&Asked) -> Reply) -> (FakeManager, Manager, mpsc::Receiver<Vec<Asked>>) {
    let (tell, told) = mpsc::channel();
    let fake = FakeManager::start(move |mut peer| {
        while let Some(first) = peer.next() {
            let mut piece = vec![first];
            while let Some(more) = peer.next_that_came() {
                piece.push(more);
            }
            let answered = piece.iter().filter(|asked| asked.request.wants_answer());
            peer.answer(answered.map(|asked| (asked.request, reply(asked))));
            tell.send(piece).unwrap();
        }
    });
    let manager = Manager::connect_to(fake.socket()).unwrap();
    (fake, manager, told)
}

fn as_asked(asked: &Asked) -> Reply {
    match asked.what.as_str() {
        "Open" => Reply::Opened { id: protocol::ObjectId(uuid::Uuid::from_u128(7)), created: true },
        "EventIsSet" => Reply::Flag(true),
        "EventClear" => Reply::Refused(Refusal::new(Code::NoSuchObject, "it is not there")),
        _ => Reply::Done,
    }
}

#[test]
fn a_pipeline_leaves_in_one_write_and_is_answered_in_its_order() {
    // As many as one read of the fake manager takes.
    const SETS: usize = 300;
    let (_fake, manager, told) = manager_of_pieces(as_asked);
    let event = manager.event("stop").unwrap();
    told.recv().unwrap();
    let (sets, is_set) = manager
        .pipeline(|pipeline| {
            let sets: Vec<_> = (0..SETS).map(|_| pipeline.set(&event)).collect();
            assert!(told.try_recv().is_err(), "nothing is sent before the closure ends");
            (sets, pipeline.is_set(&event))
        })
        .unwrap();
    assert_eq!(is_set.get(), Ok(true));
    assert!(sets.into_iter().all(|set| set.get() == Ok(())));
    let piece = told.recv().unwrap();
    assert_eq!(piece.len(), SETS + 1);
    assert!(piece.is_sorted_by_key(|asked| asked.request));
    assert_eq!((piece[0].what.as_str(), piece[SETS].what.as_str()), ("EventSet", "EventIsSet"));
}

#[test]
fn an_error_is_told_once_by_whoever_can() {
    let (_fake, manager, _told) = manager_of_pieces(as_asked);
    let event = manager.event("stop").unwrap();
    let refused = |outcome: Result<()>| assert!(outcome.unwrap_err().is_no_such_object());
    refused(manager.pipeline(|pipeline| pipeline.clear(&event)).unwrap().get());
    let dropped = manager.pipeline(|pipeline| {
        drop((pipeline.set(&event), pipeline.clear(&event), pipeline.set(&event)));
    });
    refused(dropped);
    let too_long = "x".repeat(protocol::limits::REASON_BYTES_MAX + 1);
    let error = manager.pipeline(|pipeline| drop(pipeline.set_because(&event, &too_long))).unwrap_err();
    assert!(error.is_limit(), "{error:?}");
    assert_eq!(manager.pipeline(|pipeline| drop(pipeline.set(&event))), Ok(()));
    assert_eq!(manager.pipeline(|_| 7), Ok(7));
}

#[test]
fn the_value_is_not_there_inside_of_the_closure() {
    let (_fake, manager, _told) = manager_of_pieces(as_asked);
    let event = manager.event("stop").unwrap();
    let early = manager.pipeline(|pipeline| pipeline.is_set(&event).get()).unwrap();
    assert!(early.unwrap_err().is_bad_argument());
}

#[test]
fn objects_of_another_manager_are_refused_and_nothing_is_sent_to_either() {
    let (_fake, manager, told) = manager_of_pieces(as_asked);
    let (_other_fake, other, other_told) = manager_of_pieces(as_asked);
    let event = other.event("stop").unwrap();
    other_told.recv().unwrap();
    let error = manager.pipeline(|pipeline| pipeline.set(&event)).unwrap().get().unwrap_err();
    assert!(error.is_bad_target(), "{error:?}");
    let opened = manager.pipeline(|pipeline| pipeline.open_or_create(other.event_options(), "stop")).unwrap();
    assert!(opened.get().unwrap_err().is_bad_target());
    assert!(told.try_recv().is_err() && other_told.try_recv().is_err());
}

#[test]
fn more_than_is_answered_at_once_is_asked_for_in_parts() {
    let (_fake, manager, told) = manager_of_pieces(as_asked);
    let event = manager.event("stop").unwrap();
    told.recv().unwrap();
    let sets = 3 * ASKED_MAX + 1;
    manager
        .pipeline(|pipeline| {
            for asked in 0..sets {
                assert!(pipeline.asked.len() < ASKED_MAX, "after {asked}");
                pipeline.set(&event);
            }
        })
        .unwrap();
    let asked: Vec<Asked> = told.iter().flatten().take(sets).collect();
    assert!(asked.iter().all(|asked| asked.what == "EventSet"));
    assert!(asked.is_sorted_by_key(|asked| asked.request));
    assert!(told.try_recv().is_err(), "they were asked for once");
}
