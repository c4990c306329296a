//! Reading a command line, and saying what is wrong with it.

use std::ffi::OsString;
use std::io::{Write, stderr, stdout};
use std::process::exit;

use clap::builder::StyledStr;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Error, Parser};
use protocol::{Name, escaped_lines, shortened};

use super::exit_status::ExitStatus;
use super::output::{complain, is_of_reader};

/// Parses the command line. If it is wrong, this says so and ends the process; of what is long it quotes the beginning.
pub(super) fn parse<Arguments: Parser>() -> Arguments {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    Arguments::try_parse_from(&arguments).unwrap_or_else(|mut error| {
        for kind in [ContextKind::InvalidArg, ContextKind::InvalidSubcommand, ContextKind::InvalidValue] {
            if let Some(ContextValue::String(text)) = error.get(kind) {
                let text = shortened(text).into_owned();
                error.insert(kind, ContextValue::String(text));
            }
        }
        let words: Vec<_> = arguments.iter().skip(1).map(|argument| argument.to_string_lossy()).collect();
        let words: Vec<&str> = words.iter().map(AsRef::as_ref).collect();
        if let Some(tip) = tip(&error, &words) {
            error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![StyledStr::from(tip)]));
            // A guess at another option would only compete with it.
            error.remove(ContextKind::SuggestedArg);
        }
        end(&error, Arguments::command().get_name())
    })
}

/// Prints an error of the program of this name, or the help that was asked for, and ends the process.
fn end(error: &Error, program: &str) -> ! {
    let is_harmless =
        |word: &str| !word.contains(|character: char| character.is_control() && character != '\n');
    let text = error.render().to_string();
    if !error.use_stderr() || is_harmless(&text) {
        match error.print().and_then(|()| stdout().flush()) {
            Err(failure) if !error.use_stderr() && !is_of_reader(&failure) => {
                complain(program, &format_args!("standard output cannot be written: {failure}"));
                exit(ExitStatus::Failed.number().into());
            }
            _ => exit(error.exit_code()),
        }
    }
    // Without colors, which are control characters themselves.
    let _ = stderr().write_all(escaped_lines(text).to_string().as_bytes());
    exit(error.exit_code());
}

/// What else to say about a mistake: which program an option belongs to, and where the command of `worker run` begins.
fn tip(error: &Error, words: &[&str]) -> Option<&'static str> {
    let separator = words.iter().position(|word| *word == "--").unwrap_or(words.len());
    let (before, after) = words.split_at(separator);
    let is_run = before.contains(&"run");
    let are_in = |words: &[&str], options: &[&str]| {
        words.iter().any(|word| options.contains(&word.split('=').next().unwrap_or_default()))
    };
    let is_unexpected = |options: &[&str]| match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(argument)) => are_in(&[argument], options),
        _ => false,
    };
    let is_option = matches!(
        error.get(ContextKind::InvalidArg),
        Some(ContextValue::String(argument)) if argument.starts_with('-')
    );
    match error.kind() {
        ErrorKind::UnknownArgument if !is_run && is_unexpected(&OF_RUN) => {
            Some("that is an option of `worker run`, as in `worker run --lock NAME -- COMMAND`")
        }
        ErrorKind::UnknownArgument if is_run && is_unexpected(&OF_SERVING) => {
            Some("that is an option of `worker` without `run`, as in `worker --pool NAME`")
        }
        ErrorKind::UnknownArgument | ErrorKind::MissingRequiredArgument
            if is_run && after.is_empty() && !is_option =>
        {
            Some("write `--` before the command, as in `worker run --lock NAME -- COMMAND`")
        }
        ErrorKind::MissingRequiredArgument if is_run && are_in(after, &OF_RUN) => {
            Some("the options of `worker run` come before `--`; what follows it belongs to the command")
        }
        _ => None,
    }
}

/// The options of `worker run` alone.
const OF_RUN: [&str; 3] = ["--stop", "--lock", "--grace"];

/// The options of `worker` when it serves a pool.
const OF_SERVING: [&str; 2] = ["--pool", "--processes"];

/// Parses the name of an object on the command line.
pub(super) fn parse_name(text: &str) -> Result<String, String> {
    Name::check(text).map(|()| text.to_owned()).map_err(|error| error.to_string())
}
