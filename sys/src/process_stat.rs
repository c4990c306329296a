//! What `/proc/PID/stat` says about a process.

use std::{fs, io};

/// Some fields of the stat of a process, which was not reaped. See proc(5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProcessStat {
    /// Whether it has ended.
    pub(crate) is_zombie: bool,
    /// Its parent.
    pub parent: u32,
    /// Its process group.
    pub(crate) group: u32,
    /// Its process session.
    pub session: u32,
    /// The processor time that all of its threads have used, in the system's ticks.
    pub processor_ticks: u64,
    /// When it started, in the system's ticks.
    pub(crate) started: u64,
    /// Its wait status, if it has ended.
    pub(crate) status: i32,
}

impl ProcessStat {
    /// The stat of this process.
    ///
    /// # Errors
    ///
    /// If there is no such process.
    pub fn of(process: u32) -> io::Result<ProcessStat> {
        let text = fs::read(format!("/proc/{process}/stat"))?;
        ProcessStat::parse(&text).ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))
    }

    fn parse(stat: &[u8]) -> Option<ProcessStat> {
        // The second field is the program's name in parentheses, and the name may hold spaces and parentheses.
        let after_name = stat.iter().rposition(|&byte| byte == b')')? + 1;
        let mut fields = std::str::from_utf8(&stat[after_name..]).ok()?.split_ascii_whitespace();
        // Fields are counted from 1 in proc(5), and the state is the third.
        let is_zombie = fields.next()? == "Z";
        let parent = fields.next()?.parse().ok()?;
        let group = fields.next()?.parse().ok()?;
        let session = fields.next()?.parse().ok()?;
        let user_ticks: u64 = fields.nth(14 - 7)?.parse().ok()?;
        let system_ticks: u64 = fields.next()?.parse().ok()?;
        let started = fields.nth(22 - 16)?.parse().ok()?;
        let status = fields.nth(52 - 23)?.parse().ok()?;
        let processor_ticks = user_ticks + system_ticks;
        Some(ProcessStat { is_zombie, parent, group, session, processor_ticks, started, status })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A line of stat with this name and state, in which every field between holds its own number.
    fn stat(name: &str, state: &str, status: &str) -> Vec<u8> {
        let numbers: Vec<String> = (4..52).map(|field| field.to_string()).collect();
        format!("3 ({name}) {state} {} {status}\n", numbers.join(" ")).into_bytes()
    }

    #[test]
    fn the_fields_are_found_whatever_the_program_is_called() {
        for name in ["sh", "two words", "a) Z 1 (b", ")", "((", "größe\u{fffd}"] {
            for (state, is_zombie) in [("Z", true), ("R", false)] {
                let expected = ProcessStat {
                    is_zombie,
                    parent: 4,
                    group: 5,
                    session: 6,
                    processor_ticks: 14 + 15,
                    started: 22,
                    status: 256,
                };
                assert_eq!(ProcessStat::parse(&stat(name, state, "256")), Some(expected), "{name:?}");
            }
        }
    }

    #[test]
    fn a_text_that_is_cut_short_tells_nothing() {
        let whole = stat("sh", "Z", "256");
        let last_field = whole.iter().rposition(|&byte| byte == b' ').unwrap();
        for length in 0..last_field {
            assert_eq!(ProcessStat::parse(&whole[..length]), None);
        }
    }

    #[test]
    fn this_process_has_one() {
        let stat = ProcessStat::of(std::process::id()).unwrap();
        assert!(!stat.is_zombie && Some(stat.parent) == crate::process::parent());
        assert_eq!(ProcessStat::of(u32::MAX).unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
