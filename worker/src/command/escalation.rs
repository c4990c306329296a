//! How a command is stopped: a signal asks it to end, and SIGKILL ends it if it still runs after a grace.

use std::time::{Duration, Instant};

use sys::Signal;

use super::SupervisedCommand;

/// How far the stopping of a command has come.
#[derive(Debug)]
pub struct Escalation {
    grace: Duration,
    step: Step,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// The command is not to be stopped.
    Running,
    /// It was asked to end, and is killed at this time; never, if the clock does not reach that far.
    Asked { kill_at: Option<Instant> },
    /// It was killed.
    Killed,
}

impl Escalation {
    /// The escalation for a command that is not to be stopped yet.
    pub fn new(grace: Duration) -> Escalation {
        Escalation { grace, step: Step::Running }
    }

    /// Asks the command's process group to end, by this signal, unless that was done before.
    pub fn start(&mut self, command: &SupervisedCommand, signal: Signal) {
        if self.step == Step::Running {
            command.signal(signal);
            self.step = Step::Asked { kill_at: Instant::now().checked_add(self.grace) };
        }
    }

    /// Like [`start`](Self::start), for requests of people: the second one kills at once.
    pub fn start_or_kill(&mut self, command: &SupervisedCommand, signal: Signal) {
        match self.step {
            Step::Running => self.start(command, signal),
            Step::Asked { .. } => self.kill(command),
            Step::Killed => {}
        }
    }

    /// The time until [`advance`](Self::advance) has something to do; none if it never has.
    pub fn time_left(&self) -> Option<Duration> {
        match self.step {
            Step::Asked { kill_at: Some(kill_at) } => Some(kill_at.saturating_duration_since(Instant::now())),
            _ => None,
        }
    }

    /// Kills the command's process group if its grace is over.
    pub fn advance(&mut self, command: &SupervisedCommand) {
        if self.time_left().is_some_and(|left| left.is_zero()) {
            self.kill(command);
        }
    }

    fn kill(&mut self, command: &SupervisedCommand) {
        command.signal(Signal::KILL);
        self.step = Step::Killed;
    }
}
