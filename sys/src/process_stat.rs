//! What `/proc` says of a process in one line.

use std::fs;
use std::io;

/// What `/proc/<pid>/stat` says about a process that was not reaped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stat {
    pub(crate) parent: u32,
    pub(crate) group: u32,
    pub(crate) session: u32,
    pub(crate) started: u64,
}

impl Stat {
    pub(crate) fn of(process: u32) -> io::Result<Stat> {
        let text = fs::read(format!("/proc/{process}/stat"))?;
        Stat::parse(&text).ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))
    }

    fn parse(stat: &[u8]) -> Option<Stat> {
        // The second field is the program's name in parentheses, and the name may hold spaces and parentheses.
        let after_name = stat.iter().rposition(|&byte| byte == b')')? + 1;
        let mut fields = std::str::from_utf8(&stat[after_name..]).ok()?.split_ascii_whitespace();
        // Fields are counted from 1 in proc(5): the state is the third, the start time the 22nd.
        let parent = fields.nth(4 - 3)?.parse().ok()?;
        let group = fields.next()?.parse().ok()?;
        let session = fields.next()?.parse().ok()?;
        let started = fields.nth(22 - 7)?.parse().ok()?;
        Some(Stat { parent, group, session, started })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fields_are_found_whatever_the_program_is_called() {
        let numbers: Vec<String> = (4..53).map(|field| field.to_string()).collect();
        for name in ["sh", "two words", "a) Z 1 (b", ")", "(("] {
            let stat = format!("3 ({name}) S {}\n", numbers.join(" "));
            let expected = Stat { parent: 4, group: 5, session: 6, started: 22 };
            assert_eq!(Stat::parse(stat.as_bytes()), Some(expected), "{name:?}");
        }
        assert_eq!(Stat::parse(b"3 (sh) S 4 5"), None);
    }
}
