//! Private managers, as copies of this program.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use client::{Event, Manager};
use libtest_mimic::{Arguments, Failed, Trial};

fn main() -> ExitCode {
    client::init();
    let trials = vec![
        trial("a_private_manager_lives_as_long_as_its_handles", lives_as_long_as_its_handles),
        trial("two_private_managers_know_nothing_of_each_other", two_are_apart),
        trial("a_private_manager_that_is_killed_is_gone_for_everyone", killed_is_gone),
    ];
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

/// A trial that fails if the function panics.
fn trial(name: &str, run: fn()) -> Trial {
    Trial::test(name, move || {
        run();
        Ok::<(), Failed>(())
    })
}

/// The path of a manager's socket.
fn socket_of(manager: &Manager) -> PathBuf {
    manager.address().to_string().strip_prefix("unix:").expect("it has a socket").into()
}

fn lives_as_long_as_its_handles() {
    let manager = Manager::start().unwrap();
    let socket = socket_of(&manager);
    let stop = manager.event("stop").unwrap();
    let clone = manager.clone();
    drop(manager);
    stop.set_because("still here").unwrap();
    assert_eq!(stop.wait(None).unwrap().unwrap().reason.as_deref(), Some("still here"));

    drop(clone);
    assert!(stop.is_set().unwrap_err().is_manager_gone());
    assert!(Manager::connect_to(&socket).unwrap_err().is_not_running());
    assert!(!socket.exists() && !socket.with_added_extension("lock").exists());
}

fn two_are_apart() {
    let [one, two] = [(); 2].map(|()| Manager::start().unwrap());
    assert_ne!(one.address(), two.address());
    let [first, second]: [Event; 2] = [&one, &two].map(|manager| manager.event("stop").unwrap());
    first.set().unwrap();
    assert!(!second.is_set().unwrap());
    drop(one);
    second.set().unwrap();
}

fn killed_is_gone() {
    let manager = Manager::start().unwrap();
    let socket = socket_of(&manager);
    let never = manager.event("never").unwrap();
    // The first line of the lock file is the process id of its holder; see `manager`.
    let lock = std::fs::read_to_string(socket.with_added_extension("lock")).unwrap();
    let process = lock.lines().next().unwrap().trim().parse().unwrap();
    std::thread::scope(|scope| {
        let waiters = [(); 8].map(|()| scope.spawn(|| never.wait(None)));
        let process = rustix::process::Pid::from_raw(process).unwrap();
        rustix::process::kill_process(process, rustix::process::Signal::KILL).unwrap();
        for waiter in waiters {
            assert!(waiter.join().unwrap().unwrap_err().is_manager_gone());
        }
    });
    let begun = Instant::now();
    drop(manager);
    assert!(begun.elapsed() < Duration::from_secs(1), "nobody waits for a manager that is gone");
    assert!(!socket.exists());
}
