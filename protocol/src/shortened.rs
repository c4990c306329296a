//! Text of others in messages: as much of it as helps.

use alloc::borrow::{Cow, ToOwned};

/// The most bytes of such a text.
const SHOWN_BYTES_MAX: usize = 64;

/// The beginning of a text that comes from elsewhere, such as a name, as a message quotes it: 64 bytes of it, cut at a
/// character and with an ellipsis, if it has more.
///
/// ```
/// use protocol::shortened;
///
/// assert_eq!(shortened("deploy"), "deploy");
/// assert_eq!(shortened(&"x".repeat(5000)), "x".repeat(64) + "…");
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
        let longest = "ö".repeat(SHOWN_BYTES_MAX / 2);
        assert_eq!(shortened(&longest), longest);
        let longer = "x".to_owned() + &longest;
        assert_eq!(shortened(&longer), longer.strip_suffix('ö').unwrap().to_owned() + "…");
    }
}
