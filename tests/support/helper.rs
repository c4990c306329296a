//! Helpers: copies of this program that tests start, signal and kill. An attribute marks the function that a copy runs.

use std::any::type_name;
use std::env;
use std::process::{Command, ExitCode};

use client::Result;

/// A function that copies of this program run.
pub(crate) struct HelperFunction {
    /// The path of the function, as the compiler names it.
    pub(crate) path: &'static str,
    /// The function. An error is printed to standard output.
    pub(crate) run: fn() -> Result<()>,
    /// Whether further copies can be its workers and its manager, as `worker::init` lets them.
    pub(crate) has_init: bool,
}

inventory::collect!(HelperFunction);

/// Makes a helper of a function: `#[apply(helper)]`. With `#[without_init]` after it, the helper does not begin with
/// `worker::init`.
macro_rules! helper {
    ($(#[doc = $line:literal])* #[without_init] $visibility:vis fn $name:ident() -> $result:ty $body:block) => {
        $crate::support::helper! { @ false, $(#[doc = $line])* $visibility fn $name() -> $result $body }
    };
    (@ $has_init:literal, $(#[$attribute:meta])* $visibility:vis fn $name:ident() -> $result:ty $body:block) => {
        $(#[$attribute])*
        $visibility fn $name() -> $result $body

        inventory::submit! {
            $crate::support::helper::HelperFunction {
                path: concat!(module_path!(), "::", stringify!($name)),
                run: $name,
                has_init: $has_init,
            }
        }
    };
    ($(#[$attribute:meta])* $visibility:vis fn $name:ident() -> $result:ty $body:block) => {
        $crate::support::helper! { @ true, $(#[$attribute])* $visibility fn $name() -> $result $body }
    };
}

pub(crate) use helper;

/// A command that starts this program as a helper.
pub(crate) fn command(helper: impl Fn() -> Result<()>) -> Command {
    let mut command = Command::new(env::current_exe().unwrap());
    command.arg(argument(helper));
    command
}

/// The first argument of this program as a helper.
pub(crate) fn argument<H: Fn() -> Result<()>>(_helper: H) -> String {
    format!("helper:{}", type_name::<H>())
}

/// The helper that this process was started as.
pub(crate) fn asked_for() -> Option<&'static HelperFunction> {
    let argument = env::args().nth(1)?;
    let path = argument.strip_prefix("helper:")?;
    let helper = inventory::iter::<HelperFunction>().find(|helper| helper.path == path);
    Some(helper.unwrap_or_else(|| panic!("there is no helper {path}")))
}

impl HelperFunction {
    /// Runs it.
    pub(crate) fn run(&self) -> ExitCode {
        match (self.run)() {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                println!("{error}");
                ExitCode::FAILURE
            }
        }
    }
}
