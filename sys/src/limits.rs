//! The resource limits of this process (getrlimit(2)). Children inherit them.

use std::fmt::{self, Display, Formatter};
use std::io;

use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises the limit of open descriptors as far as this process may.
///
/// # Errors
///
/// If the system refuses, which leaves the limit as it is.
pub fn raise_descriptors_max() -> io::Result<()> {
    let limit = getrlimit(Resource::Nofile);
    Ok(setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit })?)
}

/// How many descriptors this process may have open.
#[must_use]
pub fn descriptors_max() -> u64 {
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// An error of the system as a message shows it. If the limit of open descriptors is the cause, it says how to raise
/// that.
pub fn explained(error: &io::Error) -> Explained<'_> {
    Explained(error)
}

/// What [`explained`] returns.
#[derive(Clone, Copy, Debug)]
pub struct Explained<'error>(&'error io::Error);

impl Display for Explained<'_> {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        let Explained(error) = self;
        match Errno::from_io_error(error) {
            Some(Errno::MFILE) => {
                let limit = getrlimit(Resource::Nofile);
                write!(formatter, "{error}; this process may have {} of them: ", number(limit.current))?;
                match limit.current == limit.maximum {
                    true => formatter.write_str("raise its hard limit, `ulimit -Hn`, and start it anew"),
                    false => write!(
                        formatter,
                        "raise its limit with `ulimit -n` to at most {}, and start it anew",
                        number(limit.maximum)
                    ),
                }
            }
            Some(Errno::NFILE) => {
                write!(formatter, "{error}: raise the limit of the system, /proc/sys/fs/file-max")
            }
            _ => error.fmt(formatter),
        }
    }
}

/// A limit in words.
fn number(limit: Option<u64>) -> String {
    limit.map_or("any number".to_owned(), |limit| limit.to_string())
}

/// Limits the address space of this process to this many bytes, which it cannot raise again.
///
/// # Errors
///
/// If the limit is above one that is in force already.
pub fn set_memory_bytes_max(bytes: u64) -> io::Result<()> {
    Ok(setrlimit(Resource::As, Rlimit { current: Some(bytes), maximum: Some(bytes) })?)
}

/// The size in bytes beyond which no file can grow. The kernel ends a process that tries, with SIGXFSZ.
pub(crate) fn file_bytes_max() -> u64 {
    getrlimit(Resource::Fsize).current.unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lack_of_descriptors_is_explained() {
        let shown = |errno: Errno| explained(&errno.into()).to_string();
        let text = shown(Errno::MFILE);
        assert!(text.starts_with("Too many open files") && text.contains("`ulimit -"), "{text}");
        assert!(shown(Errno::NFILE).contains("file-max"));
        assert_eq!(shown(Errno::NOENT), io::Error::from(Errno::NOENT).to_string());
    }

    #[test]
    fn descriptors_are_allowed_as_far_as_the_system_goes() {
        raise_descriptors_max().unwrap();
        let limit = getrlimit(Resource::Nofile);
        assert_eq!(limit.current, limit.maximum);
    }
}
