//! Parcels: bytes and open descriptors that one process hands to another over a socket between the two.
//!
//! The bytes are in a file without a name, in memory, whose descriptor goes first. So a parcel of any size is sent in
//! one step that never waits, also before there is anybody to receive it, and one parcel can be sent to many.

use std::fs::File;
use std::io::{self, IoSlice, IoSliceMut, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;

use rustix::fs::{MemfdFlags, memfd_create};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};

/// The most descriptors in a parcel, that of the bytes among them.
const DESCRIPTORS_MAX: usize = 4;

/// What travels beside the descriptors, which must be something.
const MARK: &[u8] = b"P";

/// Bytes, ready to be sent.
#[derive(Debug)]
pub struct Parcel {
    file: File,
}

impl Parcel {
    /// Packs these bytes.
    pub fn new(bytes: &[u8]) -> io::Result<Parcel> {
        let mut file = File::from(memfd_create("parcel", MemfdFlags::CLOEXEC)?);
        file.write_all(bytes)?;
        Ok(Parcel { file })
    }

    /// Sends the parcel, and these descriptors with it.
    pub fn send(&self, socket: impl AsFd, descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
        let mut all = vec![self.file.as_fd()];
        all.extend(descriptors);
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        if !ancillary.push(SendAncillaryMessage::ScmRights(&all)) {
            return Err(io::Error::other("a parcel has too many descriptors"));
        }
        sendmsg(socket, &[IoSlice::new(MARK)], &mut ancillary, SendFlags::NOSIGNAL)?;
        Ok(())
    }

    /// Receives one: its bytes, and the descriptors that were sent with it. Waits until it comes.
    pub fn receive(socket: impl AsFd) -> io::Result<(Vec<u8>, Vec<OwnedFd>)> {
        let mut mark = [0; MARK.len()];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let mut data = [IoSliceMut::new(&mut mark)];
        let received = loop {
            match recvmsg(&socket, &mut data, &mut ancillary, RecvFlags::CMSG_CLOEXEC) {
                Err(rustix::io::Errno::INTR) => {}
                received => break received?,
            }
        };
        let rights = ancillary.drain().filter_map(|message| match message {
            RecvAncillaryMessage::ScmRights(descriptors) => Some(descriptors),
            _ => None,
        });
        let mut descriptors = rights.flatten();
        let (true, Some(file)) = (received.bytes > 0, descriptors.next()) else {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "nothing was handed over"));
        };
        let rest = descriptors.collect();
        Ok((read_whole(&File::from(file))?, rest))
    }
}

/// Reads all of a file, wherever others who share its position have come to.
fn read_whole(file: &File) -> io::Result<Vec<u8>> {
    let length = usize::try_from(file.metadata()?.len()).map_err(io::Error::other)?;
    let mut bytes = vec![0; length];
    file.read_exact_at(&mut bytes, 0)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn a_parcel_arrives_whole_as_often_as_it_is_sent() {
        let bytes = vec![7; 3 << 20];
        let parcel = Parcel::new(&bytes).unwrap();
        let (ours, theirs) = UnixStream::pair().unwrap();
        let (mut reader, writer) = std::io::pipe().unwrap();
        parcel.send(&ours, &[]).unwrap();
        parcel.send(&ours, &[writer.as_fd()]).unwrap();
        drop((parcel, writer));

        let (first, none) = Parcel::receive(&theirs).unwrap();
        assert!(first == bytes && none.is_empty());
        let (second, mut one) = Parcel::receive(&theirs).unwrap();
        assert!(second == bytes && one.len() == 1);
        File::from(one.remove(0)).write_all(b"hello").unwrap();
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        assert_eq!(text, "hello");
    }

    #[test]
    fn what_is_no_parcel_is_told() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        (&ours).write_all(b"x").unwrap();
        drop(ours);
        assert!(Parcel::receive(&theirs).unwrap_err().to_string().contains("nothing was handed over"));
        assert!(Parcel::receive(&theirs).unwrap_err().to_string().contains("nothing was handed over"));
        assert!(Parcel::receive(File::open("/dev/null").unwrap()).is_err());
    }
}
