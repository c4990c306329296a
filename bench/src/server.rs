//! Runs the program `manager` for a measurement.

use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, ensure};
use client::Manager;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::peer;
use crate::settings::Settings;

/// A manager process, which ends with this.
pub(crate) struct MeasuredManager {
    process: Child,
    socket: PathBuf,
    /// The folder of the socket, which only this user can enter.
    _folder: TempDir,
}

impl MeasuredManager {
    /// Starts one on the cores that this thread may use.
    pub(crate) fn start(settings: &Settings) -> Result<MeasuredManager> {
        let only_mine = Permissions::from_mode(0o700);
        let folder = tempfile::Builder::new().prefix("bench").permissions(only_mine).tempdir()?;
        let socket = folder.path().join("manager.sock");
        let mut process = Command::new(&settings.manager)
            .arg("--socket")
            .arg(&socket)
            .args(["--parent", &std::process::id().to_string()])
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("starting {}", settings.manager.display()))?;
        let output = process.stdout.take().context("its output is a pipe")?;
        let server = MeasuredManager { process, socket, _folder: folder };
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line)?;
        ensure!(line.contains("ready"), "the manager does not become ready");
        Ok(server)
    }

    /// A connection of this process to it.
    pub(crate) fn connect(&self) -> Result<Manager> {
        Ok(Manager::connect_to(&self.socket)?)
    }

    /// The path of its socket.
    pub(crate) fn socket(&self) -> &Path {
        &self.socket
    }

    /// The same, for the arguments of a process.
    pub(crate) fn socket_text(&self) -> String {
        self.socket.display().to_string()
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    /// The resident memory, in bytes.
    pub(crate) fn resident_bytes(&self) -> Result<f64> {
        let path = format!("/proc/{}/smaps_rollup", self.id());
        let text = fs::read_to_string(&path).with_context(|| format!("reading {path}"))?;
        let line = text.lines().find_map(|line| line.strip_prefix("Rss:")).context("it has memory")?;
        let kibibytes: f64 = line.trim().trim_end_matches(" kB").parse()?;
        Ok(kibibytes * 1024.0)
    }
}

impl Drop for MeasuredManager {
    fn drop(&mut self) {
        // It is a child that was not reaped, so its number is no other process's.
        let _ = kill_process(Pid::from_child(&self.process), Signal::TERM);
        peer::end(&mut self.process);
    }
}
