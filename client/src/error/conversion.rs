//! What the errors of other packages become when a call fails with one of them.

use client_core::{DisconnectReason, UnacknowledgedGrants, Unexpected};
use protocol::{FrameError, NameError, Refusal};
use transport::{AddressError, ConnectError, ConnectErrorKind};

use super::{Error, ErrorKind};

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Error {
        Error::new(refusal.code.into(), refusal.text)
    }
}

impl From<DisconnectReason> for Error {
    fn from(end: DisconnectReason) -> Error {
        Error::new(ErrorKind::ManagerGone, end.to_string())
    }
}

impl From<UnacknowledgedGrants> for Error {
    fn from(error: UnacknowledgedGrants) -> Error {
        Error::new(ErrorKind::Limit, error.to_string())
    }
}

impl From<Unexpected> for Error {
    fn from(unexpected: Unexpected) -> Error {
        Error::new(ErrorKind::Other, unexpected.to_string())
    }
}

impl From<AddressError> for Error {
    fn from(error: AddressError) -> Error {
        Error::new(ErrorKind::BadArgument, error.to_string())
    }
}

impl From<ConnectError> for Error {
    fn from(error: ConnectError) -> Error {
        let kind = match error.kind {
            ConnectErrorKind::Refused | ConnectErrorKind::Missing => ErrorKind::NotRunning,
            ConnectErrorKind::TooLong => ErrorKind::Limit,
            ConnectErrorKind::NotText => ErrorKind::BadName,
            ConnectErrorKind::Full | ConnectErrorKind::Other => ErrorKind::Other,
        };
        Error::new(kind, error.to_string())
    }
}

impl From<NameError> for Error {
    fn from(error: NameError) -> Error {
        Error::new(ErrorKind::BadName, error.to_string())
    }
}

/// A message of this client does not fit into a frame, or one of the manager is malformed.
impl From<FrameError> for Error {
    fn from(error: FrameError) -> Error {
        let kind = match error {
            FrameError::TooLong { .. } => ErrorKind::Limit,
            FrameError::Malformed | FrameError::Foreign => ErrorKind::Other,
        };
        Error::new(kind, error.to_string())
    }
}
