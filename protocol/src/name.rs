//! Names of objects and functions: parsed once, where they enter.

use alloc::boxed::Box;
use core::fmt;

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::limits::NAME_BYTES_MAX;

/// The name of an object or of a task function: 1 to 255 bytes of UTF-8 without control characters.
///
/// Names are compared byte by byte. All kinds of objects share one space of names.
///
/// ```
/// use protocol::{Name, NameError};
///
/// assert_eq!(Name::parse("deploy/stop").unwrap().as_str(), "deploy/stop");
/// assert_eq!(Name::parse(""), Err(NameError::Empty));
/// assert!(matches!(Name::parse("a\nb"), Err(NameError::Control { at_byte: 1 })));
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(Box<str>);

impl Name {
    /// Checks a text and makes a name of it.
    pub fn parse(text: &str) -> Result<Name, NameError> {
        Self::check(text)?;
        Ok(Name(text.into()))
    }

    /// Checks whether a text is a name.
    pub fn check(text: &str) -> Result<(), NameError> {
        if text.is_empty() {
            return Err(NameError::Empty);
        }
        if text.len() > NAME_BYTES_MAX {
            return Err(NameError::TooLong { bytes: text.len() });
        }
        match text.char_indices().find(|(_, character)| character.is_control()) {
            Some((at_byte, _)) => Err(NameError::Control { at_byte }),
            None => Ok(()),
        }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl core::borrow::Borrow<str> for Name {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

impl Serialize for Name {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Name, D::Error> {
        let text = Box::<str>::deserialize(deserializer)?;
        Name::check(&text).map_err(D::Error::custom)?;
        Ok(Name(text))
    }
}

/// The reason why a text is not a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameError {
    /// It is empty.
    Empty,
    /// It is longer than [`NAME_BYTES_MAX`].
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// It holds a control character, which would garble terminals and logs.
    Control {
        /// Where the character begins.
        at_byte: usize,
    },
}

impl fmt::Display for NameError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NameError::Empty => write!(formatter, "a name must not be empty"),
            NameError::TooLong { bytes } => {
                write!(formatter, "a name has at most {NAME_BYTES_MAX} bytes, this one has {bytes}")
            }
            NameError::Control { at_byte } => {
                write!(formatter, "a name must not hold control characters, this one does at byte {at_byte}")
            }
        }
    }
}

impl core::error::Error for NameError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_name_is_taken_and_a_longer_one_is_not() {
        let longest = "x".repeat(NAME_BYTES_MAX);
        assert_eq!(Name::parse(&longest).unwrap().as_str(), longest);
        let longer = "x".repeat(NAME_BYTES_MAX + 1);
        assert_eq!(Name::parse(&longer), Err(NameError::TooLong { bytes: NAME_BYTES_MAX + 1 }));
    }

    #[test]
    fn control_characters_are_refused_wherever_unicode_puts_them() {
        for text in ["\0", "a\tb", "line\n", "\u{7f}", "\u{85}"] {
            assert!(matches!(Name::parse(text), Err(NameError::Control { .. })), "{text:?}");
        }
        assert!(Name::parse("größe ⏱ 任務").is_ok());
    }
}
