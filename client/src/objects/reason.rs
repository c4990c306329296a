//! Reasons: texts from one process for the people who use others.

use protocol::ReasonError;
use protocol::limits::REASON_BYTES_MAX;

use crate::{Error, ErrorKind, Result};

/// Refuses a reason that the manager would not take.
pub(crate) fn check_reason(reason: &str) -> Result<()> {
    protocol::check_reason(reason).map_err(|error| {
        let kind = match error {
            ReasonError::TooLong { .. } => ErrorKind::Limit,
            ReasonError::Control { .. } => ErrorKind::BadArgument,
        };
        Error::new(kind, error.to_string())
    })
}

/// A text of any program as one line, in which nothing garbles a terminal.
pub(crate) fn one_line(text: &str) -> String {
    let clean = |character: char| if character.is_control() { ' ' } else { character };
    text.trim().chars().map(clean).collect()
}

/// The beginning of a text, as much as a reason may have, in one line.
pub(crate) fn shortened(text: &str) -> String {
    let mut short = one_line(text);
    short.truncate(short.floor_char_boundary(REASON_BYTES_MAX));
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_becomes_a_reason() {
        assert_eq!(shortened("disk full"), "disk full");
        assert_eq!(shortened("\tdisk full:\n\x1b[31mred\n"), "disk full:  [31mred");
        let text = "é".repeat(REASON_BYTES_MAX);
        assert_eq!(shortened(&text).len(), REASON_BYTES_MAX);
        assert_eq!(shortened(&format!("x{text}")).len(), REASON_BYTES_MAX - 1);
        assert!(check_reason(&shortened(&format!("a\u{85}\0{text}"))).is_ok());
    }

    #[test]
    fn a_reason_that_is_not_valid_is_refused() {
        assert!(check_reason(&"x".repeat(REASON_BYTES_MAX)).is_ok());
        assert!(check_reason(&"x".repeat(REASON_BYTES_MAX + 1)).unwrap_err().is_limit());
        let error = check_reason("a\0\n\x1b[31mred").unwrap_err();
        assert!(error.is_bad_argument() && error.to_string().contains("at byte 1"), "{error:?}");
    }
}
