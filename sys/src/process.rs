//! Processes: watching and signalling one, and what this one can ask about itself.
//!
//! A pidfd stands for one process and never for a later one with the same number. It becomes readable when the process
//! has ended, whichever processes still hold copies of its sockets.

use std::ffi::CStr;
use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ExitStatus};
use std::time::Duration;

use rustix::process::{
    Pid, PidfdFlags, Signal, geteuid, getppid, kill_process, pidfd_open, pidfd_send_signal,
    set_parent_process_death_signal,
};

use crate::poll::{Watched, is_readable_within, wait_for_any};
use crate::process_stat::ProcessStat;

/// A path that leads each process to the program that it runs. The path by which the program was started may lead to
/// another file by now.
pub const RUNNING_PROGRAM: &str = "/proc/self/exe";

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProcessExit {
    /// By itself, with this status.
    Status(i32),
    /// By this signal.
    Signal(i32),
    /// In a way that the system no longer tells.
    Unknown,
}

/// A process that runs, or ran when this was made.
#[derive(Debug)]
pub struct Process {
    /// Its number, which the system may give to another process once this one is gone.
    id: u32,
    /// Stands for it, and only for it.
    pidfd: OwnedFd,
}

impl Process {
    /// The process at the other end of a socket, whose number the kernel gave as `id`; 0 if it has none here, because
    /// it is outside of this one's PID namespace.
    ///
    /// Linux before 6.5 cannot tell the peer itself; there, this uses the number.
    ///
    /// # Errors
    ///
    /// If the process has ended and was reaped, or no descriptor is left.
    pub fn of_peer(socket: BorrowedFd<'_>, id: u32) -> io::Result<Process> {
        match peer_pidfd(socket) {
            Ok(pidfd) => Ok(Process { id, pidfd }),
            Err(error) if error.raw_os_error() == Some(libc::ENOPROTOOPT) => Process::open(id),
            Err(error) => Err(error),
        }
    }

    /// The process that has this number now.
    ///
    /// # Errors
    ///
    /// If there is none, or no descriptor is left.
    pub fn open(id: u32) -> io::Result<Process> {
        Ok(Process { id, pidfd: pidfd_open(pid(id)?, PidfdFlags::empty())? })
    }

    /// A child of this process, which must not be reaped yet.
    ///
    /// # Errors
    ///
    /// If no descriptor is left.
    pub fn of_child(child: &Child) -> io::Result<Process> {
        Process::open(child.id())
    }

    /// Its number. Once the process is reaped, another may have it.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.id
    }

    /// Whether the process has ended.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        // A look at one descriptor fails for no reason that would mean an end.
        self.has_ended_within(Duration::ZERO).unwrap_or(false)
    }

    /// Waits until the process has ended, and returns true; or false once this time is over.
    ///
    /// # Errors
    ///
    /// If the system has no memory for the wait.
    pub fn has_ended_within(&self, time: Duration) -> io::Result<bool> {
        is_readable_within(&self.pidfd, time)
    }

    /// Waits until the process has ended.
    ///
    /// # Errors
    ///
    /// If the system has no memory for the wait.
    pub fn wait_for_end(&self) -> io::Result<()> {
        wait_for_any(&mut [Watched::to_read(&self.pidfd)], None).map(drop)
    }

    /// How the process ended, or none while it runs.
    #[must_use]
    pub fn exit(&self) -> Option<ProcessExit> {
        if !self.has_ended() {
            return None;
        }
        // Until its parent fetches it, a process has its status itself; from then on the pidfd has it. The parent may
        // fetch it between the first two looks, so there is a third.
        let status = self
            .status_after_reaping()
            .or_else(|| Some(ProcessStat::of(self.id).ok().filter(|stat| stat.is_zombie)?.status))
            .or_else(|| self.status_after_reaping());
        Some(status.map_or(ProcessExit::Unknown, exit_of_status))
    }

    /// Waits until a child of this process has ended, which `self` must be, and reaps it. Returns how it ended. If the
    /// system has reaped it, because this program ignores SIGCHLD, or somebody else in this program has, Linux before
    /// 6.15 does not tell, and this returns none.
    ///
    /// # Errors
    ///
    /// If the system cannot wait.
    pub fn reap(&self, child: &mut Child) -> io::Result<Option<ExitStatus>> {
        match child.wait() {
            Err(error) if error.raw_os_error() == Some(libc::ECHILD) => {
                self.wait_for_end()?;
                Ok(self.status_after_reaping().map(ExitStatus::from_raw))
            }
            status => status.map(Some),
        }
    }

    /// Sends a signal, to this process and never to a later one of the same number.
    ///
    /// # Errors
    ///
    /// If the process has ended, or belongs to another user.
    pub fn signal(&self, signal: Signal) -> io::Result<()> {
        Ok(pidfd_send_signal(&self.pidfd, signal)?)
    }

    /// Sends a signal to every process of the group that this process leads, in one step, even if the process has
    /// ended. Linux before 6.9 sends it to this process alone.
    ///
    /// # Errors
    ///
    /// If the group has no members, or none that this user may signal.
    #[allow(unsafe_code)]
    pub fn signal_group(&self, signal: Signal) -> io::Result<()> {
        // Since Linux 6.9; libc does not know it yet.
        const PIDFD_SIGNAL_PROCESS_GROUP: libc::c_uint = 1 << 2;
        // SAFETY: the call takes numbers, and a null pointer in place of more about the signal.
        let result = unsafe {
            libc::syscall(
                libc::SYS_pidfd_send_signal,
                self.pidfd.as_raw_fd(),
                signal.as_raw(),
                std::ptr::null::<libc::siginfo_t>(),
                PIDFD_SIGNAL_PROCESS_GROUP,
            )
        };
        match result {
            0 => Ok(()),
            _ => match io::Error::last_os_error() {
                error if error.raw_os_error() == Some(libc::EINVAL) => self.signal(signal),
                error => Err(error),
            },
        }
    }

    /// The wait status of a process whose parent has fetched it. Known to Linux 6.15 and later.
    #[allow(unsafe_code)]
    fn status_after_reaping(&self) -> Option<i32> {
        // SAFETY: the structure consists of integers, for which all zeros is a value.
        let mut info: libc::pidfd_info = unsafe { std::mem::zeroed() };
        info.mask = u64::from(libc::PIDFD_INFO_EXIT);
        // SAFETY: the request's number holds the size of the structure, the kernel writes no more than that, and
        // `info` outlives the call. A kernel that does not know the request changes nothing and returns an error.
        let result = unsafe { libc::ioctl(self.pidfd.as_raw_fd(), libc::PIDFD_GET_INFO, &raw mut info) };
        let known = result == 0 && info.mask & u64::from(libc::PIDFD_INFO_EXIT) != 0;
        known.then_some(info.exit_code)
    }
}

impl AsFd for Process {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }
}

/// Asks the kernel for a pidfd of the process that connected a socket (`SO_PEERPIDFD`).
#[allow(unsafe_code)]
fn peer_pidfd(socket: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let mut descriptor: libc::c_int = -1;
    let mut bytes = size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: `descriptor` and `bytes` outlive the call, and `bytes` says how large `descriptor` is.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERPIDFD,
            (&raw mut descriptor).cast(),
            &raw mut bytes,
        )
    };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    if descriptor < 0 {
        return Err(io::Error::from(io::ErrorKind::InvalidData));
    }
    // SAFETY: the call succeeded, so the kernel opened this descriptor just now for us, and nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

/// The process at the other end of a Unix socket, as it was when it connected, listened or made the pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerCredentials {
    /// The process id; none if the process is outside of the namespace of this one.
    pub process: Option<u32>,
    /// The effective user id.
    pub user: u32,
}

/// Asks the kernel who is at the other end of a Unix socket (`SO_PEERCRED`).
///
/// # Errors
///
/// If it is another kind of socket.
#[allow(unsafe_code)]
pub fn peer_credentials(socket: BorrowedFd<'_>) -> io::Result<PeerCredentials> {
    // rustix has this call, and takes for granted that the peer has a number here.
    let mut found = libc::ucred { pid: 0, uid: 0, gid: 0 };
    let mut bytes = size_of::<libc::ucred>() as libc::socklen_t;
    // SAFETY: `found` and `bytes` outlive the call, and `bytes` says how large `found` is.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERCRED,
            (&raw mut found).cast(),
            &raw mut bytes,
        )
    };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    if found.uid == libc::uid_t::MAX {
        // A socket without a peer has credentials of nobody.
        return Err(io::ErrorKind::NotConnected.into());
    }
    Ok(PeerCredentials { process: u32::try_from(found.pid).ok().filter(|id| *id > 0), user: found.uid })
}

/// Whether a process has its numbers from the same PID namespace as this one, so that both give every process the same;
/// none if the system does not tell.
#[must_use]
pub fn shares_numbers(process: u32) -> Option<bool> {
    let namespace = |process: &str| fs::read_link(format!("/proc/{process}/ns/pid")).ok();
    Some(namespace(&process.to_string())? == namespace("self")?)
}

/// Splits a wait status into what it says: the low seven bits are a signal, or else the next byte is a status.
fn exit_of_status(status: i32) -> ProcessExit {
    match status & 0x7f {
        0 => ProcessExit::Status((status >> 8) & 0xff),
        signal => ProcessExit::Signal(signal),
    }
}

/// The number of a process as the system calls take it.
pub(crate) fn pid(id: u32) -> io::Result<Pid> {
    let number = i32::try_from(id).ok().and_then(Pid::from_raw);
    number.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))
}

/// Sends a signal to the process that has this number now. If the process may have been reaped meanwhile, use
/// [`Process::signal`].
///
/// # Errors
///
/// If there is no such process, or it belongs to another user.
pub fn signal(id: u32, signal: Signal) -> io::Result<()> {
    Ok(kill_process(pid(id)?, signal)?)
}

/// The effective user id of this process.
#[must_use]
pub fn effective_user() -> u32 {
    geteuid().as_raw()
}

/// The process id of this process's parent; none if that is outside its namespace. Another process adopts a child whose
/// parent has ended.
#[must_use]
pub fn parent() -> Option<u32> {
    getppid().map(|parent| parent.as_raw_pid().cast_unsigned())
}

/// Has the kernel send this signal to this process when the thread that started it ends. Ask for [`parent`] after it:
/// the parent may have ended before.
///
/// # Errors
///
/// If the system refuses.
pub fn signal_at_death_of_parent(signal: Signal) -> io::Result<()> {
    Ok(set_parent_process_death_signal(Some(signal))?)
}

/// The name of a process in lists of processes: that of its main thread.
///
/// # Errors
///
/// If there is no such process.
pub fn name_of(process: u32) -> io::Result<String> {
    let name = fs::read(format!("/proc/{process}/comm"))?;
    Ok(String::from_utf8_lossy(&name).trim_end_matches('\n').to_owned())
}

/// Names this thread in lists of processes and threads; the main thread's name is that of the process. The system keeps
/// at most 15 bytes. A name is only for people, so this never fails.
pub fn name_thread(name: &CStr) {
    let _ = rustix::thread::set_name(name);
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::process::{Child, Command, Stdio};

    use super::*;

    fn run(script: &str) -> (Child, Process) {
        let child = Command::new("sh").args(["-c", script]).spawn().unwrap();
        let process = Process::open(child.id()).unwrap();
        (child, process)
    }

    fn wait_for_end(process: &Process) {
        assert!(process.has_ended_within(Duration::from_secs(20)).unwrap(), "the process did not end");
    }

    #[test]
    fn an_exit_status_is_told_before_and_after_the_parent_fetches_it() {
        let (mut child, process) = run("exit 7");
        wait_for_end(&process);
        assert_eq!(process.exit(), Some(ProcessExit::Status(7)));
        child.wait().unwrap();
        let after = process.exit();
        // Kernels before 6.15 forget the status with the process.
        assert!(matches!(after, Some(ProcessExit::Status(7) | ProcessExit::Unknown)), "{after:?}");
    }

    #[test]
    fn a_signal_is_told() {
        let (mut child, process) = run("exec sleep 60");
        assert_eq!(process.exit(), None);
        child.kill().unwrap();
        wait_for_end(&process);
        assert_eq!(process.exit(), Some(ProcessExit::Signal(9)));
        assert_eq!(child.wait().unwrap().signal(), Some(9));
    }

    #[test]
    fn a_process_has_a_name() {
        let mut child = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        // Spawning returns when the kernel has given up the old program, which is before it takes the name of the new
        // one. A program that answers has its name.
        child.stdin.as_mut().unwrap().write_all(b"!").unwrap();
        child.stdout.as_mut().unwrap().read_exact(&mut [0]).unwrap();
        assert_eq!(name_of(child.id()).unwrap(), "cat");
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(name_of(child.id()).is_err());
    }

    #[test]
    fn a_child_has_numbers_like_this_process() {
        let (mut child, _) = run("exec sleep 60");
        assert_eq!(shares_numbers(child.id()), Some(true));
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(shares_numbers(0), None);
    }

    #[test]
    fn a_process_that_never_was_cannot_be_opened() {
        assert!(Process::open(0).is_err());
        assert!(Process::open(u32::MAX).is_err());
    }

    #[test]
    fn a_status_is_a_signal_or_an_exit() {
        assert_eq!(exit_of_status(0), ProcessExit::Status(0));
        assert_eq!(exit_of_status(3 << 8), ProcessExit::Status(3));
        assert_eq!(exit_of_status(9), ProcessExit::Signal(9));
        assert_eq!(exit_of_status(11 | 0x80), ProcessExit::Signal(11), "with a core dump");
    }
}
