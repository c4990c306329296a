//! The first frame each way: which version is spoken, and which session and epoch this is.
//!
//! Both frames begin with bytes that no later version may move: [`MAGIC`], then version numbers as little-endian
//! `u16`. So a client of any version can read why it is refused.

use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::frame::{FrameError, append_frame_with, decode};
use crate::{Epoch, Refusal, SessionId};

/// The first four bytes of the first frame in each direction.
pub const MAGIC: [u8; 4] = *b"RLYP";

/// The oldest protocol version that this crate can speak.
pub const VERSION_OLDEST: u16 = 2;

/// The newest protocol version that this crate can speak.
pub const VERSION_NEWEST: u16 = 2;

/// The first message of a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// The oldest version that the client can speak.
    pub version_oldest: u16,
    /// The newest version that the client can speak.
    pub version_newest: u16,
    /// The client's description of itself, read only if a version is in common.
    pub introduction: Introduction,
}

/// A client's description of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Introduction {
    /// The client's process id as the client sees it. The manager uses it only where the kernel names no peer.
    pub process: u32,
    /// The name of the client's program, for people who look for a holder or a cause.
    pub program: String,
}

/// The manager's answer to a [`Hello`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Greeting {
    /// The session has begun.
    Welcome {
        /// The version that both sides speak from here on.
        version: u16,
        /// The number of this session.
        session: SessionId,
        /// The life of the manager.
        epoch: Epoch,
    },
    /// There will be no session, and the connection ends after this frame.
    Refused(Refusal),
}

impl Hello {
    /// Makes the hello of a client that speaks the versions of this crate.
    pub fn new(process: u32, program: &str) -> Hello {
        Hello {
            version_oldest: VERSION_OLDEST,
            version_newest: VERSION_NEWEST,
            introduction: Introduction { process, program: program.into() },
        }
    }

    /// Appends this as a frame to `output`.
    pub fn append(&self, output: &mut Vec<u8>) -> Result<(), FrameError> {
        let prefix =
            [MAGIC.as_slice(), &self.version_oldest.to_le_bytes(), &self.version_newest.to_le_bytes()];
        append_frame_with(output, &prefix.concat(), Some(&self.introduction))
    }

    /// Reads the body of a frame. The introduction is read only if a version is in common; otherwise it is empty.
    pub fn decode(body: &[u8]) -> Result<Hello, FrameError> {
        let (version_oldest, rest) = split_version(strip_magic(body)?)?;
        let (version_newest, rest) = split_version(rest)?;
        let mut hello = Hello {
            version_oldest,
            version_newest,
            introduction: Introduction { process: 0, program: String::new() },
        };
        if hello.version_in_common().is_some() {
            hello.introduction = decode(rest)?;
        }
        Ok(hello)
    }

    /// Returns the newest version that both sides speak, if there is one.
    pub fn version_in_common(&self) -> Option<u16> {
        let newest = self.version_newest.min(VERSION_NEWEST);
        (newest >= self.version_oldest.max(VERSION_OLDEST)).then_some(newest)
    }
}

impl Greeting {
    /// Appends this as a frame to `output`.
    pub fn append(&self, output: &mut Vec<u8>) -> Result<(), FrameError> {
        match self {
            Greeting::Welcome { version, session, epoch } => {
                let prefix = [MAGIC.as_slice(), &version.to_le_bytes()].concat();
                append_frame_with(output, &prefix, Some(&(session, epoch)))
            }
            Greeting::Refused(refusal) => {
                let prefix = [MAGIC.as_slice(), &0_u16.to_le_bytes()].concat();
                append_frame_with(output, &prefix, Some(refusal))
            }
        }
    }

    /// Reads the body of a frame.
    pub fn decode(body: &[u8]) -> Result<Greeting, FrameError> {
        let (version, rest) = split_version(strip_magic(body)?)?;
        if version == 0 {
            return Ok(Greeting::Refused(decode(rest)?));
        }
        let (session, epoch) = decode(rest)?;
        Ok(Greeting::Welcome { version, session, epoch })
    }
}

fn strip_magic(body: &[u8]) -> Result<&[u8], FrameError> {
    body.strip_prefix(MAGIC.as_slice()).ok_or(FrameError::Foreign)
}

fn split_version(bytes: &[u8]) -> Result<(u16, &[u8]), FrameError> {
    let (version, rest) = bytes.split_first_chunk().ok_or(FrameError::Malformed)?;
    Ok((u16::from_le_bytes(*version), rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Code;

    fn body(append: impl Fn(&mut Vec<u8>) -> Result<(), FrameError>) -> Vec<u8> {
        let mut frame = Vec::new();
        append(&mut frame).unwrap();
        frame.split_off(4)
    }

    #[test]
    fn a_hello_comes_back_as_it_was_sent() {
        let hello = Hello::new(4711, "prog");
        assert_eq!(Hello::decode(&body(|output| hello.append(output))), Ok(hello));
    }

    #[test]
    fn a_later_version_is_recognized_whatever_follows_it() {
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(&[40, 0, 50, 0, 0xff, 0xff, 0xff]);
        let hello = Hello::decode(&bytes).unwrap();
        assert_eq!((hello.version_oldest, hello.version_newest), (40, 50));
        assert_eq!(hello.version_in_common(), None);
    }

    #[test]
    fn the_newest_version_in_common_is_spoken() {
        let mut hello = Hello::new(1, "p");
        hello.version_oldest = 0;
        hello.version_newest = 9;
        assert_eq!(hello.version_in_common(), Some(VERSION_NEWEST));
        hello.version_newest = 0;
        assert_eq!(hello.version_in_common(), None);
    }

    #[test]
    fn greetings_come_back_as_they_were_sent() {
        let epoch = Epoch(uuid::Uuid::from_u128(7));
        let welcome = Greeting::Welcome { version: VERSION_NEWEST, session: SessionId(3), epoch };
        assert_eq!(Greeting::decode(&body(|output| welcome.append(output))), Ok(welcome));
        let refused = Greeting::Refused(Refusal::new(Code::VersionMismatch, "no version in common"));
        assert_eq!(Greeting::decode(&body(|output| refused.append(output))), Ok(refused));
    }

    #[test]
    fn what_does_not_begin_with_the_magic_is_foreign() {
        assert_eq!(Hello::decode(b"GET / HTTP/1.1"), Err(FrameError::Foreign));
        assert_eq!(Hello::decode(b"RLYP\x01"), Err(FrameError::Malformed));
    }
}
