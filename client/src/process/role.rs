//! Copies of this program in another role: a program that calls [`init`] first thing in `main` can be its own
//! manager, and needs no second binary.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io::stderr;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

use sys::bounded_write::{LINE_TIME_MAX, write_within};
use sys::inherited::normalize;
use sys::signals::heed_ends_of_children;

use crate::{Error, ErrorKind, Result};

/// What the first argument of a copy begins with. The name of its role follows.
const MARK: &str = "rallypoint:";

/// The role of a private manager. Its argument: the process whose end is its own.
#[cfg(feature = "embedded")]
pub(crate) const MANAGER: &str = "manager";

/// Whether `init` was called, so that a copy of this program would not run as the program itself.
static IS_INITIALIZED: AtomicBool = AtomicBool::new(false);

/// Makes this program its own manager. Call it first thing in `main`, and only there; programs with tasks call
/// `rallypoint::init` instead, which does this too.
///
/// In a process that [`Manager::start`](crate::Manager::start) started, this runs the manager and never returns. In any
/// other process it returns at once. If that was started with SIGCHLD ignored, it heeds SIGCHLD from then on.
///
/// ```no_run
/// fn main() -> client::Result<()> {
///     client::init();
///     let manager = client::Manager::start()?;
///     let stop = manager.event("stop")?;
///     stop.set()
/// }
/// ```
pub fn init() {
    init_with(|_, _| ());
}

/// Like [`init`], for a crate that adds roles: `plays` gets the name and the arguments of a copy's role, and does not
/// return if the role is one of its own.
pub fn init_with(plays: impl FnOnce(&str, &[OsString])) {
    // In a copy too, since a worker starts copies for the commands that it runs.
    IS_INITIALIZED.store(true, Ordering::Relaxed);
    // The program itself decides about its signals, but how its workers end has to show.
    let Some(role) = role() else { return heed_ends_of_children() };
    normalize();
    if let [name, arguments @ ..] = role.as_slice() {
        plays(&name.to_string_lossy(), arguments);
    }
    play(&role);
}

/// The role of this process, if it is a copy: first the role's name, then its arguments.
pub fn role() -> Option<Vec<OsString>> {
    let mut arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    let name = arguments.first()?.to_str()?.strip_prefix(MARK)?.into();
    arguments[0] = name;
    Some(arguments)
}

/// A command that starts this program in a role, with arguments. The caller sets everything else.
///
/// # Errors
///
/// If `init` was not called: the copy would run as the program itself, and start copies in its turn.
pub fn copy_of_this_program<I>(role: &str, arguments: I) -> Result<Command>
where
    I: IntoIterator<Item: AsRef<OsStr>>,
{
    if !is_initialized() {
        return Err(Error::new(
            ErrorKind::Other,
            "this program cannot start copies of itself: call `rallypoint::init` first thing in `main`",
        ));
    }
    let mut command = Command::new(sys::process::RUNNING_PROGRAM);
    if let Some(program) = std::env::args_os().next() {
        command.arg0(program);
    }
    command.arg(format!("{MARK}{role}")).args(arguments);
    Ok(command)
}

/// Whether copies of this program can be started.
pub(crate) fn is_initialized() -> bool {
    IS_INITIALIZED.load(Ordering::Relaxed)
}

/// Does what the role asks for, and ends the process.
fn play(role: &[OsString]) -> ! {
    #[cfg(feature = "embedded")]
    if let [name, parent] = role
        && name == MANAGER
    {
        serve(parent);
    }
    // This never returns to the program itself, which must not run twice.
    complain(format_args!("this program was started in a role that it does not have: {role:?}"));
    std::process::exit(2);
}

/// Says on standard error why this copy ends. If nobody can read it, the copy ends all the same.
fn complain(text: fmt::Arguments<'_>) {
    let _ = write_within(&stderr(), format!("{text}\n").as_bytes(), LINE_TIME_MAX);
}

/// Runs a private manager until somebody ends it, or the process that started it ends.
#[cfg(feature = "embedded")]
fn serve(parent: &OsStr) -> ! {
    // The path that starts copies would make all of them `exe` in lists of processes. An error affects only the name.
    sys::process::name_thread(c"manager");
    let Some(parent) = parent.to_str().and_then(|text| text.parse().ok()) else {
        complain(format_args!("manager: {parent:?} is not a process id"));
        std::process::exit(2);
    };
    match manager::serve_private(parent, protocol::Limits::default()) {
        Ok(()) => std::process::exit(0),
        Err(error) => {
            complain(format_args!("manager: {error}"));
            std::process::exit(1);
        }
    }
}
