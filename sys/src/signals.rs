//! What this process does when it gets a signal.

use std::fs;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// What a process does when it gets a signal: its disposition, as signal(7) calls it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignalDisposition {
    /// What the system does by default, which ends the process as a rule.
    Default,
    /// Nothing. A program can be started so, as `nohup` and the background jobs of shell scripts are.
    Ignored,
    /// It runs a handler.
    Caught,
}

/// What this process does when it gets the signal of this number; none if the system does not say.
#[must_use]
pub fn disposition(signal: i32) -> Option<SignalDisposition> {
    disposition_in(&fs::read_to_string("/proc/self/status").ok()?, signal)
}

/// Whether this process was started with this signal ignored, as `nohup` does with SIGHUP, and a shell without job
/// control with SIGINT in what runs in the background; false if the system does not say. Ask before handling the
/// signal: what was ignored is to stay so, here and in what this process starts.
#[must_use]
pub fn is_ignored(signal: i32) -> bool {
    disposition(signal) == Some(SignalDisposition::Ignored)
}

/// Has this process wait for its children like any other, even if it was started with SIGCHLD ignored, as some
/// supervisors, cron and containers start programs: the system would then not say how a child ended.
pub fn heed_ends_of_children() {
    if is_ignored_now(libc::SIGCHLD) {
        take_default(libc::SIGCHLD);
    }
}

/// Whether this process ignores this signal, by a call that works at any moment; false if there is no such signal.
#[allow(unsafe_code)]
pub(crate) fn is_ignored_now(signal: i32) -> bool {
    // SAFETY: the structure consists of numbers and null pointers, for which all zeros is a value.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    // SAFETY: a null pointer changes nothing, and the call writes no more than `action`.
    let result = unsafe { libc::sigaction(signal, std::ptr::null(), &raw mut action) };
    result == 0 && action.sa_sigaction == libc::SIG_IGN
}

/// Has the system do by default what it does on this signal.
#[allow(unsafe_code)]
pub(crate) fn take_default(signal: i32) {
    // SAFETY: this installs no handler, so nothing can run in one. Nothing can be done if it fails.
    unsafe { libc::signal(signal, libc::SIG_DFL) };
}

/// The signals that the C library keeps for itself. It offers no call to change what a process does with them.
const OF_THE_LIBRARY: [libc::c_int; 2] = [32, 33];

/// Has a command start with the signals of the C library as the system has them in a fresh process. Otherwise it
/// ignores them, and so does whatever it starts: the library's posix_spawn(3), by which std starts processes, has its
/// child ignore them.
#[allow(unsafe_code)]
pub fn reset_those_of_the_library(command: &mut Command) {
    let reset = || {
        // A `sigaction` of the kernel, whatever its order of fields: the default, without flags and with an empty mask.
        let default = [0_usize; 8];
        for signal in OF_THE_LIBRARY {
            // SAFETY: the call reads one `sigaction`, which is shorter than this, and a null pointer takes no old one.
            // Nothing can be done if it fails, and the command works all the same.
            unsafe {
                libc::syscall(
                    libc::SYS_rt_sigaction,
                    signal,
                    default.as_ptr(),
                    std::ptr::null_mut::<usize>(),
                    size_of::<u64>(),
                );
            }
        }
        Ok(())
    };
    // SAFETY: it makes system calls, and neither allocates nor takes a lock.
    unsafe { command.pre_exec(reset) };
}

/// The same for a process with this text in `/proc/PID/status`.
fn disposition_in(status: &str, signal: i32) -> Option<SignalDisposition> {
    let bit = u32::try_from(signal).ok()?.checked_sub(1)?;
    let is_in = |mask: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(mask))?;
        let signals = u64::from_str_radix(line.trim(), 16).ok()?;
        Some(signals.checked_shr(bit)? & 1 == 1)
    };
    Some(match (is_in("SigIgn:")?, is_in("SigCgt:")?) {
        (true, _) => SignalDisposition::Ignored,
        (false, true) => SignalDisposition::Caught,
        (false, false) => SignalDisposition::Default,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIGINT: i32 = 2;
    const SIGKILL: i32 = 9;

    #[test]
    fn the_status_of_a_process_says_what_it_does_with_a_signal() {
        let status = |ignored, caught| format!("SigIgn:\t{ignored:016x}\nSigCgt:\t{caught:016x}\n");
        let found = |status: String| disposition_in(&status, SIGINT);
        assert_eq!(found(status(0x1000, 0x4440)), Some(SignalDisposition::Default));
        assert_eq!(found(status(2, 0x4440)), Some(SignalDisposition::Ignored));
        assert_eq!(found(status(0, 2)), Some(SignalDisposition::Caught));
        assert_eq!(found("no status".to_owned()), None);
        assert_eq!(disposition_in(&status(0, u64::MAX), 64), Some(SignalDisposition::Caught));
        for no_signal in [-1, 0, 65] {
            assert_eq!(disposition_in(&status(0, 0), no_signal), None);
        }
    }

    #[test]
    fn a_command_ignores_no_signal_of_the_library() {
        let mut command = Command::new("cat");
        reset_those_of_the_library(command.arg("/proc/self/status"));
        let status = String::from_utf8(command.output().unwrap().stdout).unwrap();
        for signal in OF_THE_LIBRARY {
            assert_eq!(disposition_in(&status, signal), Some(SignalDisposition::Default), "{status}");
        }
    }

    #[test]
    fn nobody_catches_a_kill() {
        assert_eq!(disposition(SIGKILL), Some(SignalDisposition::Default));
    }
}
