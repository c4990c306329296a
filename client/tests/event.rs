//! Events with a real manager, which serves a real socket from a thread of this process.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Barrier};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use client::internal::{Link, collect_carried};
use client::{Event, Manager};
use tempfile::TempDir;

/// Longer than anything here takes, even on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// A manager that ends with this value.
struct Host {
    stopper: manager::Stopper,
    serving: Option<JoinHandle<()>>,
}

impl Host {
    fn start(socket: &Path) -> Host {
        let manager =
            manager::EventLoop::bind(manager::ManagerOptions::new(manager::Address::unix(socket).unwrap()))
                .unwrap();
        let stopper = manager.stopper();
        let serving = thread::spawn(move || manager.run().unwrap());
        Host { stopper, serving: Some(serving) }
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.stopper.stop();
        self.serving.take().unwrap().join().unwrap();
    }
}

/// A socket in a folder that the manager makes, so that only this user can enter it.
fn socket() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("own/m.sock");
    (folder, socket)
}

fn hosted(test: impl FnOnce(&Manager)) {
    let (_folder, socket) = socket();
    let _host = Host::start(&socket);
    test(&Manager::connect_to(&socket).unwrap());
}

fn postcard<T: serde::Serialize>(value: &T) -> Vec<u8> {
    postcard::to_allocvec(value).unwrap()
}

#[test]
fn an_event_is_set_and_cleared_and_knows_who_set_it() {
    hosted(|manager| {
        let event = manager.event("stop").unwrap();
        assert!(!event.is_set().unwrap());
        assert_eq!(event.cause().unwrap(), None);
        assert_eq!(event.wait(Duration::ZERO).unwrap(), None);
        assert_eq!(event.wait(Duration::from_millis(5)).unwrap(), None);

        event.set_because("disk full").unwrap();
        assert!(manager.event("stop").unwrap().is_set().unwrap());
        let cause = event.wait(None).unwrap().unwrap();
        assert_eq!(cause.process, std::process::id());
        assert!(cause.program.starts_with("event-"), "{}", cause.program);
        assert_eq!(cause.reason.as_deref(), Some("disk full"));
        assert!(cause.ago < PATIENCE);

        event.clear().unwrap();
        assert!(!event.is_set().unwrap());
        event.set().unwrap();
        assert_eq!(event.cause().unwrap().unwrap().reason, None);
    });
}

#[test]
fn a_reason_has_a_length_and_a_name_has_rules() {
    hosted(|manager| {
        let event = manager.anonymous_event().unwrap();
        event.set_because(&"x".repeat(1024)).unwrap();
        assert!(event.set_because(&"x".repeat(1025)).unwrap_err().is_limit());
        event.clear().unwrap();
        for reason in ["a\0\n\x1b[31mred", "disk full\n", "\u{9b}31m"] {
            let error = event.set_because(reason).unwrap_err();
            assert!(error.is_bad_argument() && error.to_string().contains("at byte"), "{error:?}");
            let barrier = manager.anonymous_barrier(2).unwrap();
            assert!(barrier.abort(reason).unwrap_err().is_bad_argument());
            assert!(!barrier.is_broken().unwrap());
        }
        assert!(!event.is_set().unwrap());
        // The manager keeps a multi-line error of an action as one line.
        let barrier = manager.anonymous_barrier(1).unwrap();
        let error = barrier.wait_with(None, || Err("no fuel:\n\x1b[31mnone\n")).unwrap_err();
        assert!(error.is_broken(), "{error:?}");
        let reason = barrier.broken().unwrap().unwrap();
        assert!(reason.ends_with("no fuel:  [31mnone"), "{reason}");
        for name in ["", "a\nb", &"x".repeat(256)] {
            let error = manager.event(name).unwrap_err();
            assert!(error.is_bad_name(), "{error:?}");
        }
        manager.event(&"x".repeat(255)).unwrap();
    });
}

#[test]
fn objects_are_opened_and_made_in_four_ways() {
    hosted(|manager| {
        let options = || manager.event_options();
        assert!(options().open("a").unwrap_err().is_no_such_object());
        let a = options().create_new("a").unwrap();
        assert!(options().create_new("a").unwrap_err().is_already_exists());
        a.set().unwrap();
        assert!(options().open("a").unwrap().is_set().unwrap());
        assert!(options().open_or_create("a").unwrap().is_set().unwrap());
        let error = options().auto_reset(true).open("a").unwrap_err();
        assert!(error.is_wrong_parameters(), "{error:?}");
        assert!(error.to_string().contains("manual") && error.to_string().contains("auto"), "{error}");
        let [one, two] = [(); 2].map(|()| manager.anonymous_event().unwrap());
        one.set().unwrap();
        assert!(!two.is_set().unwrap());
    });
}

#[test]
fn a_removed_event_wakes_its_waiters_and_its_name_is_free() {
    hosted(|manager| {
        let event = manager.event("a").unwrap();
        thread::scope(|scope| {
            let waiting = scope.spawn(|| event.wait(None));
            let deadline = Instant::now() + PATIENCE;
            while manager.inspect("a").unwrap().waiting == 0 {
                assert!(Instant::now() < deadline, "it does not wait");
                thread::yield_now();
            }
            manager.event("a").unwrap().remove().unwrap();
            let error = waiting.join().unwrap().unwrap_err();
            assert!(error.is_removed(), "it was woken: {error:?}");
        });
        assert!(event.is_set().unwrap_err().is_no_such_object());
        manager.event_options().create_new("a").unwrap();
    });
}

#[test]
fn a_set_of_an_auto_reset_event_lets_one_through() {
    hosted(|manager| {
        let event = manager.event_options().auto_reset(true).create_new("turn").unwrap();
        let passed = thread::scope(|scope| {
            let waiters = [(); 8].map(|()| scope.spawn(|| event.wait(PATIENCE).unwrap().is_some()));
            let mut setters = 0;
            while !waiters.iter().all(thread::ScopedJoinHandle::is_finished) {
                // Waits until the signal before has been taken, so that each set counts.
                if !event.is_set().unwrap() && setters < 8 {
                    event.set().unwrap();
                    setters += 1;
                }
            }
            waiters.into_iter().filter_map(|waiter| waiter.join().ok()).filter(|&passed| passed).count()
        });
        assert_eq!(passed, 8);
        assert!(!event.is_set().unwrap());
    });
}

#[test]
fn two_and_a_half_thousand_threads_wait_on_one_connection() {
    const THREADS: usize = 2_500;
    hosted(|manager| {
        let (event, begun) = (manager.event("go").unwrap(), Barrier::new(THREADS + 1));
        thread::scope(|scope| {
            let wait = || {
                begun.wait();
                event.wait(PATIENCE).unwrap().is_some()
            };
            let threads: Vec<_> = (0..THREADS)
                .map(|_| thread::Builder::new().stack_size(64 << 10).spawn_scoped(scope, wait).unwrap())
                .collect();
            begun.wait();
            event.set().unwrap();
            assert!(threads.into_iter().all(|thread| thread.join().unwrap()));
        });
    });
}

#[test]
fn the_end_of_the_manager_wakes_everyone() {
    let (_folder, socket) = socket();
    let host = Host::start(&socket);
    let manager = Manager::connect_to(&socket).unwrap();
    let event = manager.event("never").unwrap();
    thread::scope(|scope| {
        let waiters = [(); 20].map(|()| scope.spawn(|| event.wait(None)));
        drop(host);
        for waiter in waiters {
            let error = waiter.join().unwrap().unwrap_err();
            assert!(error.is_manager_gone(), "{error:?}");
        }
    });
    assert!(event.set().unwrap_err().is_manager_gone());
    assert!(Manager::connect_to(&socket).unwrap_err().is_not_running());
}

#[test]
fn handles_of_one_process_share_one_connection() {
    hosted(|manager| {
        let other = Manager::connect_to(manager.address()).unwrap();
        assert!(Arc::ptr_eq(manager.link(), other.link()));
        let received: Event = postcard::from_bytes(&postcard(&manager.anonymous_event().unwrap())).unwrap();
        assert!(Arc::ptr_eq(manager.link(), received.reference().link().unwrap()));
    });
}

#[test]
fn a_proxy_travels_and_holds_its_object() {
    hosted(|manager| {
        let event = manager.anonymous_event().unwrap();
        let (bytes, carried) = collect_carried(|| postcard(&vec![event.clone(), event.clone()]));
        assert_eq!(carried.of(manager.link().epoch()).unwrap(), [event.reference().id()]);
        let received: Vec<Event> = postcard::from_bytes(&bytes).unwrap();
        event.set().unwrap();
        drop(event);
        assert!(received.iter().all(|event| event.is_set().unwrap()));

        drop(received);
        let error = postcard::from_bytes::<Vec<Event>>(&bytes).unwrap_err();
        assert_eq!(error, postcard::Error::SerdeDeCustom, "the manager frees an object without proxies");
    });
}

#[test]
fn references_that_are_counted_with_the_next_write_are_counted() {
    hosted(|manager| {
        let event = manager.anonymous_event().unwrap();
        let bytes = postcard(&event);
        manager.link().set_lazy_detach(true);
        let received: Event = postcard::from_bytes(&bytes).unwrap();
        drop(event);
        received.set().unwrap();
        drop(received);
        manager.link().set_lazy_detach(false);
        assert!(postcard::from_bytes::<Event>(&bytes).is_err());
    });
}

#[test]
fn a_proxy_from_an_earlier_life_of_the_manager_is_refused() {
    let (_folder, socket) = socket();
    let host = Host::start(&socket);
    let old = Manager::connect_to(&socket).unwrap();
    let event = old.event("same name").unwrap();
    let bytes = postcard(&event);
    drop(host);

    let _host = Host::start(&socket);
    // The old connection is not used in between, so that only the socket can tell that it is over.
    assert!(postcard::from_bytes::<Event>(&bytes).is_err());
    let new = Manager::connect_to(&socket).unwrap();
    assert_ne!(old.link().epoch(), new.link().epoch());
    new.event("same name").unwrap();
    assert!(postcard::from_bytes::<Event>(&bytes).is_err());
    assert!(event.is_set().unwrap_err().is_manager_gone());
}

#[test]
fn hostile_bytes_are_no_proxy() {
    let id = [7_u8; 16];
    for socket in ["", "nowhere.sock", "/", "/dev/null", &"x".repeat(5000), "/tmp/\0"] {
        let bytes = postcard(&(socket, id, id));
        assert!(postcard::from_bytes::<Event>(&bytes).is_err(), "{socket:?}");
    }
    for length in 0..40 {
        assert!(postcard::from_bytes::<Event>(&vec![0xff; length]).is_err());
    }
}

#[test]
fn a_wait_ends_at_its_timeout_and_not_before() {
    hosted(|manager| {
        let event = manager.anonymous_event().unwrap();
        let started = Instant::now();
        assert_eq!(event.wait(Duration::from_millis(40)).unwrap(), None);
        assert!(started.elapsed() >= Duration::from_millis(40));
        event.set().unwrap();
        assert!(event.wait(Duration::MAX).unwrap().is_some());
    });
}

#[test]
fn a_connection_closes_when_nothing_uses_it_any_more() {
    let (_folder, socket) = socket();
    let _host = Host::start(&socket);
    let manager = Manager::connect_to(&socket).unwrap();
    let link = Arc::downgrade(manager.link());
    let event = manager.anonymous_event().unwrap();
    drop(manager);
    assert!(Arc::ptr_eq(
        &Link::connect(&manager::Address::unix(&socket).unwrap()).unwrap(),
        &link.upgrade().unwrap()
    ));
    event.set().unwrap();
    drop(event);
    assert_eq!(link.strong_count(), 0);
    Manager::connect_to(&socket).unwrap().event("afresh").unwrap();
}
