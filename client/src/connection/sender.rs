//! The sending half of a connection: moves the bytes of requests into the stream, in order.

use std::io;
use std::os::fd::BorrowedFd;

use client_core::Outgoing;
use rustix::io::Errno;
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
    write_with(sender, stream, &mut None)
}

/// Like [`write`], and a descriptor goes with the first of the bytes.
pub(crate) fn write_with(
    sender: &mut Sender,
    stream: &dyn Stream,
    descriptor: &mut Option<BorrowedFd<'_>>,
) -> io::Result<WriteOutcome> {
    while !sender.poll_output().is_empty() {
        let written = match *descriptor {
            None => stream.write(sender.poll_output()),
            Some(enclosed) => match stream.write_with_descriptor(sender.poll_output(), enclosed) {
                // Too many descriptors of this user are on the way. The manager tells that none has come.
                Err(error) if Errno::from_io_error(&error) == Some(Errno::TOOMANYREFS) => {
                    stream.write(sender.poll_output())
                }
                written => written,
            },
        };
        match written {
            Ok(bytes) => {
                *descriptor = None;
                sender.handle_written(bytes);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(WriteOutcome::Part),
            Err(error) => return Err(error),
        }
    }
    Ok(WriteOutcome::All)
}
