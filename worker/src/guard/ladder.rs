//! How a command is stopped: it is asked by a signal, and killed if it is still there after a grace.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::Guarded;

/// How far the stopping of a command has come.
#[derive(Debug)]
pub struct Ladder {
    grace: Duration,
    step: Step,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// Nobody wants it stopped.
    Running,
    /// It was asked, and is killed then; never, if the clock does not reach that far.
    Asked { kill_at: Option<Instant> },
    /// It was killed.
    Killed,
}

impl Ladder {
    /// For a command that is not to be stopped yet.
    pub fn new(grace: Duration) -> Ladder {
        Ladder { grace, step: Step::Running }
    }

    /// Asks the command's group to end, by this signal, if it was not asked before.
    pub fn begin(&mut self, command: &Guarded, signal: Signal) {
        if self.step == Step::Running {
            command.signal(signal);
            self.step = Step::Asked { kill_at: Instant::now().checked_add(self.grace) };
        }
    }

    /// As [`begin`](Self::begin) for people: whoever asks a second time does not want to wait any longer.
    pub fn ask(&mut self, command: &Guarded, signal: Signal) {
        match self.step {
            Step::Running => self.begin(command, signal),
            Step::Asked { .. } => self.kill(command),
            Step::Killed => {}
        }
    }

    /// How long to wait until [`climb`](Self::climb) has something to do; none: for ever.
    pub fn rest(&self) -> Option<Duration> {
        match self.step {
            Step::Asked { kill_at: Some(kill_at) } => Some(kill_at.saturating_duration_since(Instant::now())),
            _ => None,
        }
    }

    /// Kills the command's group if its grace is over.
    pub fn climb(&mut self, command: &Guarded) {
        if self.rest().is_some_and(|rest| rest.is_zero()) {
            self.kill(command);
        }
    }

    fn kill(&mut self, command: &Guarded) {
        command.signal(Signal::KILL);
        self.step = Step::Killed;
    }
}
