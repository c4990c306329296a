//! Other processes of a measurement: programs and copies of this program that answer lines.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// The prefix of the first argument of a copy of this program.
const ROLE: &str = "role:";

/// How long a process may take to end by itself.
const END_TIME_MAX: Duration = Duration::from_secs(10);

/// A process that reads lines and answers them. It ends when its standard input does.
pub(crate) struct PeerProcess {
    process: Child,
    asks: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl PeerProcess {
    /// Starts it, and waits until it says that it is ready.
    pub(crate) fn start(command: &mut Command) -> Result<PeerProcess> {
        let program = command.get_program().display().to_string();
        let mut process = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("starting {program}"))?;
        let asks = process.stdin.take();
        let answers = BufReader::new(process.stdout.take().context("its output is a pipe")?);
        let mut peer = PeerProcess { process, asks, answers };
        match peer.hear()?.as_str() {
            "ready" => Ok(peer),
            other => bail!("{program} prints {other:?} instead of `ready`"),
        }
    }

    /// Starts a copy of this program in a role.
    pub(crate) fn copy(role: &str, arguments: &[String]) -> Result<PeerProcess> {
        PeerProcess::start(copy_of_this_program(role)?.args(arguments))
            .with_context(|| format!("in the role {role}"))
    }

    /// Sends it a line.
    pub(crate) fn say(&mut self, line: &str) -> Result<()> {
        let asks = self.asks.as_mut().context("it is open until the end")?;
        writeln!(asks, "{line}").context("a process of the benchmark has ended early")
    }

    /// Waits for its next line.
    pub(crate) fn hear(&mut self) -> Result<String> {
        let mut line = String::new();
        if self.answers.read_line(&mut line)? == 0 {
            bail!("a process of the benchmark has ended early");
        }
        Ok(line.trim().to_owned())
    }

    /// Fails if it has ended.
    pub(crate) fn check_alive(&mut self) -> Result<()> {
        match self.process.try_wait()? {
            None => Ok(()),
            Some(status) => bail!("a process of the benchmark has ended early ({status})"),
        }
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }
}

impl Drop for PeerProcess {
    fn drop(&mut self) {
        self.asks = None;
        end(&mut self.process);
    }
}

/// The command that starts a copy of this program in a role.
pub(crate) fn copy_of_this_program(role: &str) -> Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg(format!("{ROLE}{role}"));
    Ok(command)
}

/// Waits for the end of a process that was asked to end, and kills it if that takes too long.
pub(crate) fn end(process: &mut Child) {
    let deadline = Instant::now() + END_TIME_MAX;
    while Instant::now() < deadline {
        match process.try_wait() {
            Ok(None) => std::thread::sleep(Duration::from_millis(1)),
            Ok(Some(_)) | Err(_) => return,
        }
    }
    let _ = process.kill();
    let _ = process.wait();
}

/// The role that this process was started for, and its further arguments.
pub(crate) fn role() -> Option<(String, Vec<String>)> {
    let mut arguments = std::env::args().skip(1);
    let role = arguments.next()?.strip_prefix(ROLE)?.to_owned();
    Some((role, arguments.collect()))
}

/// In a role: says that it is ready.
pub(crate) fn ready() {
    println!("ready");
}

/// In a role: ends this process when its standard input ends, whatever else it is doing then.
pub(crate) fn end_with_input() {
    std::thread::spawn(|| {
        let mut line = String::new();
        while std::io::stdin().read_line(&mut line).is_ok_and(|bytes| bytes > 0) {}
        std::process::exit(0);
    });
}
