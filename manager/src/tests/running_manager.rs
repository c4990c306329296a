//! A manager that runs in a thread, in a folder of its own.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;

use protocol::{Epoch, Limits};
use tempfile::TempDir;

use super::raw_client::RawClient;
use crate::server::Patience;
use crate::{Address, Error, EventLoop, ManagerOptions, Stopper};

/// A running manager.
pub(super) struct RunningManager {
    /// Which life of a manager it is.
    pub(super) epoch: Epoch,
    socket: PathBuf,
    stopper: Stopper,
    thread: Option<JoinHandle<Result<(), Error>>>,
    _folder: TempDir,
}

impl RunningManager {
    /// A manager with the usual limits and patience.
    pub(super) fn start() -> RunningManager {
        RunningManager::start_with(Limits::default(), Patience::default())
    }

    pub(super) fn start_with(limits: Limits, patience: Patience) -> RunningManager {
        let folder = private_folder();
        let socket = folder.path().join("manager.sock");
        let mut manager = EventLoop::bind(ManagerOptions {
            limits,
            ..ManagerOptions::new(Address::unix(&socket).unwrap())
        })
        .unwrap();
        *manager.patience() = patience;
        let (epoch, stopper) = (manager.epoch(), manager.stopper());
        let thread = Some(std::thread::spawn(move || manager.run()));
        RunningManager { epoch, socket, stopper, thread, _folder: folder }
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
}

impl Drop for RunningManager {
    fn drop(&mut self) {
        self.stopper.stop();
        let ended = self.thread.take().expect("it is taken only here").join();
        if !std::thread::panicking() {
            ended.expect("the manager must not panic").expect("the manager ends in order");
            assert!(!self.socket.exists(), "the socket is removed at the end");
        }
    }
}

/// A folder that only this user can enter.
pub(super) fn private_folder() -> TempDir {
    tempfile::Builder::new().permissions(Permissions::from_mode(0o700)).tempdir().unwrap()
}
