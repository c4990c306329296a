//! The program `manager`, which tests start, restart and connect to.

use std::path::{Path, PathBuf};
use std::process::Command;

use client::Manager;
use tempfile::TempDir;

use crate::support::{RunningProgram, private_folder};

/// The program `manager`, serving a socket in a folder of its own.
pub(crate) struct ManagerProgram {
    pub(crate) running: RunningProgram,
    pub(crate) socket: PathBuf,
    _folder: TempDir,
}

impl ManagerProgram {
    /// Starts it, and returns when it is ready.
    pub(crate) fn start() -> ManagerProgram {
        let folder = private_folder();
        // The manager makes the inner folder, as one that only this user can enter.
        let socket = folder.path().join("own/manager.sock");
        ManagerProgram { running: serve(&socket), socket, _folder: folder }
    }

    /// Kills it, if it has not ended, and starts another one at the same socket.
    pub(crate) fn restart(&mut self) {
        self.running.end();
        self.running = serve(&self.socket);
    }

    /// Connects to it.
    pub(crate) fn connect(&self) -> Manager {
        Manager::connect_to(&self.socket).unwrap()
    }
}

/// The path of a manager's socket.
pub(crate) fn socket_of(manager: &Manager) -> PathBuf {
    manager.address().to_string().strip_prefix("unix:").expect("it has a socket").into()
}

/// Starts a manager at this socket, and returns when it is ready.
pub(crate) fn serve(socket: &Path) -> RunningProgram {
    serve_by(&mut Command::new(env!("CARGO_BIN_EXE_manager")), socket)
}

/// Starts a manager at this socket by a command that passes its arguments on, and returns when it is ready.
pub(crate) fn serve_by(command: &mut Command, socket: &Path) -> RunningProgram {
    let mut running = RunningProgram::start(command.arg("--socket").arg(socket));
    assert_eq!(running.line(), format!("manager is ready at unix:{}", socket.display()));
    running
}
