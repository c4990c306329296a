//! Addresses: where a manager is found, parsed once from text.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use protocol::endpoint::{self, SOCKET_VARIABLE};

/// Where a manager is found.
///
/// As text it is `unix:` and the path of a Unix socket; a path alone means the same.
///
/// ```
/// use transport::Address;
///
/// let address: Address = "/run/user/1000/rallypoint/manager.sock".parse()?;
/// assert_eq!(address.to_string(), "unix:/run/user/1000/rallypoint/manager.sock");
/// assert_eq!(address.to_string().parse(), Ok(address));
/// assert!("tls://example.org:7420".parse::<Address>().is_err(), "that is for a later version");
/// # Ok::<(), transport::AddressError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Address {
    /// A Unix socket of this machine, at this path.
    Unix(PathBuf),
}

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
}

impl Address {
    /// Parses an address that need not be UTF-8, such as an argument or an environment variable.
    ///
    /// # Errors
    ///
    /// If it has no path, or names a transport that this version does not have.
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
            false => Ok(Address::Unix(path.into())),
        }
    }

    /// The default address of this user's manager: the one that the environment variable `RALLYPOINT_SOCKET` names, or
    /// else a socket in this user's own folder.
    ///
    /// # Errors
    ///
    /// If the variable is not empty and not an address.
    pub fn of_this_user() -> Result<Address, AddressError> {
        match std::env::var_os(SOCKET_VARIABLE) {
            Some(text) if !text.is_empty() => Address::parse(text),
            _ => {
                let runtime_folder = std::env::var("XDG_RUNTIME_DIR").ok();
                let user = sys::process::effective_user();
                Ok(Address::Unix(endpoint::default_socket(runtime_folder.as_deref(), user).into()))
            }
        }
    }
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

impl From<PathBuf> for Address {
    /// The address of the Unix socket at this path.
    fn from(path: PathBuf) -> Address {
        Address::Unix(path)
    }
}

impl From<&Path> for Address {
    /// The address of the Unix socket at this path.
    fn from(path: &Path) -> Address {
        Address::Unix(path.into())
    }
}

impl From<&PathBuf> for Address {
    /// The address of the Unix socket at this path.
    fn from(path: &PathBuf) -> Address {
        Address::Unix(path.into())
    }
}

impl fmt::Display for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Unix(path) => write!(formatter, "unix:{}", path.display()),
        }
    }
}

impl fmt::Display for AddressError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AddressError::WithoutPath { text } => write!(
                formatter,
                "the address “{}” names no socket; write its path, as in `/path/manager.sock`",
                text.display()
            ),
            AddressError::NotSupported { text, transport } => write!(
                formatter,
                "the address {} is one of {transport}, which this version does not support; name a Unix socket of \
                 this machine, as in `unix:/path/manager.sock`",
                text.display()
            ),
        }
    }
}

impl std::error::Error for AddressError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn unix(path: &str) -> Result<Address, AddressError> {
        Ok(Address::Unix(path.into()))
    }

    #[test]
    fn a_path_is_an_address_with_and_without_its_transport() {
        for path in ["/run/manager.sock", "manager.sock", "./tls:manager.sock", "/a:b", "größe.sock"] {
            assert_eq!(path.parse(), unix(path), "{path}");
            assert_eq!(format!("unix:{path}").parse(), unix(path), "{path}");
            assert_eq!(Address::from(Path::new(path)).to_string(), format!("unix:{path}"));
        }
        let not_text = OsStr::from_bytes(b"unix:/\xff");
        let path = OsStr::from_bytes(b"/\xff");
        assert_eq!(Address::parse(not_text), Ok(Address::Unix(path.into())));
    }

    #[test]
    fn other_transports_are_refused_with_what_to_write_instead() {
        for (text, transport) in [("tls://host:7420", "tls"), ("tcp:host", "tcp"), ("TLS:x", "TLS")] {
            let refused = text.parse::<Address>().unwrap_err();
            let expected = AddressError::NotSupported { text: text.into(), transport: transport.to_owned() };
            assert_eq!(refused, expected);
            let message = refused.to_string();
            assert!(message.contains(text) && message.contains("does not support"), "{message}");
            assert!(message.contains("unix:/path"), "{message}");
        }
    }

    #[test]
    fn an_address_without_a_path_is_refused() {
        for text in ["", "unix:"] {
            let refused = text.parse::<Address>().unwrap_err();
            assert!(refused.to_string().contains("names no socket"), "{refused}");
        }
    }
}
