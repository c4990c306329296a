//! The operations of all kinds of objects: they open, keep and remove them.

use protocol::{Epoch, Kind, ObjectId, OpenMode, Reply, Request, Spec};

use super::answers;
use crate::{Operation, Unexpected};

/// Opens an object, or makes one. Its output is the id of the object.
#[derive(Clone, Copy, Debug)]
pub struct Open<'a> {
    /// The id that the object gets if this makes it.
    pub id: ObjectId,
    /// The name, or none for an anonymous object.
    pub name: Option<&'a str>,
    /// Kind and parameters.
    pub spec: Spec,
    /// What to do if there is such an object, and if there is none.
    pub mode: OpenMode,
}

impl<'a> Operation<'a> for Open<'a> {
    type Output = ObjectId;

    fn into_request(self) -> Request<'a> {
        let Open { id, name, spec, mode } = self;
        Request::Open { id, name, spec, mode }
    }

    fn output(reply: Reply) -> Result<ObjectId, Unexpected> {
        match reply {
            Reply::Opened { id, .. } => Ok(id),
            reply => Err(Unexpected::reply(reply)),
        }
    }
}

/// Adds a reference of this session to an object that it knows by its id.
#[derive(Clone, Copy, Debug)]
pub struct Attach {
    /// The object.
    pub id: ObjectId,
    /// The kind that the proxy stands for.
    pub kind: Kind,
    /// The life of the manager that the proxy comes from.
    pub epoch: Epoch,
}

impl Operation<'static> for Attach {
    type Output = ();

    fn into_request(self) -> Request<'static> {
        let Attach { id, kind, epoch } = self;
        Request::Attach { id, kind, epoch }
    }

    fn output(reply: Reply) -> Result<(), Unexpected> {
        answers::done(reply)
    }
}

/// Gives one reference of this session back.
#[derive(Clone, Copy, Debug)]
pub struct Detach {
    /// The object.
    pub id: ObjectId,
}

impl Operation<'static> for Detach {
    type Output = ();

    fn into_request(self) -> Request<'static> {
        let Detach { id } = self;
        Request::Detach { id }
    }

    fn output(reply: Reply) -> Result<(), Unexpected> {
        answers::done(reply)
    }
}

/// Removes an object for everyone.
#[derive(Clone, Copy, Debug)]
pub struct Remove {
    /// The object.
    pub id: ObjectId,
}

impl Operation<'static> for Remove {
    type Output = ();

    fn into_request(self) -> Request<'static> {
        let Remove { id } = self;
        Request::Remove { id }
    }

    fn output(reply: Reply) -> Result<(), Unexpected> {
        answers::done(reply)
    }
}
