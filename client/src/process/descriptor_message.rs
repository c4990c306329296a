//! Messages of bytes and open descriptors, from one process to another over a socket between the two.
//!
//! The bytes are in a file without a name, in memory, whose descriptor goes first. So sending a message of any size is
//! one step that never waits, even before anybody receives it, and one message can go to many processes.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;

use sys::descriptors::{self, Waiting};
use sys::shared_memory::anonymous_file;

/// The byte that travels with the descriptors, since a message needs at least one.
const MARK: &[u8] = b"P";

/// Bytes, ready to be sent.
#[derive(Debug)]
pub struct DescriptorMessage {
    file: File,
}

impl DescriptorMessage {
    /// Puts these bytes into memory.
    pub fn new(bytes: &[u8]) -> io::Result<DescriptorMessage> {
        let mut file = anonymous_file("message")?;
        file.write_all(bytes)?;
        Ok(DescriptorMessage { file })
    }

    /// Sends the message, and these descriptors with it.
    pub fn send(&self, socket: impl AsFd, descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
        let mut all = vec![self.file.as_fd()];
        all.extend(descriptors);
        descriptors::send(socket, MARK, &all, Waiting::AsSocket)?;
        Ok(())
    }

    /// Waits for a message, and returns its bytes and the descriptors that came with it.
    pub fn receive(socket: impl AsFd) -> io::Result<(Vec<u8>, Vec<OwnedFd>)> {
        let mut mark = [0; MARK.len()];
        let mut received = Vec::new();
        let bytes = loop {
            match descriptors::receive(&socket, &mut mark, &mut received, Waiting::AsSocket) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                bytes => break bytes?,
            }
        };
        if bytes == 0 || received.is_empty() {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "nothing was handed over"));
        }
        let file = File::from(received.remove(0));
        Ok((read_whole(&file)?, received))
    }
}

/// Reads all of a file, from its beginning: other processes share its position and may have moved it.
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
    fn a_message_arrives_whole_as_often_as_it_is_sent() {
        let bytes = vec![7; 3 << 20];
        let message = DescriptorMessage::new(&bytes).unwrap();
        let (ours, theirs) = UnixStream::pair().unwrap();
        let (mut reader, writer) = std::io::pipe().unwrap();
        message.send(&ours, &[]).unwrap();
        message.send(&ours, &[writer.as_fd()]).unwrap();
        drop((message, writer));

        let (first, none) = DescriptorMessage::receive(&theirs).unwrap();
        assert!(first == bytes && none.is_empty());
        let (second, mut one) = DescriptorMessage::receive(&theirs).unwrap();
        assert!(second == bytes && one.len() == 1);
        File::from(one.remove(0)).write_all(b"hello").unwrap();
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        assert_eq!(text, "hello");
    }

    #[test]
    fn other_bytes_and_the_end_are_refused() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        (&ours).write_all(b"x").unwrap();
        drop(ours);
        assert!(
            DescriptorMessage::receive(&theirs).unwrap_err().to_string().contains("nothing was handed over")
        );
        assert!(
            DescriptorMessage::receive(&theirs).unwrap_err().to_string().contains("nothing was handed over")
        );
        assert!(DescriptorMessage::receive(File::open("/dev/null").unwrap()).is_err());
    }
}
