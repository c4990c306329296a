//! The sending half of a connection: moves the bytes of requests into the stream, in order.

use std::io;

use client_core::Outgoing;
use transport::Stream;

use crate::connection::deferred_release::SharedReleaseMemory;

/// Requests on their way into the stream.
pub(crate) type Sender = Outgoing<SharedReleaseMemory>;

/// How much of the bytes to send was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WriteOutcome {
    /// All of them are in the stream.
    All,
    /// The stream is full for now.
    Part,
}

/// Moves into the stream as much as it takes without waiting.
pub(crate) fn write(sender: &mut Sender, stream: &dyn Stream) -> io::Result<WriteOutcome> {
    while !sender.poll_output().is_empty() {
        match stream.write(sender.poll_output()) {
            Ok(bytes) => sender.handle_written(bytes),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(WriteOutcome::Part),
            Err(error) => return Err(error),
        }
    }
    Ok(WriteOutcome::All)
}
