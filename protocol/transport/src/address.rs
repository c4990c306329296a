//! Addresses: where a manager is found, parsed once from text.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use protocol::escaped;

/// Where a manager is found.
///
/// As text it is `unix:` and the absolute path of a Unix socket. A path alone means the same where an address is read,
/// and a relative one is completed there, once.
///
/// ```
/// # use transport as rallypoint;
/// use rallypoint::Address;
///
/// let address: Address = "/run/user/1000/rallypoint/manager.sock".parse()?;
/// assert_eq!(address.to_string(), "unix:/run/user/1000/rallypoint/manager.sock");
/// assert_eq!(address.to_string().parse(), Ok(address));
/// assert!("tls://example.org:7420".parse::<Address>().is_err(), "that is for a later version");
/// # Ok::<(), rallypoint::AddressError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address {
    place: Place,
    text: OsString,
}

/// What an address leads to. Only the code that makes and accepts streams tells these apart.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    /// A Unix socket of this machine, at this absolute path.
    Unix(PathBuf),
}

/// What addresses look like, for messages.
const FORMS: &str = "an address is `unix:` and the path of a Unix socket of this machine, as in \
    `unix:/path/manager.sock`, or the path alone, with `./` before a relative one that has a colon";

/// Why a text is not an address. The message says what to write instead.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AddressError {
    /// There is no path.
    WithoutPath {
        /// The text.
        text: OsString,
    },
    /// The text before the first colon is not a transport that this version has.
    NotSupported {
        /// The text.
        text: OsString,
        /// The transport that it names.
        transport: String,
    },
    /// The path holds a control character, which would garble terminals and logs.
    Control {
        /// The path.
        path: PathBuf,
    },
    /// The path is relative, and the folder in which this process works cannot be told.
    Relative {
        /// The path.
        path: PathBuf,
        /// What the system says.
        reason: String,
    },
    /// An environment variable is not an address.
    InVariable {
        /// The variable's name.
        variable: &'static str,
        /// What is wrong with its value.
        error: Box<AddressError>,
    },
}

impl Address {
    /// Parses an address that need not be UTF-8, such as an argument or an environment variable.
    ///
    /// # Errors
    ///
    /// If it has no path, or one with control characters, or names a transport that this version does not have.
    pub fn parse(text: impl AsRef<OsStr>) -> Result<Address, AddressError> {
        let text = text.as_ref();
        let path = match transport_of(text) {
            None => text,
            Some("unix") => OsStr::from_bytes(&text.as_bytes()["unix:".len()..]),
            Some(transport) => {
                let transport = transport.to_owned();
                return Err(AddressError::NotSupported { text: text.to_owned(), transport });
            }
        };
        match path.is_empty() {
            true => Err(AddressError::WithoutPath { text: text.to_owned() }),
            false => Address::unix(path),
        }
    }

    /// The address of the Unix socket at this path. A relative path is one from the folder in which this process works.
    ///
    /// # Errors
    ///
    /// If the path is empty, or has control characters; or it is relative, and this process's folder is gone.
    pub fn unix(path: impl AsRef<Path>) -> Result<Address, AddressError> {
        let path = path.as_ref();
        if path.as_os_str().is_empty() {
            return Err(AddressError::WithoutPath { text: OsString::new() });
        }
        let absolute = std::path::absolute(path)
            .map_err(|error| AddressError::Relative { path: path.into(), reason: error.to_string() })?;
        if absolute.to_string_lossy().contains(char::is_control) {
            return Err(AddressError::Control { path: absolute });
        }
        let mut text = OsString::from("unix:");
        text.push(&absolute);
        Ok(Address { place: Place::Unix(absolute), text })
    }
}

/// What an address leads to.
#[must_use]
pub fn place(address: &Address) -> &Place {
    &address.place
}

/// The transport that a text names: the part before its first colon, if that could not be the beginning of an absolute
/// path.
fn transport_of(text: &OsStr) -> Option<&str> {
    let colon = text.as_bytes().iter().position(|&byte| byte == b':')?;
    let transport = str::from_utf8(&text.as_bytes()[..colon]).ok()?;
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
    let is_transport = transport.starts_with(|first: char| first.is_ascii_alphabetic());
    (is_transport && transport.bytes().all(is_name)).then_some(transport)
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Address, AddressError> {
        Address::parse(text)
    }
}

/// The whole text, for arguments and variables of other programs.
impl AsRef<OsStr> for Address {
    fn as_ref(&self) -> &OsStr {
        &self.text
    }
}

impl fmt::Display for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.text.display().fmt(formatter)
    }
}

impl fmt::Display for AddressError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AddressError::WithoutPath { text } => {
                write!(formatter, "the address “{}” names no socket; {FORMS}", escaped(text.display()))
            }
            AddressError::NotSupported { text, transport } => write!(
                formatter,
                "the address {} is one of the transport `{transport}`, which this version does not have; {FORMS}",
                escaped(text.display())
            ),
            AddressError::Control { path } => write!(
                formatter,
                "the path of a socket must not hold control characters, and {} does; choose another",
                escaped(path.display())
            ),
            AddressError::Relative { path, reason } => write!(
                formatter,
                "the path {} is relative to a folder that cannot be found ({reason}); write an absolute one",
                escaped(path.display())
            ),
            AddressError::InVariable { variable, error } => {
                write!(formatter, "the value of {variable} is wrong: {error}")
            }
        }
    }
}

impl std::error::Error for AddressError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_an_address_with_and_without_its_transport() {
        for path in ["/run/manager.sock", "/a:b", "/größe.sock"] {
            let address: Address = path.parse().unwrap();
            assert_eq!(place(&address), &Place::Unix(path.into()));
            assert_eq!(address.to_string(), format!("unix:{path}"));
            assert_eq!(format!("unix:{path}").parse(), Ok(address), "{path}");
        }
        let not_text = OsStr::from_bytes(b"unix:/\xff");
        let path = OsStr::from_bytes(b"/\xff");
        let address = Address::parse(not_text).unwrap();
        assert_eq!(place(&address), &Place::Unix(path.into()));
        assert_eq!(AsRef::<OsStr>::as_ref(&address), not_text);
    }

    #[test]
    fn a_relative_path_is_completed_once() {
        let here = std::env::current_dir().unwrap();
        for path in ["manager.sock", "./tls:manager.sock", "größe.sock", "../manager.sock"] {
            let expected = here.join(path.trim_start_matches("./"));
            for text in [path.to_owned(), format!("unix:{path}")] {
                let address: Address = text.parse().unwrap();
                assert_eq!(place(&address), &Place::Unix(expected.clone()), "{text}");
                assert_eq!(address.to_string(), format!("unix:{}", expected.display()));
            }
        }
    }

    #[test]
    fn other_transports_are_refused_with_what_to_write_instead() {
        for (text, transport) in
            [("tls://host:7420", "tls"), ("tcp:host", "tcp"), ("a:b", "a"), ("TLS:x", "TLS")]
        {
            let refused = text.parse::<Address>().unwrap_err();
            let expected = AddressError::NotSupported { text: text.into(), transport: transport.to_owned() };
            assert_eq!(refused, expected);
            let message = refused.to_string();
            assert!(message.contains(text) && message.contains("does not have"), "{message}");
            assert!(message.contains("unix:/path") && message.contains("`./`"), "{message}");
        }
    }

    #[test]
    fn control_characters_are_refused_and_not_shown() {
        for text in ["/x\x1b[31m.sock", "unix:x\n.sock"] {
            let refused = text.parse::<Address>().unwrap_err();
            assert!(matches!(refused, AddressError::Control { .. }), "{refused}");
            assert!(!refused.to_string().contains(char::is_control), "{refused}");
        }
        let refused = "tcp:\x1b[31m".parse::<Address>().unwrap_err().to_string();
        assert!(refused.contains(r"tcp:\u{1b}[31m"), "{refused}");
    }

    #[test]
    fn an_address_without_a_path_is_refused() {
        for text in ["", "unix:"] {
            let refused = text.parse::<Address>().unwrap_err();
            assert!(refused.to_string().contains("names no socket"), "{refused}");
        }
    }
}
