//! The assignment of a worker: what a worker process must know, and how it learns this.
//!
//! Its command line only says that it is a worker, and how much its owner logs. The rest comes over its standard input,
//! a socket: there it may have any size, and a list of processes does not show it.

use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

use protocol::{Epoch, ObjectId};
use serde::{Deserialize, Serialize};

use crate::pool::workers::initializer::Initializer;
use crate::process::descriptor_message::DescriptorMessage;
use crate::{Error, ErrorKind, Result};

/// The role in which a copy of the program is a worker.
pub const WORKER: &str = "worker";

/// The pool of a worker, and how the worker serves it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assignment {
    /// The manager's address.
    pub address: String,
    /// The epoch of the manager: a later manager at the same address does not know the pool.
    pub epoch: Epoch,
    /// The pool.
    pub pool: ObjectId,
    /// The process that started the worker. The worker ends with it.
    pub parent: u32,
    /// The function to call before the first task.
    pub initializer: Option<Initializer>,
    /// After how many calls the worker ends and another one takes its place.
    pub calls_max: Option<u32>,
    /// How many bytes of address space the worker may have.
    pub memory_bytes_max: Option<u64>,
    /// The event that makes the worker leave, taking no more tasks.
    pub leave: Option<ObjectId>,
    /// The signals that the owner was started with ignored, as `sys::inherited` has them: commands of the worker start
    /// so, too.
    pub ignored: u64,
    /// The signals that the owner was started with blocked.
    pub blocked: u64,
}

impl Assignment {
    /// Encodes the assignment for the workers.
    pub(crate) fn pack(&self) -> Result<DescriptorMessage> {
        let bytes = postcard::to_allocvec(self).map_err(|error| failed(&error))?;
        DescriptorMessage::new(&bytes).map_err(|error| failed(&error))
    }

    /// In a worker: receives the assignment, which is the same for all workers, the index of this one, and the standard
    /// error that it uses once it is ready.
    pub fn receive(mut socket: &UnixStream) -> Result<(Assignment, u32, OwnedFd)> {
        let (bytes, mut descriptors) =
            DescriptorMessage::receive(socket).map_err(|error| malformed(&error))?;
        let mut index = [0; size_of::<u32>()];
        socket.read_exact(&mut index).map_err(|error| malformed(&error))?;
        let (assignment, rest): (Assignment, _) =
            postcard::take_from_bytes(&bytes).map_err(|error| malformed(&error))?;
        match descriptors.pop() {
            Some(stderr) if rest.is_empty() && descriptors.is_empty() => {
                Ok((assignment, u32::from_ne_bytes(index), stderr))
            }
            _ => Err(malformed(&"it is of another version")),
        }
    }
}

fn failed(what: &dyn std::fmt::Display) -> Error {
    Error::new(ErrorKind::Other, format!("the assignment of the workers cannot be sent: {what}"))
}

fn malformed(what: &dyn std::fmt::Display) -> Error {
    Error::new(
        ErrorKind::Other,
        format!("this program was started as a worker, which only a pool does; it got no assignment: {what}"),
    )
}

#[cfg(test)]
mod tests {
    use std::io::{self, Write};
    use std::os::fd::AsFd;

    use uuid::Uuid;

    use super::*;
    use crate::pool::InitializerAnswer;

    fn assignment() -> Assignment {
        let initializer = Initializer {
            function: "app::load".to_owned(),
            arguments: vec![1; 1 << 20],
            answer: InitializerAnswer::Text,
        };
        Assignment {
            address: "unix:/run/user/1000/a b/manager.sock".to_owned(),
            epoch: Epoch(Uuid::from_u128(1)),
            pool: ObjectId(Uuid::from_u128(u128::MAX)),
            parent: 4711,
            initializer: Some(initializer),
            calls_max: Some(7),
            memory_bytes_max: None,
            leave: Some(ObjectId(Uuid::from_u128(2))),
            ignored: u64::MAX,
            blocked: 1,
        }
    }

    #[test]
    fn an_assignment_arrives_as_it_was_sent() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        assignment().pack().unwrap().send(&ours, &[io::stderr().as_fd()]).unwrap();
        (&ours).write_all(&7_u32.to_ne_bytes()).unwrap();
        let (received, index, _) = Assignment::receive(&theirs).unwrap();
        assert_eq!((received, index), (assignment(), 7));
    }

    #[test]
    fn bytes_that_are_not_an_assignment_are_an_error() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        DescriptorMessage::new(b"\xff").unwrap().send(&ours, &[io::stderr().as_fd()]).unwrap();
        (&ours).write_all(&0_u32.to_ne_bytes()).unwrap();
        assignment().pack().unwrap().send(&ours, &[]).unwrap();
        drop(ours);
        for _ in 0..3 {
            let error = Assignment::receive(&theirs).unwrap_err();
            assert!(error.to_string().contains("only a pool does"), "{error}");
        }
    }
}
