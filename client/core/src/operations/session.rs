//! The operations of the session itself.

use protocol::{Reply, Request, RequestId, SharedMemory};

use super::answers;
use crate::{Operation, Unexpected};

/// Ends a blocked request of this session.
#[derive(Clone, Copy, Debug)]
pub struct Cancel {
    /// The blocked request.
    pub request: RequestId,
}

impl Operation<'static> for Cancel {
    type Output = ();

    fn into_request(self) -> Request<'static> {
        let Cancel { request } = self;
        Request::Cancel { request }
    }

    fn output(reply: Reply) -> Result<(), Unexpected> {
        answers::done(reply)
    }
}

/// Ends the session in order. It is sent one-way, and nothing may follow it.
#[derive(Clone, Copy, Debug)]
pub struct Goodbye;

impl Operation<'static> for Goodbye {
    type Output = ();

    fn into_request(self) -> Request<'static> {
        Request::Goodbye
    }

    fn output(reply: Reply) -> Result<(), Unexpected> {
        answers::done(reply)
    }
}

/// Asks for shared memory, whose descriptor comes with the answer. Its output is how many bytes it has.
#[derive(Clone, Copy, Debug)]
pub struct Share {
    /// Which memory.
    pub memory: SharedMemory,
}

impl Operation<'static> for Share {
    type Output = u64;

    fn into_request(self) -> Request<'static> {
        let Share { memory } = self;
        Request::Share { memory }
    }

    fn output(reply: Reply) -> Result<u64, Unexpected> {
        match reply {
            Reply::Shared { bytes } => Ok(bytes),
            reply => Err(Unexpected::reply(reply)),
        }
    }
}

/// Binds a process session to this session, so that what this session holds stays held until its processes are gone.
#[derive(Clone, Copy, Debug)]
pub struct BindProcesses {
    /// The process that leads the process session.
    pub leader: u32,
}

impl Operation<'static> for BindProcesses {
    type Output = ();

    fn into_request(self) -> Request<'static> {
        let BindProcesses { leader } = self;
        Request::BindProcesses { leader }
    }

    fn output(reply: Reply) -> Result<(), Unexpected> {
        answers::done(reply)
    }
}

/// Ends such a binding.
#[derive(Clone, Copy, Debug)]
pub struct UnbindProcesses {
    /// The process that led the process session.
    pub leader: u32,
}

impl Operation<'static> for UnbindProcesses {
    type Output = ();

    fn into_request(self) -> Request<'static> {
        let UnbindProcesses { leader } = self;
        Request::UnbindProcesses { leader }
    }

    fn output(reply: Reply) -> Result<(), Unexpected> {
        answers::done(reply)
    }
}
