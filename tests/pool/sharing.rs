//! Pools that several programs share: submitters take turns, and workers come, go and fail at any time.

use std::fs::{self, File};
use std::process::{Command, Stdio};
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use client::task::named;
use client::{Event, Manager, Pool, task};
use rustix::process::Signal;
use worker::tasks::{COMMAND, CommandResult};
use worker::{Ended, Service};

use crate::pool::stopping_tasks::note;
use crate::pool::task::{add, hold};
use crate::support::helper;
use crate::support::{
    ManagerProgram, PATIENCE, RunningProgram, apply, descendants, eventually, is_alive, kill, task_function,
    test, within,
};

/// Waits to be stopped, and appends the reason to a file.
#[apply(task_function)]
fn tell_why(running: Event, file: String) {
    let stop = task::stop_event().expect("this is a task");
    running.set().unwrap();
    let cause = stop.wait(None).unwrap().expect("it waits without a timeout");
    note(file, cause.reason.map(|reason| reason.to_string()).unwrap_or_default());
}

#[apply(test)]
fn batches_take_turns() {
    let program = ManagerProgram::start();
    let manager = program.connect();
    let _service = Service::start(&manager, "shared", Some(1)).unwrap();
    let owners = [0; 3].map(|_| Pool::open(&manager, "shared").unwrap());
    let [running, end] = [0; 2].map(|_| manager.anonymous_event().unwrap());
    let holder = owners[0].apply_async(hold, (running.clone(), end.clone())).unwrap();
    running.wait(PATIENCE).unwrap().expect("it runs");

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("order");
    let submit = |(pool, (name, count)): (&Pool, (&str, usize))| {
        let calls = std::iter::repeat_n((file.to_str().unwrap().to_owned(), name.to_owned()), count);
        pool.batch(note).chunk_size(1).starmap_async(calls).unwrap()
    };
    let batches = [("huge", 300), ("small", 3), ("tiny", 1)];
    let results: Vec<_> = owners.iter().zip(batches).map(submit).collect();
    end.set().unwrap();
    holder.get(PATIENCE).unwrap().unwrap();
    for result in results {
        result.get(PATIENCE).unwrap();
    }
    let order = fs::read_to_string(&file).unwrap();
    let order: Vec<&str> = order.lines().collect();
    assert_eq!(order[..7], ["huge", "small", "tiny", "huge", "small", "huge", "small"]);
    assert!(order.len() == 304 && order[7..].iter().all(|name| *name == "huge"), "{order:?}");
}

/// Starts the program `worker`, and returns when it is ready.
fn serve(program: &ManagerProgram, processes: usize, stderr: Stdio) -> RunningProgram {
    let mut command = Command::new(env!("CARGO_BIN_EXE_worker"));
    command.args(["--pool", "shared", "--processes", &processes.to_string(), "--socket"]);
    let mut running = RunningProgram::start(command.arg(&program.socket).stderr(stderr));
    assert!(running.line().starts_with("worker is ready"));
    running
}

#[apply(test)]
fn workers_come_and_go_while_work_runs() {
    const TASKS: usize = 120;
    let program = ManagerProgram::start();
    let manager = program.connect();
    let pool = Pool::open(&manager, "shared").unwrap();
    let command = named::<(worker::tasks::Command,), CommandResult>(COMMAND);
    let calls = (0..TASKS).map(|number| {
        let script = format!("sleep 0.01; exit {number}");
        worker::tasks::Command::new("sh").arguments(["-c", &script])
    });
    let result = pool.batch(command).retries(9).map_async(calls).unwrap();
    let done = |count: u64| {
        eventually("more is done", || result.progress().unwrap().done >= count);
        assert!(!result.ready().unwrap(), "work still runs");
    };

    let mut first = serve(&program, 1, Stdio::null());
    done(5);
    let second = serve(&program, 2, Stdio::null());
    done(15);
    let processes = descendants(first.process());
    first.signal(Signal::TERM);
    assert_eq!(first.wait(), Some(0));
    for process in processes {
        within(PATIENCE, "no command of its workers is left", || !is_alive(process));
    }
    done(30);
    let _third = serve(&program, 1, Stdio::null());
    let processes = descendants(second.process());
    second.signal(Signal::KILL);
    for process in processes {
        within(PATIENCE, "none of its processes is left", || !is_alive(process));
    }
    done(45);
    let statuses = result.get(PATIENCE).unwrap().into_iter().map(|captured| captured.unwrap().exit);
    assert!(statuses.eq((0..TASKS).map(|number| worker::tasks::Exit::Status(number as i32))));
}

#[apply(test)]
fn workers_that_leave_finish_what_they_run_and_take_no_more() {
    let manager = Manager::start().unwrap();
    let pool = Pool::open(&manager, "shared").unwrap();
    let leaving = Service::start(&manager, "shared", Some(2)).unwrap();
    let [running, end] = [0; 2].map(|_| manager.anonymous_event().unwrap());
    let held = pool.apply_async(hold, (running.clone(), end.clone())).unwrap();
    running.wait(PATIENCE).unwrap().expect("it runs");
    leaving.leave().unwrap();
    let waiting = pool.starmap_async(add, (0..10).map(|number| (number, 1))).unwrap();
    end.set().unwrap();
    held.get(PATIENCE).unwrap().unwrap();
    assert_eq!(join(leaving), Ended::Left);
    assert_eq!(waiting.progress().unwrap().done, 0, "it has taken none of these");
    let _others = Service::start(&manager, "shared", Some(1)).unwrap();
    assert_eq!(waiting.get(PATIENCE).unwrap(), (1..11).collect::<Vec<u32>>());
}

/// Waits for the end of a service, which must come soon.
fn join(service: Service) -> Ended {
    let (sender, receiver) = channel();
    thread::spawn(move || sender.send(service.join()));
    receiver.recv_timeout(PATIENCE).expect("it ends")
}

#[apply(test)]
fn a_server_that_cannot_start_workers_leaves_the_pool_to_others() {
    let program = ManagerProgram::start();
    let manager = program.connect();
    let pool = Pool::open(&manager, "shared").unwrap();
    let others = Service::start(&manager, "shared", Some(2)).unwrap();
    assert!(others.wait_ready());
    let [running, end] = [0; 2].map(|_| manager.anonymous_event().unwrap());
    let held = pool.apply_async(hold, (running.clone(), end.clone())).unwrap();
    running.wait(PATIENCE).unwrap().expect("it runs");

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("stderr");
    let mut server = serve(&program, 2, File::create(&file).unwrap().into());
    // Connected processes stay connected, but nobody else finds the manager.
    fs::rename(&program.socket, program.socket.with_extension("elsewhere")).unwrap();
    let workers = descendants(server.process());
    kill(workers[0], Signal::KILL);
    assert_eq!(server.wait(), Some(1));
    let text = fs::read_to_string(file).unwrap();
    let last = text.lines().last().unwrap();
    assert!(last.starts_with("worker: 5 workers in a row ended before they were ready"), "{text}");
    assert!(last.contains("and wrote: ") && last.contains("no manager can be reached at"), "{text}");
    assert!(workers.into_iter().all(|process| !is_alive(process)), "it has ended all of its workers");

    // Nobody else has noticed anything.
    assert_eq!(pool.apply(add, (2, 3)).unwrap(), 5);
    assert!(!held.ready().unwrap());
    end.set().unwrap();
    held.get(PATIENCE).unwrap().unwrap();
}

#[apply(test)]
fn tasks_of_a_terminated_pool_see_that_they_are_to_stop() {
    let manager = Manager::start().unwrap();
    let pool = Pool::builder(&manager).processes(1).name("shared").start().unwrap();
    let service = Service::start(&manager, "shared", Some(1)).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("reasons");
    let running = [0; 2].map(|_| manager.anonymous_event().unwrap());
    let calls = running.iter().map(|running| (running.clone(), file.to_str().unwrap().to_owned()));
    let result = pool.batch(tell_why).chunk_size(1).starmap_async(calls).unwrap();
    for running in &running {
        running.wait(PATIENCE).unwrap().expect("it runs");
    }
    pool.terminate();
    assert!(result.get(PATIENCE).unwrap_err().is_terminated());
    pool.join().unwrap();
    // The owner's worker may have returned before its signal came. The other worker gets no signal.
    assert_eq!(join(service), Ended::Left);
    let reasons = fs::read_to_string(file).unwrap();
    assert!(reasons.lines().all(|reason| reason == "the pool was terminated by its owner"), "{reasons}");
    assert!((1..=2).contains(&reasons.lines().count()), "{reasons}");
}

/// Owns a shared pool.
#[apply(helper)]
pub(crate) fn own() -> client::Result<()> {
    let manager = Manager::connect()?;
    let pool = Pool::builder(&manager).processes(2).name("shared").start()?;
    println!("{}", pool.apply(add, (2, 3))?);
    loop {
        thread::sleep(Duration::from_secs(1000));
    }
}

#[apply(test)]
fn a_pool_ends_with_its_owner_for_all_and_can_be_made_again() {
    let program = ManagerProgram::start();
    let manager = program.connect();
    let own = || {
        let mut owner =
            RunningProgram::start(helper::command(self::own).env("RALLYPOINT_SOCKET", &program.socket));
        assert_eq!(owner.line(), "5");
        owner
    };
    let owner = own();
    let service = Service::start(&manager, "shared", Some(1)).unwrap();
    assert!(service.wait_ready());
    let pool = Pool::open(&manager, "shared").unwrap();
    let [end, never] = [0; 2].map(|_| manager.anonymous_event().unwrap());
    let running = [0; 3].map(|_| manager.anonymous_event().unwrap());
    let holds = running.iter().map(|running| (running.clone(), never.clone()));
    let held = pool.batch(hold).chunk_size(1).starmap_async(holds).unwrap();
    for running in &running {
        running.wait(PATIENCE).unwrap().expect("it runs");
    }
    let waiting = pool.apply_async(hold, (end.clone(), end.clone())).unwrap();
    owner.signal(Signal::KILL);

    let error = waiting.get(PATIENCE).unwrap_err();
    let text = format!("process {} ", owner.process());
    assert!(error.is_terminated() && error.to_string().contains("has ended with its owner"), "{error:?}");
    assert!(error.to_string().contains(&text) && error.to_string().contains("SIGKILL"), "{error}");
    assert!(held.get(PATIENCE).is_err(), "every call ends");
    // This ends the call that another program's worker runs.
    never.set().unwrap();
    assert_eq!(join(service), Ended::Left);

    let _again = own();
    let pool = Pool::open(&manager, "shared").unwrap();
    assert_eq!(pool.apply(add, (3, 4)).unwrap(), 7);
}

#[apply(test)]
fn a_server_has_a_sensible_number_of_processes() {
    let manager = Manager::start().unwrap();
    for (processes, expected) in [
        (0, "at least one process"),
        (1_025, "at most 1024 processes can serve a pool, not 1025"),
        (usize::MAX, "at most"),
    ] {
        let error = Pool::new(&manager, processes).unwrap_err();
        assert!(error.is_bad_argument() && error.to_string().contains(expected), "{error:?}");
        let error = Service::start(&manager, "shared", Some(processes)).unwrap_err();
        assert!(error.is_bad_argument() && error.to_string().contains(expected), "{error:?}");
        let mut command = Command::new(env!("CARGO_BIN_EXE_worker"));
        command.args(["--pool", "shared", "--processes", &processes.to_string(), "--socket"]);
        let output = command.arg(manager.address()).output().unwrap();
        assert_eq!(output.status.code(), Some(2));
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(text.starts_with("error: invalid value") && text.contains(expected), "{text}");
    }
}
