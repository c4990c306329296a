//! Text of others in messages: as much of it as helps.

use alloc::borrow::{Cow, ToOwned};

use crate::limits::NAME_BYTES_MAX;

/// The most bytes of such a text: as many as a name has.
const SHOWN_BYTES_MAX: usize = NAME_BYTES_MAX;

/// A text that comes from elsewhere, as a message quotes it: whole if it could be a name, or else its beginning, cut
/// at a character, and an ellipsis.
///
/// ```
/// use protocol::shortened;
///
/// assert_eq!(shortened("deploy"), "deploy");
/// assert_eq!(shortened(&"x".repeat(5000)), "x".repeat(255) + "…");
/// ```
pub fn shortened(text: &str) -> Cow<'_, str> {
    match text.floor_char_boundary(SHOWN_BYTES_MAX) {
        end if end == text.len() => Cow::Borrowed(text),
        end => Cow::Owned(text[..end].to_owned() + "…"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_at_a_character_and_only_if_it_is_too_long() {
        let longest = "x".to_owned() + &"ö".repeat(SHOWN_BYTES_MAX / 2);
        assert_eq!(longest.len(), SHOWN_BYTES_MAX);
        assert_eq!(shortened(&longest), longest);
        let longer = "x".to_owned() + &longest;
        assert_eq!(shortened(&longer), longer.strip_suffix('ö').unwrap().to_owned() + "…");
    }
}
