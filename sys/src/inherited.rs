//! What a process inherits from the one that started it, beside its environment: which signals are ignored, and which
//! are blocked.
//!
//! Both stay over execve(2), so shells, supervisors, cron and containers pass on what they happen to have. A program
//! that serves or supervises others cannot work with all of it: it would not notice that it is asked to end, nor how
//! its children ended. So [`normalize`] has it begin as a program does that a shell starts. A command that it runs for
//! its caller begins as the caller wanted ([`Inherited::give_to`]), as flock(1) and timeout(1) pass it on.
//!
//! This is noted before `main`, and before the standard library prepares the process, which ignores SIGPIPE. The
//! standard library opens descriptors 0 to 2 as `/dev/null` if they are closed, so nothing is left to do for these.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::ptr::null;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::signals::{is_ignored_now, take_default};

/// How many signals there are.
const SIGNALS: i32 = 64;

/// The signals that a program must heed to work, however it was started: the ends of its children, and the signal by
/// which programs end what they have started.
const HEEDED: [i32; 2] = [libc::SIGCHLD, libc::SIGTERM];

/// The signals that a process was started with ignored, and those that it was started with blocked: signal `n` is bit
/// `n - 1`, as in `/proc/PID/status`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Inherited {
    /// The ignored ones.
    pub ignored: u64,
    /// The blocked ones.
    pub blocked: u64,
}

/// What was noted.
static IGNORED: AtomicU64 = AtomicU64::new(0);
static BLOCKED: AtomicU64 = AtomicU64::new(0);

/// Has the system's loader call [`note`] before `main`.
#[allow(unsafe_code)]
#[used]
// SAFETY: the loader calls each function in this section once, on the only thread, with arguments that it may ignore.
#[unsafe(link_section = ".init_array")]
static NOTE: extern "C" fn() = note;

/// Notes what this process has inherited. It makes system calls, and uses nothing that has to be prepared first.
extern "C" fn note() {
    let ignored =
        (1..=SIGNALS).filter(|&signal| is_ignored_now(signal)).fold(0, |all, signal| all | bit(signal));
    IGNORED.store(ignored, Ordering::Relaxed);
    BLOCKED.store(set_mask(None).unwrap_or(0), Ordering::Relaxed);
}

/// Has this process begin as one that a shell starts, whatever its parent had: no signal is blocked, and SIGCHLD and
/// SIGTERM are not ignored. Other signals that were ignored stay so, as nohup(1) and the background jobs of scripts
/// want it. Call it first in `main`, before there are other threads.
pub fn normalize() {
    // The call cannot fail with these arguments.
    let _ = set_mask(Some(0));
    HEEDED.into_iter().filter(|&signal| is_ignored_now(signal)).for_each(take_default);
}

impl Inherited {
    /// What this process has inherited, or what it has [adopted](Self::adopt).
    #[must_use]
    pub fn noted() -> Inherited {
        Inherited { ignored: IGNORED.load(Ordering::Relaxed), blocked: BLOCKED.load(Ordering::Relaxed) }
    }

    /// Has this process pass this on, in place of what it has inherited itself: in a copy of a program that was started
    /// for the program's work, what the program has inherited.
    pub fn adopt(self) {
        IGNORED.store(self.ignored, Ordering::Relaxed);
        BLOCKED.store(self.blocked, Ordering::Relaxed);
    }

    /// Whether this signal was ignored.
    #[must_use]
    pub fn is_ignored(self, signal: i32) -> bool {
        (1..=SIGNALS).contains(&signal) && self.ignored & bit(signal) != 0
    }

    /// Has a command start with these signals ignored, and with these blocked and no others.
    #[allow(unsafe_code)]
    pub fn give_to(self, command: &mut Command) {
        let give = move || {
            for signal in (1..=SIGNALS).filter(|&signal| self.is_ignored(signal)) {
                // SAFETY: this installs no handler, so nothing can run in one.
                unsafe { libc::signal(signal, libc::SIG_IGN) };
            }
            set_mask(Some(self.blocked)).map(drop)
        };
        // SAFETY: it makes system calls, and neither allocates nor takes a lock. The standard library, which gives
        // SIGPIPE its default in a child, has done so before it calls this.
        unsafe { command.pre_exec(give) };
    }
}

/// The bit of a signal, which is from 1 to 64.
fn bit(signal: i32) -> u64 {
    1 << (signal - 1)
}

/// The signals that this thread blocks. Blocks these instead, if there are some. The system's own call takes a set as
/// one word, of which the C library leaves out the signals that it keeps for itself.
#[allow(unsafe_code)]
fn set_mask(blocked: Option<u64>) -> io::Result<u64> {
    let new = blocked.as_ref().map_or(null(), std::ptr::from_ref);
    let mut old = 0_u64;
    // SAFETY: the call reads `new`, unless it is null, and writes `old`. Each is one word, of the size that it is told.
    let result = unsafe {
        libc::syscall(libc::SYS_rt_sigprocmask, libc::SIG_SETMASK, new, &raw mut old, size_of::<u64>())
    };
    if result == 0 { Ok(old) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Signals as `/proc/PID/status` of a child shows them.
    fn shown(command: &mut Command, line: &str) -> u64 {
        let output = command.args(["-c", "cat /proc/$$/status"]).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let found = text.lines().find_map(|found| found.strip_prefix(line)).unwrap();
        u64::from_str_radix(found.trim(), 16).unwrap()
    }

    fn shell(inherited: Inherited) -> Command {
        let mut command = Command::new("bash");
        inherited.give_to(&mut command);
        command
    }

    #[test]
    fn a_command_starts_with_what_it_is_given() {
        let given = Inherited {
            ignored: bit(libc::SIGPIPE) | bit(libc::SIGUSR1) | bit(64),
            blocked: bit(libc::SIGTERM) | bit(40),
        };
        assert_eq!(shown(&mut shell(given), "SigBlk:") & given.blocked, given.blocked);
        assert_eq!(shown(&mut shell(given), "SigIgn:") & given.ignored, given.ignored);
        let nothing = Inherited::default();
        assert_eq!(shown(&mut shell(nothing), "SigBlk:") & given.blocked, 0);
        assert_eq!(shown(&mut shell(nothing), "SigIgn:") & bit(libc::SIGPIPE), 0);
    }

    #[test]
    fn a_process_knows_what_it_has_inherited() {
        // The standard library ignores SIGPIPE, and that is not inherited, unless the test was started so.
        let noted = Inherited::noted();
        assert!(!noted.is_ignored(libc::SIGKILL));
        for no_signal in [-1, 0, 65] {
            assert!(!noted.is_ignored(no_signal));
        }
    }
}
