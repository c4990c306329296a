//! Open descriptors that travel over a Unix socket, beside bytes (`SCM_RIGHTS`, unix(7)).

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};

/// The most descriptors that travel with one message.
pub const DESCRIPTORS_MAX: usize = 4;

/// Whether a call may wait for the other side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waiting {
    /// As the socket does.
    AsSocket,
    /// Never: it fails with [`WouldBlock`](io::ErrorKind::WouldBlock) instead.
    Never,
}

/// Sends bytes, at least one, and these descriptors with the first of them. Returns how many bytes the system took; all
/// descriptors go with them.
///
/// # Errors
///
/// With [`InvalidInput`](io::ErrorKind::InvalidInput) if there are more than [`DESCRIPTORS_MAX`]; those of sendmsg(2),
/// of which `ETOOMANYREFS` says that too many descriptors of this user are on their way.
pub fn send(
    socket: impl AsFd,
    bytes: &[u8],
    descriptors: &[BorrowedFd<'_>],
    waiting: Waiting,
) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    let fits = descriptors.len() <= DESCRIPTORS_MAX;
    if !(fits && ancillary.push(SendAncillaryMessage::ScmRights(descriptors))) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "a message has too many descriptors"));
    }
    let flags = match waiting {
        Waiting::AsSocket => SendFlags::NOSIGNAL,
        Waiting::Never => SendFlags::NOSIGNAL | SendFlags::DONTWAIT,
    };
    Ok(sendmsg(socket, &[IoSlice::new(bytes)], &mut ancillary, flags)?)
}

/// Receives bytes once, and appends the descriptors that came with them. Returns how many bytes came; 0 is the end.
/// The system closes the descriptors when this process runs another program.
///
/// # Errors
///
/// Those of recvmsg(2).
pub fn receive(
    socket: impl AsFd,
    bytes: &mut [u8],
    descriptors: &mut impl Extend<OwnedFd>,
    waiting: Waiting,
) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let flags = match waiting {
        Waiting::AsSocket => RecvFlags::CMSG_CLOEXEC,
        Waiting::Never => RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT,
    };
    let received = recvmsg(socket, &mut [IoSliceMut::new(bytes)], &mut ancillary, flags)?;
    for message in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            descriptors.extend(rights);
        }
    }
    Ok(received.bytes)
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn descriptors_arrive_with_the_bytes_that_they_were_sent_with() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let (mut reader, writer) = io::pipe().unwrap();
        assert_eq!(send(&ours, b"one", &[writer.as_fd(), writer.as_fd()], Waiting::Never).unwrap(), 3);
        drop(writer);
        let (mut bytes, mut descriptors) = ([0; 8], Vec::new());
        assert_eq!(receive(&theirs, &mut bytes, &mut descriptors, Waiting::AsSocket).unwrap(), 3);
        assert_eq!((&bytes[..3], descriptors.len()), (b"one".as_slice(), 2));
        File::from(descriptors.pop().unwrap()).write_all(b"through").unwrap();
        descriptors.clear();
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        assert_eq!(text, "through");
    }

    #[test]
    fn nothing_to_receive_and_too_much_to_send_are_errors() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let nothing = receive(&theirs, &mut [0; 8], &mut Vec::new(), Waiting::Never).unwrap_err();
        assert_eq!(nothing.kind(), io::ErrorKind::WouldBlock);
        let many = [ours.as_fd(); DESCRIPTORS_MAX + 1];
        let refused = send(&ours, b"x", &many, Waiting::Never).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::InvalidInput);
        drop(ours);
        assert_eq!(receive(&theirs, &mut [0; 8], &mut Vec::new(), Waiting::Never).unwrap(), 0);
    }
}
