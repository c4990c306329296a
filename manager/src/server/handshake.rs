//! The check of a hello: the first message of a peer, of which the manager knows nothing yet.

use protocol::limits::PROGRAM_BYTES_MAX;
use protocol::{Code, FrameError, Hello, Refusal, VERSION_NEWEST, VERSION_OLDEST};

/// What a manager takes from a hello that it accepts.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Accepted {
    /// The version that both sides speak from here on.
    pub(crate) version: u16,
    /// The process id that the client claims, for when the kernel does not tell.
    pub(crate) process: u32,
    /// The name of the client's program, fit to be shown.
    pub(crate) program: String,
}

/// Reads the body of the first frame.
pub(crate) fn judge(body: &[u8]) -> Result<Accepted, Refusal> {
    let hello = Hello::decode(body).map_err(not_a_message)?;
    let Some(version) = hello.version_in_common() else {
        let (oldest, newest) = (hello.version_oldest, hello.version_newest);
        let text = format!(
            "this manager speaks versions {VERSION_OLDEST} to {VERSION_NEWEST} of the protocol, and the client \
             versions {oldest} to {newest}; bring the older of the two up to date"
        );
        return Err(Refusal::new(Code::VersionMismatch, text));
    };
    let program = presentable(&hello.introduction.program);
    Ok(Accepted { version, process: hello.introduction.process, program })
}

/// The refusal of a peer whose bytes are not a message, at any time of the connection.
pub(crate) fn not_a_message(error: FrameError) -> Refusal {
    Refusal::new(Code::Protocol, format!("{error}; the connection is closed"))
}

/// The refusal of a peer whose first bytes announce more than any hello has: a peer with another protocol begins with
/// something other than a length.
pub(crate) fn not_a_hello(error: FrameError) -> Refusal {
    match error {
        FrameError::TooLong { .. } => Refusal::new(
            Code::Protocol,
            format!("{}: {error}; the connection is closed", FrameError::Foreign),
        ),
        _ => not_a_message(error),
    }
}

/// A program's name without control characters, which would garble terminals and logs, and not too long.
fn presentable(program: &str) -> String {
    let mut shown = String::new();
    for character in program.chars().filter(|character| !character.is_control()) {
        if shown.len() + character.len_utf8() > PROGRAM_BYTES_MAX {
            break;
        }
        shown.push(character);
    }
    if shown.is_empty() { "a program without a name".into() } else { shown }
}

#[cfg(test)]
mod tests {
    use protocol::MAGIC;

    use super::*;

    fn body(hello: &Hello) -> Vec<u8> {
        let mut frame = Vec::new();
        hello.append(&mut frame).unwrap();
        frame.split_off(4)
    }

    #[test]
    fn a_hello_of_this_version_is_accepted() {
        let accepted = judge(&body(&Hello::new(7, "prog"))).unwrap();
        assert_eq!(accepted, Accepted { version: VERSION_NEWEST, process: 7, program: "prog".into() });
    }

    #[test]
    fn a_version_mismatch_names_both_ranges() {
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(&[40, 0, 50, 0, 0xff]);
        let refusal = judge(&bytes).unwrap_err();
        assert_eq!(refusal.code, Code::VersionMismatch);
        assert!(refusal.text.contains("2 to 2") && refusal.text.contains("40 to 50"), "{refusal}");
    }

    #[test]
    fn other_bytes_are_refused() {
        for bytes in [b"GET / HTTP/1.1".as_slice(), b"", b"RLYP", b"RLYP\x02\0\x02\0\xff"] {
            assert_eq!(judge(bytes).unwrap_err().code, Code::Protocol, "{bytes:?}");
        }
    }

    #[test]
    fn a_programs_name_is_made_presentable() {
        assert_eq!(presentable("a\x1b[31m\nb\u{85}"), "a[31mb");
        assert_eq!(presentable("\0\0"), "a program without a name");
        let long = "ö".repeat(PROGRAM_BYTES_MAX);
        assert_eq!(presentable(&long), "ö".repeat(PROGRAM_BYTES_MAX / 2));
    }
}
