//! The resource limits of this process (getrlimit(2)). Children inherit them.

use std::io;

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
    fn descriptors_are_allowed_as_far_as_the_system_goes() {
        raise_descriptors_max().unwrap();
        let limit = getrlimit(Resource::Nofile);
        assert_eq!(limit.current, limit.maximum);
    }
}
