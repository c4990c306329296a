//! Managers that are processes of their own: this test program, run again as a helper.

use std::env;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::sync::Arc;

use protocol::{Limits, Reply, Request};
use rustix::process::{Resource, Rlimit, Signal, setrlimit};
use rustix::thread::{CapabilitySet, CapabilitySets, set_capabilities};
use signal_hook::consts::SIGINT;
use sys::process_stat::ProcessStat;

use super::deaths::run_worker;
use super::helper::{HelperProcess, NAME, SOCKET};
use super::raw_client::{RawClient, object, open_event};
use super::running_manager::private_folder;
use super::timeouts::eventually;
use crate::{Address, Error, EventLoop, ManagerOptions};

/// The memory of a manager that has little.
pub(super) const LITTLE_MEMORY: usize = 32 << 20;

/// Does nothing as a test. The other tests run it as a process of its own, with the name of a helper.
#[test]
fn run_helper() {
    let (Ok(name), Some(socket)) = (env::var(NAME), env::var_os(SOCKET)) else { return };
    let socket = PathBuf::from(socket);
    // If the tests run in the background of a shell, it is ignored, and a manager would let it stay so.
    signal_hook::flag::register(SIGINT, Arc::default()).unwrap();
    let options = ManagerOptions::new(Address::unix(&socket).unwrap());
    match name.as_str() {
        "manager" => crate::serve(options, crate::announce).unwrap(),
        "manager of another user" => {
            // Any process may do this: the manager compares what the kernel says of its peers with another user.
            let mut manager = EventLoop::bind(options).unwrap();
            *manager.user() += 1;
            crate::announce(&Address::unix(&socket).unwrap());
            manager.run().unwrap();
        }
        "manager with little memory" => {
            let limits = Limits { memory_bytes_max: LITTLE_MEMORY, ..Limits::default() };
            crate::serve(ManagerOptions { limits, ..options }, crate::announce).unwrap();
        }
        "manager with few descriptors" => {
            let few = Rlimit { current: Some(DESCRIPTORS), maximum: Some(DESCRIPTORS) };
            setrlimit(Resource::Nofile, few).unwrap();
            crate::serve(options, crate::announce).unwrap();
        }
        "manager with few descriptors and no privileges" => {
            let few = Rlimit { current: Some(DESCRIPTORS), maximum: Some(DESCRIPTORS) };
            setrlimit(Resource::Nofile, few).unwrap();
            let none = CapabilitySet::empty();
            let sets = CapabilitySets { effective: none, permitted: none, inheritable: none };
            set_capabilities(None, sets).unwrap();
            crate::serve(options, crate::announce).unwrap();
        }
        "manager with small files" => {
            let small = Rlimit { current: Some(1024), maximum: Some(1024) };
            setrlimit(Resource::Fsize, small).unwrap();
            crate::serve(options, crate::announce).unwrap();
        }
        "manager of its parent" => {
            let parent = Some(std::os::unix::process::parent_id());
            crate::serve(ManagerOptions { parent, ..options }, crate::announce).unwrap();
        }
        "parent of a manager" => {
            let mut manager = HelperProcess::start("manager of its parent", &socket);
            println!("manager: {} ready at {}", manager.child.id(), manager.wait_for("ready at "));
            std::thread::park();
        }
        name => run_worker(name, &socket),
    }
    // What a test program would print at its end is no part of a helper.
    std::process::exit(0);
}

#[test]
fn signals_end_a_manager_in_order() {
    for signal in [Signal::INT, Signal::TERM] {
        let folder = private_folder();
        let socket = folder.path().join("manager.sock");
        let mut manager = HelperProcess::start("manager", &socket);
        assert_eq!(manager.wait_for("manager is ready at "), format!("unix:{}", socket.display()));
        let mut peer = RawClient::connect(&socket);
        peer.begin_session();
        manager.signal(signal);
        peer.expect_end();
        assert!(manager.child.wait().unwrap().success(), "the exit status is 0");
        assert!(!socket.exists());
    }
}

#[test]
fn a_killed_manager_leaves_a_socket_that_the_next_takes_over() {
    let folder = private_folder();
    let socket = folder.path().join("manager.sock");
    let mut killed = HelperProcess::start("manager", &socket);
    killed.wait_for("manager is ready at ");

    let refused = EventLoop::bind(ManagerOptions::new(Address::unix(&socket).unwrap())).unwrap_err();
    let process = killed.child.id();
    assert!(matches!(refused, Error::AlreadyServed { holder: Some(holder), .. } if holder == process));

    let mut peer = RawClient::connect(&socket);
    peer.begin_session();
    killed.signal(Signal::KILL);
    peer.expect_end();
    assert_eq!(killed.child.wait().unwrap().signal(), Some(9));
    assert!(socket.exists());

    HelperProcess::start("manager", &socket).wait_for("manager is ready at ");
}

#[test]
fn a_manager_ends_with_its_parent() {
    let folder = private_folder();
    let socket = folder.path().join("manager.sock");
    let mut parent = HelperProcess::start("parent of a manager", &socket);
    parent.wait_for("manager: ");
    let mut peer = RawClient::connect(&socket);
    peer.begin_session();
    parent.signal(Signal::KILL);
    peer.expect_end();
    eventually("the end of the manager", || (!socket.exists()).then_some(()));
}

#[test]
fn a_manager_of_a_process_that_is_not_its_parent_ends_at_once() {
    let folder = private_folder();
    let socket = folder.path().join("manager.sock");
    // No process is its own parent.
    let other = std::process::id();
    EventLoop::bind(ManagerOptions {
        parent: Some(other),
        ..ManagerOptions::new(Address::unix(&socket).unwrap())
    })
    .unwrap()
    .run()
    .unwrap();
    assert!(!socket.exists());
}

/// How many descriptors the starved manager may open: enough for itself and a few clients.
const DESCRIPTORS: u64 = 24;

#[test]
fn without_descriptors_existing_clients_are_served_and_others_wait() {
    let folder = private_folder();
    let socket = folder.path().join("manager.sock");
    let mut manager = HelperProcess::start("manager with few descriptors", &socket);
    manager.wait_for("manager is ready at ");

    let mut served = RawClient::connect(&socket);
    served.begin_session();
    served.call(open_event(1, "still here"));
    // The manager cannot accept all of these, and the system queues the others.
    let mut crowd: Vec<RawClient> = (0..DESCRIPTORS * 2).map(|_| RawClient::connect(&socket)).collect();
    let mut last = crowd.pop().unwrap();
    let before = processor_ticks(&manager);
    for _ in 0..100 {
        assert_eq!(served.call(Request::EventIsSet { id: object(1) }), Reply::Flag(false));
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    // The loop above takes at least half a second, and that long a spin would use 50 ticks.
    let ticks = processor_ticks(&manager) - before;
    assert!(ticks < 25, "the manager used {ticks} ticks");

    drop(crowd);
    last.begin_session();
    assert_eq!(last.call(Request::EventIsSet { id: object(1) }), Reply::Flag(false));
    assert_eq!(served.call(Request::EventIsSet { id: object(1) }), Reply::Flag(false));
}

/// The processor time that a process used, in hundredths of a second.
fn processor_ticks(helper: &HelperProcess) -> u64 {
    ProcessStat::of(helper.child.id()).unwrap().processor_ticks
}
