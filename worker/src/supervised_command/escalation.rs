//! How a command is stopped: a signal asks it to end, and SIGKILL ends it if it still runs after a grace.
//!
//! The command supervisor sends both. If it does not, as when somebody has suspended it again, the worker ends it
//! together with all that it supervises.

use std::time::{Duration, Instant};

use sys::Signal;

use super::{SUPERVISOR_TIME_MAX, SupervisedCommand};

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
    /// The supervisor was asked to kill it. It is killed without the supervisor at this time.
    Killed { force_at: Instant },
    /// It was killed without the supervisor.
    Forced,
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
            Step::Killed { .. } | Step::Forced => {}
        }
    }

    /// The time until [`advance`](Self::advance) has something to do; none if it never has.
    pub fn time_left(&self) -> Option<Duration> {
        let next = match self.step {
            Step::Asked { kill_at } => kill_at?,
            Step::Killed { force_at } => force_at,
            Step::Running | Step::Forced => return None,
        };
        Some(next.saturating_duration_since(Instant::now()))
    }

    /// Kills the command's process group if its grace is over, and everything if that has had no effect.
    pub fn advance(&mut self, command: &SupervisedCommand) {
        if self.time_left().is_none_or(|left| !left.is_zero()) {
            return;
        }
        match self.step {
            Step::Asked { .. } => self.kill(command),
            Step::Killed { .. } => {
                command.kill_with_supervisor();
                self.step = Step::Forced;
            }
            Step::Running | Step::Forced => {}
        }
    }

    fn kill(&mut self, command: &SupervisedCommand) {
        command.signal(Signal::KILL);
        self.step = Step::Killed { force_at: Instant::now() + SUPERVISOR_TIME_MAX };
    }
}
