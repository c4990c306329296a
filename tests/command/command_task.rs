//! The task `command`: what a program did, why it did not start, and how it ends.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use client::task::named;
use client::{AsyncResult, Event, Manager, Pool, Result, task};
use rustix::process::Signal;
use worker::tasks::{COMMAND, Captured, Command, CommandResult, Exit, OUTPUT_BYTES_MAX, command};

use crate::support::helper;
use crate::support::tasks::MarkedTask;
use crate::support::{
    ManagerProgram, PATIENCE, RunningProgram, apply, descendants, eventually, is_alive, kill, test, within,
};

inventory::submit! { MarkedTask(|registry| registry.task(command).task(command_until)) }

/// The time within which no process is left.
const SOON: Duration = Duration::from_secs(2);

/// A program with children and grandchildren, all in its group.
const FAMILY: &str = "sh -c 'sleep 1001 & sleep 1002' & sleep 1003 & wait";

/// Runs a command, and stops its own batch when the event is set.
fn command_until(command: Command, end: Event) -> CommandResult {
    let stop = task::stop_event().expect("this is a task");
    thread::spawn(move || end.wait(None).and_then(|_| stop.set()));
    worker::tasks::command(command)
}

fn shell(script: &str) -> Command {
    Command::new("sh").arguments(["-c", script])
}

fn run(command: Command) -> CommandResult {
    let manager = Manager::start().unwrap();
    let pool = Pool::new(&manager, 1).unwrap();
    pool.apply(worker::tasks::command, (command,)).unwrap()
}

/// A command that runs in a worker, with all of its processes.
struct CommandRuns {
    result: AsyncResult<CommandResult>,
    /// The command's own, and not its supervisor's.
    processes: Vec<u32>,
    supervisor: u32,
    pool: Pool,
    _manager: Manager,
}

impl CommandRuns {
    /// Starts it, and waits until it has this number of processes.
    fn start(command: Command, processes: usize) -> CommandRuns {
        let manager = Manager::start().unwrap();
        let pool = Pool::new(&manager, 1).unwrap();
        let result = pool.apply_async(worker::tasks::command, (command,)).unwrap();
        eventually("the worker is ready", || pool.process_ids().len() == 1);
        let worker = pool.process_ids()[0];
        eventually("the command and what it starts run", || descendants(worker).len() == processes + 1);
        let all = descendants(worker);
        let (supervisor, processes) = (all[0], all[1..].to_vec());
        CommandRuns { result, processes, supervisor, pool, _manager: manager }
    }

    /// Stops the batch by its event, and returns the result and how long it took.
    fn stop(&self) -> (CommandResult, Duration) {
        let before = Instant::now();
        self.result.handle().stop_event().set().unwrap();
        (self.result.get(PATIENCE).unwrap(), before.elapsed())
    }

    fn expect_nobody(&self) {
        for &process in self.processes.iter().chain([&self.supervisor]) {
            within(SOON, "nobody is left", || !is_alive(process));
        }
    }
}

#[apply(test)]
fn reports_what_a_program_did() {
    let script = "echo out; echo err >&2; wc -c; exit 3";
    let expected =
        Captured { exit: Exit::Status(3), stdout: b"out\n0\n".to_vec(), stderr: b"err\n".to_vec() };
    assert_eq!(run(shell(script)), Ok(expected));
    assert_eq!(run(shell("kill -TERM $$")).unwrap().exit, Exit::Signal(15));
}

#[apply(test)]
fn has_arguments_environment_folder_and_input() {
    let manager = Manager::start().unwrap();
    let pool = Pool::new(&manager, 1).unwrap();
    let output = |command: Command| {
        let captured = pool.apply(worker::tasks::command, (command,)).unwrap().unwrap();
        assert_eq!(captured.exit, Exit::Status(0), "{captured:?}");
        String::from_utf8(captured.stdout).unwrap()
    };
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().canonicalize().unwrap();

    let arguments = Command::new("printf").argument("%s|").arguments(["", "a b", "ä\n"]);
    assert_eq!(output(arguments), "|a b|ä\n|");
    assert_eq!(output(Command::new("pwd").folder(&folder)).trim_end(), folder.to_str().unwrap());
    std::fs::write(folder.join("here"), "").unwrap();
    assert_eq!(output(Command::new("ls").folder(&folder)), "here\n");

    let show = || shell("echo $HOME:$COLOUR:$PATH");
    assert!(output(show().environment("COLOUR", "red")).contains(":red:/"));
    assert!(output(show().environment("COLOUR", "red").without_environment("COLOUR")).contains("::/"));
    let cleared = Command::new("/usr/bin/env").clear_environment().environment("COLOUR", "blue");
    assert_eq!(output(cleared), "COLOUR=blue\n");

    let input = "line\n".repeat(1 << 18);
    assert_eq!(
        output(Command::new("wc").argument("-c").input(input.clone())).trim(),
        input.len().to_string()
    );
    assert_eq!(output(Command::new("tail").arguments(["-n", "1"]).input("first\nlast")), "last");
    // A program that reads none of its input holds up nobody.
    assert_eq!(output(Command::new("true").input(input)), "");
}

#[apply(test)]
fn streams_its_output_on_request() {
    let program = ManagerProgram::start();
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_worker"));
    command.args(["--pool", "demo", "--processes", "1", "--socket"]).arg(&program.socket);
    let mut worker = RunningProgram::start(&mut command);
    assert!(worker.line().starts_with("worker is ready"));
    let pool = Pool::open(&program.connect(), "demo").unwrap();
    let task = named::<(Command,), CommandResult>(COMMAND);
    let captured = pool.apply(task, (shell("echo streamed").streamed(),)).unwrap().unwrap();
    assert_eq!(captured, Captured { exit: Exit::Status(0), stdout: Vec::new(), stderr: Vec::new() });
    assert_eq!(worker.line(), "streamed");
}

#[apply(test)]
fn says_why_a_program_cannot_start() {
    let text = run(Command::new("no-such-program")).unwrap_err();
    assert!(text.starts_with("no-such-program: No such file"), "{text}");
    let text = run(Command::new("/")).unwrap_err();
    assert!(text.starts_with("/: ") && text.contains("Permission denied"), "{text}");
    let text = run(Command::new("true").folder("/no/such/folder")).unwrap_err();
    assert!(text.starts_with("/no/such/folder: No such file"), "{text}");
}

#[apply(test)]
fn keeps_the_beginning_of_much_output() {
    let captured = run(shell("head -c 3000000 /dev/zero; head -c 3000000 /dev/zero >&2")).unwrap();
    assert_eq!((captured.stdout.len(), captured.stderr.len()), (OUTPUT_BYTES_MAX, OUTPUT_BYTES_MAX));
    assert_eq!(captured.exit, Exit::Status(0));
}

#[apply(test)]
fn ends_with_its_worker() {
    let CommandRuns { result, processes, pool, _manager, .. } = CommandRuns::start(shell(FAMILY), 5);
    drop(pool);
    assert!(result.get(None).unwrap_err().is_terminated());
    for process in processes {
        eventually("the command has ended", || !is_alive(process));
    }
}

#[apply(test)]
fn ends_with_its_worker_that_is_killed() {
    let runs = CommandRuns::start(shell(FAMILY), 5);
    kill(runs.pool.process_ids()[0], Signal::KILL);
    assert!(runs.result.get(PATIENCE).unwrap_err().is_worker_died());
    runs.expect_nobody();
}

/// An owner whose workers run commands, one of them without a supervisor. It says when they start, and stays until it
/// is killed.
#[apply(helper)]
pub(crate) fn own() -> Result<()> {
    let manager = Manager::start()?;
    let pool = Pool::builder(&manager).processes(3).start()?;
    let _guarded = [(); 2].map(|()| pool.apply_async(worker::tasks::command, (shell(FAMILY),)).unwrap());
    let _own = pool.apply_async(crate::faults::misbehaving_tasks::run_family, (FAMILY.to_owned(),))?;
    println!("started");
    loop {
        thread::sleep(Duration::from_secs(1000));
    }
}

#[apply(test)]
fn ends_with_the_owner_that_is_killed() {
    kill_owner(|_| ());
}

#[apply(test)]
fn ends_with_the_owner_that_is_killed_also_if_all_is_suspended() {
    kill_owner(|processes| processes.iter().for_each(|&process| kill(process, Signal::STOP)));
}

/// Does something to all processes of an owner whose workers run commands, and then kills the owner.
fn kill_owner(prepare: fn(&[u32])) {
    let mut owner = RunningProgram::start(&mut helper::command(own));
    assert_eq!(owner.line(), "started");
    // The manager, three workers, two supervisors, and three times a shell with what it starts.
    eventually("all of them run", || descendants(owner.process()).len() == 1 + 3 + 2 + 3 * 5);
    let processes = descendants(owner.process());
    let (manager, others): (Vec<u32>, Vec<u32>) =
        processes.into_iter().partition(|&process| name(process) == "manager");
    prepare(&others);
    owner.signal(Signal::KILL);
    owner.wait();
    for process in manager.into_iter().chain(others) {
        within(SOON, "nobody is left", || !is_alive(process));
    }
}

#[apply(test)]
fn ends_when_its_supervisor_is_killed() {
    let runs = CommandRuns::start(shell(FAMILY), 5);
    kill(runs.supervisor, Signal::KILL);
    let text = runs.result.get(PATIENCE).unwrap().unwrap_err();
    assert!(text.contains("supervisor"), "{text}");
    runs.expect_nobody();
    assert!(runs.pool.apply(worker::tasks::command, (Command::new("true"),)).unwrap().is_ok());
}

#[apply(test)]
fn is_stopped_with_its_batch() {
    let runs = CommandRuns::start(shell(FAMILY), 5);
    let (captured, time) = runs.stop();
    assert_eq!(captured.unwrap().exit, Exit::Signal(15));
    assert!(time < SOON, "it took {time:?}");
    runs.expect_nobody();

    // The task itself can stop the command, too.
    let manager = Manager::start().unwrap();
    let pool = Pool::new(&manager, 1).unwrap();
    let end = manager.anonymous_event().unwrap();
    let result = pool.apply_async(command_until, (shell("sleep 1004"), end.clone())).unwrap();
    end.set().unwrap();
    assert_eq!(result.get(PATIENCE).unwrap().unwrap().exit, Exit::Signal(15));
}

#[apply(test)]
fn that_ignores_signals_is_killed_after_its_grace() {
    let grace = Duration::from_millis(300);
    let ignores = ("trap '' TERM; sleep 1005; sleep 1006", 2);
    let blocks = ("exec env --block-signal sleep 1005", 1);
    for (script, processes) in [ignores, blocks] {
        let runs = CommandRuns::start(shell(script).grace(grace), processes);
        let last = *runs.processes.last().unwrap();
        eventually("it ignores SIGTERM", || name(last) == "sleep");
        let (captured, time) = runs.stop();
        assert_eq!(captured.unwrap().exit, Exit::Signal(9), "{script}");
        assert!(time >= grace && time < grace + SOON, "it took {time:?}: {script}");
        runs.expect_nobody();
    }
}

/// The name of the program that a process runs.
fn name(process: u32) -> String {
    std::fs::read_to_string(format!("/proc/{process}/comm")).unwrap_or_default().trim_end().to_owned()
}

#[apply(test)]
fn that_was_suspended_is_stopped() {
    let runs = CommandRuns::start(shell("sleep 1007; :"), 2);
    kill(runs.processes[0], Signal::STOP);
    kill(runs.processes[1], Signal::STOP);
    let (captured, time) = runs.stop();
    assert_eq!(captured.unwrap().exit, Exit::Signal(15));
    assert!(time < SOON, "it took {time:?}");
    runs.expect_nobody();
}

#[apply(test)]
fn that_closes_its_output_is_stopped() {
    let runs = CommandRuns::start(shell("exec >&- 2>&- <&-; sleep 1008; :"), 2);
    let (captured, _) = runs.stop();
    assert_eq!(captured.unwrap().exit, Exit::Signal(15));
    runs.expect_nobody();
}

#[apply(test)]
fn that_writes_without_end_is_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let script = "yes | head -c 1000; touch ready; yes & yes >&2 & yes";
    let runs = CommandRuns::start(shell(script).folder(folder.path()), 4);
    eventually("it writes", || Path::exists(&folder.path().join("ready")));
    let (captured, time) = runs.stop();
    let captured = captured.unwrap();
    assert_eq!(captured.exit, Exit::Signal(15));
    assert!(captured.stdout.starts_with(b"y\ny\n") && captured.stderr.len() <= OUTPUT_BYTES_MAX);
    assert!(time < SOON, "it took {time:?}");
    runs.expect_nobody();
}

#[apply(test)]
fn that_ends_in_order_when_asked_reports_its_status() {
    let folder = tempfile::tempdir().unwrap();
    let script = "trap 'echo cleaned up; exit 4' TERM; touch ready; sleep 1009 & wait";
    let runs = CommandRuns::start(shell(script).folder(folder.path()), 2);
    eventually("the trap is set", || Path::exists(&folder.path().join("ready")));
    let (captured, _) = runs.stop();
    let captured = captured.unwrap();
    assert_eq!((captured.exit, captured.stdout.as_slice()), (Exit::Status(4), b"cleaned up\n".as_slice()));
    runs.expect_nobody();
}

#[apply(test)]
fn leaves_nobody_behind() {
    let before = Instant::now();
    let captured = run(shell("sleep 1010 & echo $!")).unwrap();
    assert_eq!(captured.exit, Exit::Status(0));
    assert!(before.elapsed() < PATIENCE, "it took {:?}", before.elapsed());
    let process = String::from_utf8(captured.stdout).unwrap().trim().parse().unwrap();
    within(SOON, "what it left behind has ended", || !is_alive(process));
}

#[apply(test)]
fn does_not_wait_for_a_process_that_left_its_group() {
    let before = Instant::now();
    let folder = tempfile::tempdir().unwrap();
    let script =
        "setsid sh -c 'echo $$; touch gone; exec sleep 1011' & while ! test -e gone; do sleep 0.01; done";
    let captured = run(shell(script).folder(folder.path())).unwrap();
    assert!(before.elapsed() < PATIENCE, "it took {:?}", before.elapsed());
    let process = String::from_utf8(captured.stdout).unwrap().trim().parse().unwrap();
    assert!(is_alive(process), "a process that has left the group goes on");
    kill(process, Signal::KILL);
}
