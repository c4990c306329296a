//! Text of others in commands that a message advises: as a shell reads it.

use std::ffi::{OsStr, OsString};
use std::fmt::{self, Display, Formatter};
use std::os::unix::ffi::OsStrExt;

/// A text as one word of a shell's command line, so that a person can paste the command: in quotes if it needs some.
///
/// ```
/// use transport::shell_word;
///
/// assert_eq!(shell_word("unix:/run/manager.sock").to_string(), "unix:/run/manager.sock");
/// assert_eq!(shell_word("/my files/it's.sock").to_string(), r"'/my files/it'\''s.sock'");
/// ```
pub fn shell_word(text: impl AsRef<OsStr>) -> ShellWord {
    ShellWord(text.as_ref().to_owned())
}

/// What [`shell_word`] returns.
#[derive(Clone, Debug)]
pub struct ShellWord(OsString);

impl Display for ShellWord {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        let bytes = self.0.as_bytes();
        let is_plain =
            |byte: &u8| byte.is_ascii_alphanumeric() || b"/.-_:+,@%=".contains(byte) || *byte >= 0x80;
        match str::from_utf8(bytes) {
            Ok(text) if !text.contains(char::is_control) => {
                match bytes.iter().all(is_plain) && !text.is_empty() {
                    true => formatter.write_str(text),
                    false => write!(formatter, "'{}'", text.replace('\'', r"'\''")),
                }
            }
            _ => write_escaped(bytes, formatter),
        }
    }
}

/// Writes bytes that are no text, or would act on a terminal, in the one kind of quotes that has escapes.
fn write_escaped(bytes: &[u8], formatter: &mut Formatter<'_>) -> fmt::Result {
    formatter.write_str("$'")?;
    for &byte in bytes {
        match byte {
            b'\'' | b'\\' => write!(formatter, "\\{}", char::from(byte))?,
            b' '..=b'~' => write!(formatter, "{}", char::from(byte))?,
            // Three digits, since what follows may be one.
            _ => write!(formatter, "\\{byte:03o}")?,
        }
    }
    formatter.write_str("'")
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn a_shell_reads_a_word_as_it_was() {
        for text in [
            "a",
            "unix:/x",
            "",
            " ",
            "it's",
            "$(false)",
            "`x` \"y\" \\",
            "größe",
            "*",
            "~",
            "a=b;c&d|e#",
            "!",
        ] {
            let script = format!("printf %s {}", shell_word(text));
            let output = Command::new("sh").args(["-c", &script]).output().unwrap();
            assert_eq!(String::from_utf8(output.stdout).unwrap(), text, "{script}");
        }
    }

    #[test]
    fn what_is_no_text_or_acts_on_a_terminal_is_escaped() {
        let shown = shell_word(OsStr::from_bytes(b"/a\xff1\x1b[31m it's\\")).to_string();
        assert_eq!(shown, r"$'/a\3771\033[31m it\'s\\'");
    }
}
