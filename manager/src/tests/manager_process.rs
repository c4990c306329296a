//! A manager in a process of its own, as anybody would start it.

use std::path::{Path, PathBuf};

use protocol::Refusal;
use tempfile::TempDir;

use super::helper::HelperProcess;
use super::raw_client::RawClient;
use super::running_manager::private_folder;

/// A manager in a process of its own.
pub(super) struct ManagerProcess {
    folder: TempDir,
    socket: PathBuf,
    process: HelperProcess,
}

impl ManagerProcess {
    /// One that anybody could have started.
    pub(super) fn start() -> ManagerProcess {
        ManagerProcess::start_as("manager")
    }

    /// One that is the helper of this name.
    pub(super) fn start_as(name: &str) -> ManagerProcess {
        let folder = private_folder();
        let socket = folder.path().join("manager.sock");
        let mut process = HelperProcess::start(name, &socket);
        process.wait_for("manager is ready at ");
        ManagerProcess { folder, socket, process }
    }

    /// Its process id.
    pub(super) fn process(&self) -> u32 {
        self.process.child.id()
    }

    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(super) fn socket(&self) -> &Path {
        &self.socket
    }

    /// A connection that has said nothing yet.
    pub(super) fn connect(&self) -> RawClient {
        RawClient::connect(&self.socket)
    }

    /// A connection with a session.
    pub(super) fn session(&self) -> RawClient {
        let mut peer = self.connect();
        peer.begin_session();
        peer
    }

    /// What a connection is refused with when it sends these bytes first.
    pub(super) fn greeting_after(&self, bytes: &[u8]) -> Refusal {
        let mut peer = self.connect();
        peer.send_bytes(bytes);
        peer.refused_greeting()
    }
}
