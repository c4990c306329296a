//! Reasons: texts with which one process explains to people what it did to others.

use core::fmt;

use crate::limits::REASON_BYTES_MAX;

/// Checks a reason for setting an event, aborting a barrier or terminating a pool: it has at most 1024 bytes of UTF-8
/// and no control characters.
///
/// ```
/// use protocol::{ReasonError, check_reason};
///
/// assert_eq!(check_reason("disk full"), Ok(()));
/// assert_eq!(check_reason("disk\nfull"), Err(ReasonError::Control { at_byte: 4 }));
/// ```
pub fn check_reason(text: &str) -> Result<(), ReasonError> {
    if text.len() > REASON_BYTES_MAX {
        return Err(ReasonError::TooLong { bytes: text.len() });
    }
    match text.char_indices().find(|(_, character)| character.is_control()) {
        Some((at_byte, _)) => Err(ReasonError::Control { at_byte }),
        None => Ok(()),
    }
}

/// The reason why a text is not one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReasonError {
    /// It is longer than [`REASON_BYTES_MAX`].
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// It holds a control character, which would garble the terminals and logs of others.
    Control {
        /// Where the character begins.
        at_byte: usize,
    },
}

impl fmt::Display for ReasonError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReasonError::TooLong { bytes } => {
                write!(formatter, "a reason has at most {REASON_BYTES_MAX} bytes, this one has {bytes}")
            }
            ReasonError::Control { at_byte } => write!(
                formatter,
                "a reason must not hold control characters, such as line feeds; this one does at byte {at_byte}"
            ),
        }
    }
}

impl core::error::Error for ReasonError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_reason_is_taken_and_a_longer_one_is_not() {
        assert_eq!(check_reason(""), Ok(()));
        let longest = "x".repeat(REASON_BYTES_MAX);
        assert_eq!(check_reason(&longest), Ok(()));
        let bytes = REASON_BYTES_MAX + 1;
        assert_eq!(check_reason(&"x".repeat(bytes)), Err(ReasonError::TooLong { bytes }));
    }

    #[test]
    fn control_characters_are_refused_wherever_unicode_puts_them() {
        for text in ["é\0", "é\n", "é\t", "é\x1b[31mred", "é\u{7f}", "é\u{85}"] {
            assert_eq!(check_reason(text), Err(ReasonError::Control { at_byte: 2 }), "{text:?}");
        }
        assert_eq!(check_reason("größer als ⏱ 任務"), Ok(()));
    }
}
