//! The supervisor, with shells as workers.

use std::sync::mpsc;

use rustix::io::Errno;
use sys::process_group;

use super::*;

const SOON: Duration = Duration::from_secs(10);

/// Supervises shells that run this script, and hands over the reason when the pool is broken.
fn supervise(processes: usize, script: &'static str) -> (Supervisor, mpsc::Receiver<String>) {
    let (sender, receiver) = mpsc::channel();
    let command = move || {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]);
        Ok(command)
    };
    let broken = move |reason: &str| sender.send(reason.to_owned()).unwrap();
    let hooks = Hooks {
        command: Box::new(command),
        assignment: DescriptorMessage::new(b"").unwrap(),
        is_manager_gone: Box::new(|| false),
        broken: Box::new(broken),
    };
    (Supervisor::start(processes, hooks).unwrap(), receiver)
}

fn wait_for(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + SOON;
    while !condition() {
        assert!(Instant::now() < deadline, "waited too long: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn is_alive(process: u32) -> bool {
    std::path::Path::new(&format!("/proc/{process}")).exists()
}

#[test]
fn workers_that_leave_are_not_replaced() {
    let (supervisor, _) = supervise(3, "printf RC >&0");
    assert_eq!(supervisor.join(), Ended::Left);
    assert!(supervisor.process_ids().is_empty());
}

#[test]
fn workers_that_retire_are_replaced_forever() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("starts");
    let script =
        format!("echo >> {0}; printf RN >&0; test $(wc -l < {0}) -lt 20 || printf C >&0", path.display());
    let (supervisor, _) = supervise(1, script.leak());
    assert_eq!(supervisor.join(), Ended::Left);
    assert_eq!(std::fs::read_to_string(path).unwrap().len(), 20);
}

#[test]
fn a_killed_worker_is_replaced() {
    let (supervisor, _) = supervise(2, "printf R >&0; exec sleep 60");
    assert!(supervisor.wait_ready(2));
    let before = supervisor.process_ids();
    process_group::signal(before[0], Signal::KILL).unwrap();
    wait_for("a new worker", || {
        let now = supervisor.process_ids();
        now.len() == 2 && !now.contains(&before[0])
    });
}

#[test]
fn terminated_workers_are_gone_with_all_they_started() {
    let (supervisor, _) = supervise(2, "sleep 61 & printf R >&0; wait");
    assert!(supervisor.wait_ready(2));
    let processes = supervisor.process_ids();
    supervisor.terminate();
    assert_eq!(supervisor.join(), Ended::Terminated);
    for process in processes {
        assert!(!is_alive(process));
        wait_for("the group is gone", || !process_group::has_members(process));
    }
}

#[test]
fn a_worker_that_ignores_sigterm_is_killed_after_the_grace() {
    let (supervisor, _) = supervise(1, "trap '' TERM; printf R >&0; while :; do sleep 1; done");
    assert!(supervisor.wait_ready(1));
    let before = Instant::now();
    supervisor.terminate();
    assert_eq!(supervisor.join(), Ended::Terminated);
    assert!(before.elapsed() >= GRACE, "it had {:?}", before.elapsed());
}

#[test]
fn workers_that_never_get_ready_break_the_pool_with_a_reason() {
    let (supervisor, reasons) = supervise(4, "echo no disk >&2; exit 3");
    let Ended::Broken(reason) = supervisor.join() else { panic!("it is not broken") };
    assert!(reason.ends_with("exited with status 3 before it was ready and wrote: no disk"), "{reason}");
    assert_eq!(reasons.recv_timeout(SOON), Ok(reason));
}

#[test]
fn a_program_that_cannot_be_started_breaks_the_pool() {
    let (sender, receiver) = mpsc::channel();
    let hooks = Hooks {
        command: Box::new(|| Ok(Command::new("/nonexistent/program"))),
        assignment: DescriptorMessage::new(b"").unwrap(),
        is_manager_gone: Box::new(|| false),
        broken: Box::new(move |reason| sender.send(reason.to_owned()).unwrap()),
    };
    let supervisor = Supervisor::start(1, hooks).unwrap();
    assert!(matches!(supervisor.join(), Ended::Broken(_)));
    assert!(receiver.recv_timeout(SOON).unwrap().contains("cannot be started"));
}

#[test]
fn workers_are_not_replaced_when_the_manager_is_gone() {
    let hooks = Hooks {
        command: Box::new(|| Ok(Command::new("/bin/false"))),
        assignment: DescriptorMessage::new(b"").unwrap(),
        is_manager_gone: Box::new(|| true),
        broken: Box::new(|reason| panic!("{reason}")),
    };
    assert_eq!(Supervisor::start(3, hooks).unwrap().join(), Ended::ManagerGone);
}

#[test]
fn a_worker_that_closes_its_input_is_still_watched() {
    let (supervisor, _) = supervise(1, "printf R >&0; exec 0</dev/null; exec sleep 62");
    assert!(supervisor.wait_ready(1));
    drop(supervisor);
}

/// Supervises shells. The starts that `is_refused` selects, counted from one, fail as if the system had no process
/// left.
fn supervise_without_room(
    processes: usize,
    is_refused: impl Fn(u32) -> bool + Send + 'static,
) -> (Supervisor, mpsc::Receiver<String>) {
    let (sender, receiver) = mpsc::channel();
    let mut tries = 0;
    let command = move || {
        tries += 1;
        if is_refused(tries) {
            return Err(Errno::AGAIN.into());
        }
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "printf R >&0; exec sleep 63"]);
        Ok(command)
    };
    let hooks = Hooks {
        command: Box::new(command),
        assignment: DescriptorMessage::new(b"").unwrap(),
        is_manager_gone: Box::new(|| false),
        broken: Box::new(move |reason| sender.send(reason.to_owned()).unwrap()),
    };
    (Supervisor::start(processes, hooks).unwrap(), receiver)
}

#[test]
fn a_worker_starts_as_soon_as_there_is_room_for_it() {
    let (supervisor, reasons) = supervise_without_room(2, |tries| (2..=2 + FAILURES_MAX).contains(&tries));
    assert!(supervisor.wait_ready(2));
    drop(supervisor);
    assert!(reasons.recv().is_err(), "it has not given up");
}

#[test]
fn a_pool_without_room_for_any_worker_is_broken() {
    let began = Instant::now();
    let (supervisor, reasons) = supervise_without_room(2, |_| true);
    let Ended::Broken(reason) = supervisor.join() else { panic!("it has not given up") };
    assert!(began.elapsed() >= ROOM_TIME_MAX, "it was tried for {:?}", began.elapsed());
    let attempts =
        reason.strip_prefix("no worker could be started in ").and_then(|rest| rest.split_once(" attempts"));
    assert!(
        attempts.is_some_and(|(attempts, _)| attempts.parse::<u32>().is_ok_and(|attempts| attempts > 1)),
        "{reason}"
    );
    assert_eq!(reasons.recv_timeout(SOON), Ok(reason));
}

#[test]
fn the_remaining_workers_end_when_no_more_can_be_started() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("first");
    let script = format!("mkdir {} 2>&1 || exit 4; printf R >&0; exec sleep 64", path.display());
    let (supervisor, reasons) = supervise(2, script.leak());
    assert!(reasons.recv_timeout(SOON).unwrap().contains("exited with status 4"));
    assert!(matches!(supervisor.join(), Ended::Broken(_)));
    assert!(supervisor.process_ids().is_empty());
}
