//! Kills the processes that a command supervisor leaves behind if it is killed itself.
//!
//! A supervisor leads a session of its own. Everything that its command starts is in that session, unless it leaves
//! on purpose. The session has the supervisor's process id as its number, so the worker finds these processes, whether
//! or not the supervisor has reported a command.

use std::fs;

use sys::Signal;
use sys::process::signal;

/// How many times to look for processes that were started meanwhile.
const ROUNDS_MAX: usize = 100;

/// Kills every process of this session. Its leader has ended and is not reaped, so the number is not reused.
pub(super) fn kill_session(leader: u32) {
    for _ in 0..ROUNDS_MAX {
        let members = members(leader);
        if members.is_empty() {
            return;
        }
        for member in members {
            // The only possible error is that it has ended.
            let _ = signal(member, Signal::KILL);
        }
    }
    log::warn!("processes of session {leader} are still there after SIGKILL");
}

/// The processes of a session that have not ended.
fn members(session: u32) -> Vec<u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let numbers = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let is_member = |number: &u32| {
        let stat = fs::read_to_string(format!("/proc/{number}/stat")).ok();
        stat.and_then(|stat| session_of(&stat)) == Some(session)
    };
    numbers.filter(is_member).collect()
}

/// The session in the text of a `/proc/<pid>/stat`; none if the process has ended.
fn session_of(stat: &str) -> Option<u32> {
    // The program's name is in parentheses, and may contain some. Then come the state, the parent, the group and the
    // session.
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace();
    let state = fields.next()?;
    let session = fields.nth(2)?.parse().ok()?;
    (!matches!(state, "Z" | "X")).then_some(session)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_found_whatever_the_program_is_called() {
        assert_eq!(session_of("17 (a) Z (b) S 1 2 30 4 5"), Some(30));
        assert_eq!(session_of("17 (sh) Z 1 2 30 4 5"), None);
        assert_eq!(session_of("17 (sh"), None);
        let own = session_of(&fs::read_to_string("/proc/self/stat").unwrap()).unwrap();
        assert!(members(own).iter().any(|&process| process == std::process::id()));
    }
}
