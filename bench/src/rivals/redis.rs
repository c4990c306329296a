//! Redis, as a private server on a Unix socket, with nothing on disk.

use std::ffi::OsString;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Signal, getppid, kill_process, set_parent_process_death_signal};
use tempfile::TempDir;

use crate::generator::LoadProtocol;
use crate::peer;

/// How long it may take to start.
const START_TIME_MAX: Duration = Duration::from_secs(10);

/// `GET event`, for a key whose value is as long as a flag.
const GET: &[u8] = b"*2\r\n$3\r\nGET\r\n$5\r\nevent\r\n";

/// The answer.
const VALUE: &[u8] = b"$1\r\n0\r\n";

/// A server, which ends with this.
pub(crate) struct Redis {
    process: Child,
    socket: PathBuf,
    /// The folder of the socket.
    _folder: TempDir,
}

impl Redis {
    /// Starts one on the cores that this thread may use.
    pub(crate) fn start() -> Result<Redis> {
        let folder = tempfile::tempdir()?;
        let socket = folder.path().join("redis.sock");
        let version = Command::new("redis-server").arg("--version").stdout(Stdio::null()).status();
        version.context("starting redis-server")?;
        let process = peer::copy_of_this_program("ends-with-parent")?
            .args(["redis-server", "--port", "0", "--save", "", "--appendonly", "no", "--unixsocket"])
            .arg(&socket)
            .arg("--dir")
            .arg(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()?;
        let redis = Redis { process, socket, _folder: folder };
        let deadline = Instant::now() + START_TIME_MAX;
        while UnixStream::connect(&redis.socket).is_err() {
            ensure!(Instant::now() < deadline, "redis-server does not serve its socket");
            std::thread::sleep(Duration::from_millis(1));
        }
        redis.connect()?.set()?;
        Ok(redis)
    }

    /// A connection.
    pub(crate) fn connect(&self) -> Result<RedisConnection> {
        Ok(RedisConnection(UnixStream::connect(&self.socket)?))
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        // It is a child that was not reaped, so its number is no other process's.
        let _ = kill_process(Pid::from_child(&self.process), Signal::TERM);
        peer::end(&mut self.process);
    }
}

/// In a role: becomes another program that ends when its parent does.
pub(crate) fn become_program_that_ends_with_parent(arguments: &[String]) -> Result<()> {
    let parent = getppid();
    set_parent_process_death_signal(Some(Signal::KILL))?;
    ensure!(getppid() == parent, "the parent has ended already");
    let arguments: Vec<OsString> = arguments.iter().map(OsString::from).collect();
    let (program, arguments) = arguments.split_first().context("a program is needed")?;
    Err(Command::new(program).args(arguments).exec().into())
}

/// A connection to a server.
pub(crate) struct RedisConnection(UnixStream);

impl RedisConnection {
    fn set(&mut self) -> Result<()> {
        self.0.write_all(b"*3\r\n$3\r\nSET\r\n$5\r\nevent\r\n$1\r\n0\r\n")?;
        let mut answer = [0; 5];
        self.0.read_exact(&mut answer)?;
        ensure!(&answer == b"+OK\r\n", "Redis has not set the key");
        Ok(())
    }

    /// One `GET`.
    pub(crate) fn get(&mut self) -> Result<()> {
        self.0.write_all(GET)?;
        let mut answer = [0; VALUE.len()];
        self.0.read_exact(&mut answer)?;
        ensure!(answer == VALUE, "Redis does not get");
        Ok(())
    }

    /// The socket, for a load generator.
    pub(crate) fn into_socket(self) -> UnixStream {
        self.0
    }
}

/// How a client asks Redis, again and again.
pub(crate) struct Get;

impl LoadProtocol for Get {
    fn ask(&mut self, output: &mut Vec<u8>) -> Result<()> {
        output.extend_from_slice(GET);
        Ok(())
    }

    fn take_answers(&mut self, input: &[u8]) -> Result<(usize, usize)> {
        let answers = input.chunks_exact(VALUE.len());
        let count = answers.len();
        for answer in answers {
            ensure!(answer == VALUE, "Redis does not get");
        }
        Ok((count, count * VALUE.len()))
    }
}
