//! The names of the signals that end processes.

use core::fmt;

/// A signal in messages, as in “signal 9 (SIGKILL)”: its number, and its name if it has one on Linux.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NamedSignal(pub i32);

impl NamedSignal {
    /// The name. The numbers are those of all machines but some rare ones, such as MIPS.
    pub fn name(self) -> Option<&'static str> {
        let index = usize::try_from(self.0).ok()?.checked_sub(1)?;
        NAMES.get(index).copied()
    }
}

impl fmt::Display for NamedSignal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => write!(formatter, "signal {} ({name})", self.0),
            None => write!(formatter, "signal {}", self.0),
        }
    }
}

/// The signals from 1 on. Those from 32 on have no names of their own.
const NAMES: [&str; 31] = [
    "SIGHUP",
    "SIGINT",
    "SIGQUIT",
    "SIGILL",
    "SIGTRAP",
    "SIGABRT",
    "SIGBUS",
    "SIGFPE",
    "SIGKILL",
    "SIGUSR1",
    "SIGSEGV",
    "SIGUSR2",
    "SIGPIPE",
    "SIGALRM",
    "SIGTERM",
    "SIGSTKFLT",
    "SIGCHLD",
    "SIGCONT",
    "SIGSTOP",
    "SIGTSTP",
    "SIGTTIN",
    "SIGTTOU",
    "SIGURG",
    "SIGXCPU",
    "SIGXFSZ",
    "SIGVTALRM",
    "SIGPROF",
    "SIGWINCH",
    "SIGIO",
    "SIGPWR",
    "SIGSYS",
];

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    #[test]
    fn a_signal_is_shown_with_its_name_if_it_has_one() {
        for (number, text) in [
            (1, "signal 1 (SIGHUP)"),
            (10, "signal 10 (SIGUSR1)"),
            (31, "signal 31 (SIGSYS)"),
            (0, "signal 0"),
            (-1, "signal -1"),
            (34, "signal 34"),
        ] {
            assert_eq!(NamedSignal(number).to_string(), text);
        }
    }
}
