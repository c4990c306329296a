//! What a process that is started as a worker has to know, and how it travels on its command line.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use protocol::{Epoch, ObjectId};
use uuid::Uuid;

use crate::{Error, ErrorKind, Result};

/// The role in which a copy of the program is a worker.
pub const WORKER: &str = "worker";

/// Whom a worker works for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assignment {
    /// The manager's socket.
    pub socket: PathBuf,
    /// The life of the manager: a later one on the same socket does not know the pool.
    pub epoch: Epoch,
    /// The pool.
    pub pool: ObjectId,
    /// The process that started the worker, and ends it when it ends itself.
    pub parent: u32,
}

impl Assignment {
    /// The arguments that tell it.
    pub fn to_arguments(&self) -> Vec<OsString> {
        vec![
            self.socket.clone().into_os_string(),
            self.epoch.to_string().into(),
            self.pool.to_string().into(),
            self.parent.to_string().into(),
        ]
    }

    /// Reads the arguments.
    pub fn parse(arguments: &[OsString]) -> Result<Assignment> {
        let [socket, epoch, pool, parent] = arguments else {
            return Err(malformed(&format!("{} arguments, not 4", arguments.len())));
        };
        Ok(Assignment {
            socket: socket.into(),
            epoch: Epoch(read(epoch, "epoch", Uuid::parse_str)?),
            pool: ObjectId(read(pool, "pool", Uuid::parse_str)?),
            parent: read(parent, "parent", str::parse)?,
        })
    }
}

fn read<T, E>(
    argument: &OsStr,
    what: &str,
    parse: impl FnOnce(&str) -> std::result::Result<T, E>,
) -> Result<T> {
    let value = argument.to_str().and_then(|text| parse(text).ok());
    value.ok_or_else(|| malformed(&format!("{what} {argument:?}")))
}

fn malformed(what: &str) -> Error {
    Error::new(
        ErrorKind::Other,
        format!("this program was started as a worker with {what}; only a pool starts workers"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assignment() -> Assignment {
        Assignment {
            socket: "/run/user/1000/a b/manager.sock".into(),
            epoch: Epoch(Uuid::from_u128(1)),
            pool: ObjectId(Uuid::from_u128(u128::MAX)),
            parent: 4711,
        }
    }

    #[test]
    fn an_assignment_comes_back_from_its_arguments() {
        assert_eq!(Assignment::parse(&assignment().to_arguments()).unwrap(), assignment());
    }

    #[test]
    fn other_arguments_are_refused_in_words() {
        let error = Assignment::parse(&[]).unwrap_err();
        assert!(error.to_string().contains("0 arguments, not 4"), "{error}");
        for (index, name) in [(1, "epoch"), (2, "pool"), (3, "parent")] {
            let mut arguments = assignment().to_arguments();
            arguments[index] = "x".into();
            let error = Assignment::parse(&arguments).unwrap_err();
            assert!(error.to_string().contains(&format!("{name} \"x\"")), "{error}");
        }
    }
}
