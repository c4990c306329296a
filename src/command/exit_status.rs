//! The exit statuses of the programs: one table, which `--help` prints.

use std::fmt::Write;

use client::Error;
use worker::internal::StopReason;
use worker::tasks::Exit;

/// What a program ends with, unless it has done what it was to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ExitStatus {
    /// It failed in a way that has no status of its own.
    Failed,
    /// The arguments are wrong.
    Usage,
    /// The manager cannot be reached, refuses, or ended.
    NoManager,
    /// The event stopped the command, or kept it from starting.
    Stopped,
    /// The lock was taken away while the command ran.
    LockLost,
    /// The wait for the lock would never have ended.
    Deadlock,
    /// The command cannot be started.
    NotStarted,
    /// There is no such command.
    NotFound,
    /// As the command ended, which was started.
    OfCommand(Exit),
}

use ExitStatus::{Deadlock, Failed, LockLost, NoManager, NotFound, NotStarted, OfCommand, Stopped, Usage};

/// What each status that is not the command's means: of all programs, and of `worker run`.
const TABLE: [(ExitStatus, &str); 8] = [
    (Failed, "anything else has failed"),
    (Usage, "the arguments are wrong"),
    (NoManager, "the manager cannot be reached, refuses, or ended"),
    (Stopped, "the event stopped the command, or kept it from starting"),
    (LockLost, "the lock was taken away by force, or removed, while the command ran"),
    (Deadlock, "the wait for the lock would never end: a deadlock"),
    (NotStarted, "the command cannot be started"),
    (NotFound, "there is no such command"),
];

/// The status for a command that a signal ended is this plus the signal's number, as in shells.
const SIGNALLED: u8 = 128;

impl ExitStatus {
    /// The number that the process ends with.
    pub(crate) fn number(self) -> u8 {
        match self {
            Failed => 1,
            Usage => 2,
            NoManager => 69,
            Stopped => 75,
            LockLost => 76,
            Deadlock => 78,
            NotStarted => 126,
            NotFound => 127,
            // The operating system keeps one byte of it.
            OfCommand(Exit::Status(status)) => u8::try_from(status).unwrap_or(u8::MAX),
            OfCommand(Exit::Signal(signal)) => {
                SIGNALLED.saturating_add(u8::try_from(signal).unwrap_or_default())
            }
        }
    }

    /// The status for a reason to end a command that runs.
    pub(crate) fn of_stop(reason: &StopReason) -> ExitStatus {
        match reason {
            StopReason::Stopped(_) => Stopped,
            StopReason::LockLost(_) => LockLost,
            StopReason::EventLost(_) | StopReason::ManagerGone(_) => NoManager,
        }
    }
}

/// The status for a request that the manager did not carry out.
impl From<&Error> for ExitStatus {
    fn from(error: &Error) -> ExitStatus {
        if error.is_deadlock() { Deadlock } else { NoManager }
    }
}

/// What the help of `worker run` says about the statuses.
pub(crate) fn help_of_run() -> String {
    let beginning =
        "Exit status:\n  the command's, or 128 plus the number of the signal that ended it; but\n";
    beginning.to_owned() + &rows(&[Stopped, LockLost, Deadlock, NoManager, NotStarted, NotFound, Usage])
}

/// What the help of `worker` says about the statuses.
pub(crate) fn help_of_worker() -> String {
    "Exit status:\n  0    this program was asked to end, or the pool is closed or removed\n".to_owned()
        + &rows(&[Failed, Usage])
        + "  69   the manager refuses, or ended while the last calls ran\n"
}

/// What the help of `manager` says about the statuses.
pub(crate) fn help_of_manager() -> String {
    "Exit status:\n  0    it was asked to end\n  1    it cannot serve the address\n".to_owned()
        + &rows(&[Usage])
}

fn rows(statuses: &[ExitStatus]) -> String {
    let mut text = String::new();
    for (status, meaning) in TABLE.iter().filter(|(status, _)| statuses.contains(status)) {
        writeln!(text, "  {:<4} {meaning}", status.number()).expect("a text takes any text");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_statuses_are_alike() {
        let mut numbers = TABLE.map(|(status, _)| status.number());
        assert!(numbers.is_sorted());
        numbers.sort_unstable();
        assert!(numbers.windows(2).all(|pair| pair[0] != pair[1]));
    }

    #[test]
    fn a_command_ends_this_program_as_in_a_shell() {
        let cases =
            [(Exit::Status(0), 0), (Exit::Status(7), 7), (Exit::Signal(9), 137), (Exit::Signal(64), 192)];
        for (exit, number) in cases {
            assert_eq!(OfCommand(exit).number(), number);
        }
    }
}
