//! Programs with pools and private managers that were started with signals ignored or blocked, or descriptors closed.

use std::time::{Duration, Instant};

use client::{Manager, Pool, Result};
use protocol::endpoint::MANAGER_VARIABLE;

use crate::pool::task::{add, hold};
use crate::support::helper;
use crate::support::{RunningProgram, apply, by_shell, test};

/// The time within which a manager and workers end that heed what they are sent. Nobody is killed before a second is
/// over.
const SOON: Duration = Duration::from_millis(900);

/// Uses a pool, ends it in the middle of a task, and says how long that and the end of the manager took.
#[apply(helper)]
pub(crate) fn use_pool() -> Result<()> {
    let manager = Manager::start()?;
    let pool = Pool::new(&manager, 2)?;
    println!("{}", pool.starmap(add, (0..100).map(|number| (number, 1)))?.len());
    pool.close()?;
    pool.join()?;
    let pool = Pool::new(&manager, 2)?;
    let [running, never] = [manager.event("running")?, manager.event("never")?];
    let _result = pool.apply_async(hold, (running.clone(), never))?;
    running.wait(None)?;
    let began = Instant::now();
    pool.terminate();
    drop(pool);
    println!("{}", began.elapsed() < SOON);
    end(manager);
    Ok(())
}

/// Uses a private manager that is the program `manager`, and says how long its end took.
#[apply(helper)]
#[without_init]
pub(crate) fn use_manager() -> Result<()> {
    let manager = Manager::start()?;
    manager.event("a")?.set()?;
    end(manager);
    Ok(())
}

fn end(manager: Manager) {
    let began = Instant::now();
    drop(manager);
    println!("{}", began.elapsed() < SOON);
}

/// Starts a helper by each launcher, and compares what it prints.
fn expect(helper: fn(&str) -> RunningProgram, expected: &[&str]) {
    for launcher in LAUNCHERS {
        let mut running = helper(launcher);
        let lines: Vec<String> = expected.iter().map(|_| running.line()).collect();
        assert_eq!(lines, expected, "{launcher}");
        assert_eq!((running.line().as_str(), running.wait()), ("", Some(0)), "{launcher}");
    }
}

/// Scripts that start a program, and leave something behind.
const LAUNCHERS: [&str; 5] = [
    "exec \"$@\"",
    "trap '' CHLD; exec \"$@\"",
    "trap '' CHLD TERM PIPE; exec \"$@\"",
    "exec env --block-signal=TERM,CHLD,INT \"$@\"",
    "umask 0777; exec \"$@\" <&- 2>&-",
];

#[apply(test)]
fn a_pool_works_and_ends_at_once_whatever_its_owner_was_started_with() {
    expect(
        |launcher| RunningProgram::start(&mut by_shell(launcher, &helper::command(use_pool))),
        &["100", "true", "true"],
    );
}

#[apply(test)]
fn a_manager_of_a_program_without_init_works_and_ends_at_once_whatever_that_was_started_with() {
    let start = |launcher: &str| {
        let mut command = helper::command(use_manager);
        command.env(MANAGER_VARIABLE, env!("CARGO_BIN_EXE_manager"));
        RunningProgram::start(&mut by_shell(launcher, &command))
    };
    expect(start, &["true"]);
}
