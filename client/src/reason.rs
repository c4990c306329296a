//! Reasons: texts of one process for the people behind others.

use protocol::limits::REASON_BYTES_MAX;

use crate::{Error, ErrorKind, Result};

/// Refuses a reason that is longer than one may be.
pub(crate) fn check_reason(reason: &str) -> Result<()> {
    let bytes = reason.len();
    if bytes > REASON_BYTES_MAX {
        let text = format!("a reason has at most {REASON_BYTES_MAX} bytes, this one has {bytes}");
        return Err(Error::new(ErrorKind::Limit, text));
    }
    Ok(())
}

/// The beginning of a text, as much as a reason may have.
pub(crate) fn shortened(text: &str) -> &str {
    &text[..text.floor_char_boundary(REASON_BYTES_MAX)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_reason_is_cut_at_a_character() {
        assert_eq!(shortened("disk full"), "disk full");
        let text = "é".repeat(REASON_BYTES_MAX);
        assert_eq!(shortened(&text).len(), REASON_BYTES_MAX);
        assert_eq!(shortened(&format!("x{text}")).len(), REASON_BYTES_MAX - 1);
    }

    #[test]
    fn a_reason_that_is_too_long_is_refused() {
        assert!(check_reason(&"x".repeat(REASON_BYTES_MAX)).is_ok());
        assert!(check_reason(&"x".repeat(REASON_BYTES_MAX + 1)).unwrap_err().is_limit());
    }
}
