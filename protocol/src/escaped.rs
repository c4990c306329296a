//! Text of others in messages: without the characters that would act on a terminal.

use core::fmt::{self, Display, Write};

/// A text that comes from elsewhere, such as a path, as a message shows it: control characters are escaped, so that
/// they neither act on a terminal nor begin a line of a log.
///
/// ```
/// use protocol::escaped;
///
/// assert_eq!(escaped("/tmp/größe").to_string(), "/tmp/größe");
/// assert_eq!(escaped("/tmp/\x1b[31mred\n").to_string(), r"/tmp/\u{1b}[31mred\n");
/// ```
pub fn escaped<T: Display>(text: T) -> Escaped<T> {
    Escaped { text, keeps_lines: false }
}

/// Like [`escaped`], for a text that may have several lines: line feeds and tabs stay.
pub fn escaped_lines<T: Display>(text: T) -> Escaped<T> {
    Escaped { text, keeps_lines: true }
}

/// What [`escaped`] and [`escaped_lines`] return.
#[derive(Clone, Copy, Debug)]
pub struct Escaped<T> {
    text: T,
    keeps_lines: bool,
}

impl<T: Display> Display for Escaped<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(EscapingWriter { output: formatter, keeps_lines: self.keeps_lines }, "{}", self.text)
    }
}

/// Escapes what is written through it.
struct EscapingWriter<'a, 'b> {
    output: &'a mut fmt::Formatter<'b>,
    keeps_lines: bool,
}

impl Write for EscapingWriter<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let is_escaped = |character: char| {
            character.is_control() && !(self.keeps_lines && matches!(character, '\n' | '\t'))
        };
        let mut rest = text;
        while let Some(position) = rest.find(is_escaped) {
            let (before, from) = rest.split_at(position);
            self.output.write_str(before)?;
            let mut characters = from.chars();
            if let Some(character) = characters.next() {
                write!(self.output, "{}", character.escape_debug())?;
            }
            rest = characters.as_str();
        }
        self.output.write_str(rest)
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    #[test]
    fn control_characters_are_escaped_and_nothing_else() {
        for (text, one_line, lines) in [
            ("", "", ""),
            ("größe “x” \\ '\"", "größe “x” \\ '\"", "größe “x” \\ '\""),
            ("a\nb\tc\r", r"a\nb\tc\r", "a\nb\tc\\r"),
            ("\x1b[2J\u{7f}\u{85}\0", r"\u{1b}[2J\u{7f}\u{85}\0", r"\u{1b}[2J\u{7f}\u{85}\0"),
        ] {
            assert_eq!(escaped(text).to_string(), one_line);
            assert_eq!(escaped_lines(text).to_string(), lines);
        }
    }
}
