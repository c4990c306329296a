//! Process groups and sessions: processes that get a signal together.
//!
//! A group has the number of the process that leads it. No other process gets that number until the leader was reaped
//! and the group has no members.

use std::io;

use rustix::process::{
    Signal, getpgrp, getpid, kill_current_process_group, kill_process_group, setsid, test_kill_process_group,
};

use crate::process::pid;

/// Sends a signal to every process of a group.
///
/// # Errors
///
/// If the group has no members, or none that this user may signal.
pub fn signal(group: u32, signal: Signal) -> io::Result<()> {
    Ok(kill_process_group(pid(group)?, signal)?)
}

/// Whether the group has members, including those that have ended and were not reaped.
#[must_use]
pub fn has_members(group: u32) -> bool {
    pid(group).is_ok_and(|group| test_kill_process_group(group).is_ok())
}

/// Whether this process leads its group.
#[must_use]
pub fn is_led_by_this_process() -> bool {
    getpgrp() == getpid()
}

/// Sends a signal to every process of this process's group, including this one.
///
/// # Errors
///
/// If the system refuses.
pub fn signal_own(signal: Signal) -> io::Result<()> {
    Ok(kill_current_process_group(signal)?)
}

/// Makes this process the leader of a session and a group of its own, without a terminal.
///
/// # Errors
///
/// If it leads a group already.
pub fn begin_session() -> io::Result<()> {
    setsid()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::{CommandExt, ExitStatusExt};
    use std::process::Command;

    use super::*;

    #[test]
    fn a_signal_reaches_a_group_and_no_other() {
        let mut child = Command::new("sleep").arg("60").process_group(0).spawn().unwrap();
        assert!(has_members(child.id()));
        signal(child.id(), Signal::TERM).unwrap();
        assert_eq!(child.wait().unwrap().signal(), Some(15));
        assert!(!has_members(child.id()));
        assert!(signal(child.id(), Signal::TERM).is_err());
        assert!(signal(0, Signal::TERM).is_err(), "0 would be this process's own group");
    }
}
