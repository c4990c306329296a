//! A manager that runs in a thread, in a folder of its own.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;
use std::time::Duration;

use protocol::{Epoch, Limits};
use tempfile::TempDir;

use super::raw_client::RawClient;
use crate::server::Timeouts;
use crate::{Address, Error, EventLoop, ManagerOptions, Stopper};

/// A running manager.
pub(super) struct RunningManager {
    /// Which life of a manager it is.
    pub(super) epoch: Epoch,
    socket: PathBuf,
    stopper: Stopper,
    /// Where the system tells about its thread.
    thread_folder: PathBuf,
    thread: Option<JoinHandle<Result<(), Error>>>,
    _folder: TempDir,
}

impl RunningManager {
    /// A manager with the usual limits and timeouts.
    pub(super) fn start() -> RunningManager {
        RunningManager::start_with(Limits::default(), Timeouts::default())
    }

    pub(super) fn start_with(limits: Limits, timeouts: Timeouts) -> RunningManager {
        let folder = private_folder();
        let socket = folder.path().join("manager.sock");
        let mut manager = EventLoop::bind(ManagerOptions {
            limits,
            ..ManagerOptions::new(Address::unix(&socket).unwrap())
        })
        .unwrap();
        *manager.timeouts() = timeouts;
        let (epoch, stopper) = (manager.epoch(), manager.stopper());
        let (tell, told) = std::sync::mpsc::channel();
        let thread = Some(std::thread::spawn(move || {
            tell.send(std::fs::read_link("/proc/thread-self").unwrap()).unwrap();
            manager.run()
        }));
        let thread_folder = Path::new("/proc").join(told.recv().unwrap());
        RunningManager { epoch, socket, stopper, thread_folder, thread, _folder: folder }
    }

    /// How long its thread has run so far, whatever else the machine does.
    pub(super) fn busy_time(&self) -> Duration {
        const TICK_MS: u64 = 10;
        let status = std::fs::read_to_string(self.thread_folder.join("stat")).unwrap();
        // The name of the thread, in brackets, may have spaces. After it, user and system time are the 12th and 13th.
        let (_, fields) = status.rsplit_once(')').unwrap();
        let ticks: u64 =
            fields.split_whitespace().skip(11).take(2).map(|field| field.parse::<u64>().unwrap()).sum();
        Duration::from_millis(ticks * TICK_MS)
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
