//! A task that runs a program, in a process that ends with the worker.
//!
//! The kernel can be asked to kill a process with the one that started it, but only by the process itself. So the task
//! starts a copy of the worker's program, which asks for that and then becomes the program that was wanted. What it
//! has for its standard input until then is a pipe that closes at that moment; if the program can not be started, the
//! reason comes out of it first.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, ExitStatus, Stdio, exit};

use rustix::pipe::{PipeFlags, pipe_with};
use serde::{Deserialize, Serialize};

use super::COMMAND;
use crate::lifeline::{end_with_parent, take_stdin};

/// How many bytes of each output stream are kept. What a program writes beyond is read and thrown away.
pub const OUTPUT_BYTES_MAX: usize = 1 << 20;

/// The exit status of a copy that did not become the program that was wanted.
const NOT_STARTED: i32 = 127;

/// What [`command`] returns: how the program ended, or in words why it could not be started.
pub type CommandResult = Result<Captured, String>;

/// How a program ended, and what it wrote.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Captured {
    /// How it ended.
    pub exit: Exit,
    /// What it wrote to its standard output, at most the first [`OUTPUT_BYTES_MAX`] bytes.
    pub stdout: Vec<u8>,
    /// What it wrote to its standard error, at most the first [`OUTPUT_BYTES_MAX`] bytes.
    pub stderr: Vec<u8>,
}

/// How a program ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Exit {
    /// It exited with this status; 0 is success.
    Status(i32),
    /// It was ended by this signal.
    Signal(i32),
}

/// Runs a program with these arguments and an empty standard input, and waits until it has ended and closed its output.
///
/// The program is looked for on the worker's `PATH` unless it has a slash, and runs in the worker's folder and with
/// its environment. No shell is in between. When the worker ends, so does the program.
///
/// Who serves this function lets everyone run programs who can submit to the pool: all processes of the same user.
pub fn command(program: String, arguments: Vec<String>) -> CommandResult {
    run(&program, &arguments).map_err(|error| format!("{program}: {error}"))
}

fn run(program: &str, arguments: &[String]) -> io::Result<Captured> {
    let (fate, given) = pipe_with(PipeFlags::CLOEXEC)?;
    let parent = std::process::id().to_string();
    let copy_arguments = [parent.as_str(), program].into_iter().chain(arguments.iter().map(String::as_str));
    let mut child = {
        let copy = client::internal::copy_of_this_program(COMMAND, copy_arguments);
        let mut copy = copy.map_err(io::Error::other)?;
        // Our end of what it is given closes with `copy`, and then only the child's is left.
        copy.stdin(given).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?
    };
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let (fault, stdout, stderr) = std::thread::scope(|scope| {
        // Read side by side: a program that writes to one must not wait for a reader who waits at the other.
        let stderr = scope.spawn(|| capture(stderr));
        let fault = read_fault(fate);
        let stdout = capture(stdout);
        (fault, stdout, stderr.join().unwrap_or_else(|_| Err(io::Error::other("its output was not read"))))
    });
    let status = child.wait()?;
    if let Some(fault) = fault? {
        return Err(fault);
    }
    Ok(Captured { exit: status.into(), stdout: stdout?, stderr: stderr? })
}

/// Why the program could not be started, once that is known.
fn read_fault(fate: OwnedFd) -> io::Result<Option<io::Error>> {
    let mut errno = Vec::new();
    File::from(fate).read_to_end(&mut errno)?;
    Ok(errno.first_chunk().map(|errno| io::Error::from_raw_os_error(i32::from_ne_bytes(*errno))))
}

/// Reads to the end, and keeps the beginning.
fn capture(stream: Option<impl Read>) -> io::Result<Vec<u8>> {
    let mut stream = stream.ok_or_else(|| io::Error::other("it has no output"))?;
    let mut kept = Vec::new();
    (&mut stream).take(OUTPUT_BYTES_MAX as u64).read_to_end(&mut kept)?;
    io::copy(&mut stream, &mut io::sink())?;
    Ok(kept)
}

/// In a copy: becomes the program that the arguments name, and never returns.
pub(crate) fn become_command(arguments: &[OsString]) -> ! {
    let error =
        try_become(arguments).err().unwrap_or_else(|| io::Error::other("it was replaced, and still runs"));
    eprintln!("this command can not be run: {error}");
    exit(NOT_STARTED);
}

fn try_become(arguments: &[OsString]) -> io::Result<()> {
    let fate = File::from(take_stdin()?);
    let [parent, program, arguments @ ..] = arguments else {
        return Err(io::Error::other("only a worker starts commands"));
    };
    let parent = parent.to_str().and_then(|parent| parent.parse().ok());
    end_with_parent(parent.ok_or_else(|| io::Error::other("its parent is no process id"))?)?;
    // This returns only if it fails. Otherwise `fate` closes.
    let error = Command::new(program).args(arguments).exec();
    let errno = error.raw_os_error().unwrap_or_default();
    (&fate).write_all(&errno.to_ne_bytes())?;
    exit(NOT_STARTED);
}

impl From<ExitStatus> for Exit {
    fn from(status: ExitStatus) -> Exit {
        match status.signal() {
            Some(signal) => Exit::Signal(signal),
            None => Exit::Status(status.code().unwrap_or_default()),
        }
    }
}
