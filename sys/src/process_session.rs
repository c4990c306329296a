//! Process sessions (setsid(2)): a process and everything that it starts, ended together.
//!
//! A process belongs to the session of the process that started it, until it begins a session of its own, as daemons
//! do. Process groups are parts of a session: a shell with job control and timeout(1) begin groups, but no session. So
//! whoever ends a session ends more than a group.
//!
//! The system has no call for this. So this module looks for the members in `/proc`, kills what it finds, waits for
//! that, and looks again until there is nobody. A process that a signal is about to end cannot fork, so nobody who was
//! seen once has children that are seen later. And nobody hides from a look by forking and ending all the time: a look
//! goes from lower numbers to higher ones, and a child has a higher number than its parent, unless the numbers have
//! begun anew meanwhile. Then there is another look.
//!
//! A child gets its number some time before it can be seen. So one whose number is the first after the numbers began
//! anew can appear behind a look that has begun later, while its parent ends before it. That look finds nobody. But
//! the child is there for the next one, so only two looks in turn that find nobody are the end.

use std::collections::BTreeSet;
use std::io::{self, ErrorKind};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};
use std::time::{Duration, Instant};
use std::{fs, thread};

use rustix::io::{Errno, retry_on_intr};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socketpair};
use rustix::process::{Signal, getpid, setsid};

use crate::process::Process;
use crate::process_stat::ProcessStat;

/// How long to wait for processes that were killed, before looking whether others came.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

/// How often to follow a process to its parent: more than there are levels in practice, and no more than takes a
/// millisecond.
const LEVELS_MAX: usize = 64;

/// A session, which may be over. Two sessions differ, even if the system has given the number of the first to the
/// second.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ProcessSession {
    /// The process that leads it, or has led it. The session has its number, which no other process gets while the
    /// session has members.
    leader: u32,
    /// When the leader started, in the system's ticks.
    started: u64,
}

impl ProcessSession {
    /// The session that this process leads. The process may have ended, but must not be reaped yet.
    ///
    /// # Errors
    ///
    /// If there is no such process, or it leads no session.
    pub fn led_by(leader: u32) -> io::Result<ProcessSession> {
        let stat = ProcessStat::of(leader)?;
        if stat.session != leader {
            let text = format!("process {leader} leads no process session");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        Ok(ProcessSession { leader, started: stat.started })
    }

    /// The number of the session, which is that of its leader.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.leader
    }

    /// Whether this process has started the leader, or has started a process that did, and so on. A process whose
    /// parent has ended descends from the process that adopted it.
    #[must_use]
    pub fn descends_from(&self, ancestor: u32) -> bool {
        let mut process = self.leader;
        for _ in 0..LEVELS_MAX {
            match ProcessStat::of(process) {
                Ok(stat) if stat.parent == ancestor => return true,
                Ok(stat) if stat.parent != 0 => process = stat.parent,
                _ => return false,
            }
        }
        false
    }

    /// Kills the members of the session, all but one if `spared` names it, and returns those that have not ended yet.
    /// If there are none, the session is over, and nothing of it runs any more.
    ///
    /// A member of another user may not be killed. It counts until it ends.
    ///
    /// # Errors
    ///
    /// If the system does not tell who is there.
    pub fn kill(&self, spared: Option<u32>) -> io::Result<Vec<Process>> {
        let living = kill_all(&BTreeSet::from([*self]), spared)?;
        Ok(living.into_iter().map(|(_, process)| process).collect())
    }

    /// Kills the members of the session, all but one if `spared` names it, and waits until nothing of it runs any more:
    /// as long as it takes, if one of them cannot end.
    pub fn end(&self, spared: Option<u32>) {
        loop {
            match self.kill(spared) {
                Ok(living) if living.is_empty() => return,
                Ok(living) => wait_for_all(&living, LOOK_INTERVAL),
                // As when no descriptor is left.
                Err(_) => thread::sleep(LOOK_INTERVAL),
            }
        }
    }

    /// Whether another process has the leader's number. The system gives it away only after the session's end.
    fn has_successor(&self) -> bool {
        ProcessStat::of(self.leader).is_ok_and(|stat| stat.started != self.started)
    }
}

/// Kills the members of all of these sessions, as [`ProcessSession::kill`] does, and says of which each is. This takes
/// about as long for many sessions as for one.
///
/// # Errors
///
/// If the system does not tell who is there.
pub fn kill_all(
    sessions: &BTreeSet<ProcessSession>,
    spared: Option<u32>,
) -> io::Result<Vec<(ProcessSession, Process)>> {
    until_sure(|| {
        let last = last_number()?;
        let living = look_and_kill(sessions, spared)?;
        Ok(Look { living, has_begun_anew: last_number()? < last })
    })
}

/// What one look has found.
struct Look<T> {
    living: Vec<T>,
    /// Whether the system's numbers began anew meanwhile.
    has_begun_anew: bool,
}

/// Looks until it is sure that somebody lives, or nobody.
fn until_sure<T>(mut look: impl FnMut() -> io::Result<Look<T>>) -> io::Result<Vec<T>> {
    let mut was_nobody_there = false;
    loop {
        let Look { living, has_begun_anew } = look()?;
        let is_nobody_there = living.is_empty() && !has_begun_anew;
        if !living.is_empty() && !has_begun_anew || is_nobody_there && was_nobody_there {
            return Ok(living);
        }
        was_nobody_there = is_nobody_there;
    }
}

fn look_and_kill(
    sessions: &BTreeSet<ProcessSession>,
    spared: Option<u32>,
) -> io::Result<Vec<(ProcessSession, Process)>> {
    let mut living = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let entry = entry?;
        let Some(id) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        let Some(seen) = stat_if_there(id)? else { continue };
        let first = ProcessSession { leader: seen.session, started: 0 };
        let mut candidates = sessions.range(first..).take_while(|session| session.leader == seen.session);
        let Some(session) = candidates.find(|session| !session.has_successor()) else { continue };
        if Some(id) == spared {
            continue;
        }
        let process = match Process::open(id) {
            Ok(process) => process,
            // It was reaped meanwhile.
            Err(error) if error.raw_os_error() == Some(libc::ESRCH) => continue,
            Err(error) => return Err(error),
        };
        // Asks again: the number could be another's by now, and from here on it is not.
        let stat = stat_if_there(id)?.filter(|stat| stat.session == session.leader);
        let Some(stat) = stat.filter(|_| !process.has_ended()) else { continue };
        // If it leads a group, the whole group gets the signal in one step. The only possible errors are that it has
        // ended, and that it belongs to another user.
        let _ =
            if stat.group == id { process.signal_group(Signal::KILL) } else { process.signal(Signal::KILL) };
        living.push((*session, process));
    }
    Ok(living)
}

/// The stat of a process, or none if it is gone or hidden from this user. Any other error, such as a lack of
/// descriptors, says nothing about the process: whoever took it for gone would miss one that runs.
fn stat_if_there(process: u32) -> io::Result<Option<ProcessStat>> {
    match ProcessStat::of(process) {
        Ok(stat) => Ok(Some(stat)),
        Err(error) if error.raw_os_error() == Some(libc::ESRCH) => Ok(None),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::PermissionDenied) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The number that the system gave away last.
fn last_number() -> io::Result<u32> {
    let text = fs::read_to_string("/proc/loadavg")?;
    let number = text.split_ascii_whitespace().last().and_then(|number| number.parse().ok());
    number.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))
}

/// Waits until all of these have ended, or the time is over.
fn wait_for_all(processes: &[Process], time: Duration) {
    let deadline = Instant::now() + time;
    for process in processes {
        let left = deadline.saturating_duration_since(Instant::now());
        // If this fails, the caller looks again sooner.
        if !process.has_ended_within(left).unwrap_or(false) {
            return;
        }
    }
}

/// Starts a command as the leader of a session of its own. Before the command runs, while only its process exists,
/// `admit` gets its number, on another thread; if that fails, the command never runs, and this returns the error.
///
/// # Errors
///
/// Those of [`Command::spawn`] and of `admit`.
#[allow(unsafe_code)]
pub fn spawn(command: Command, admit: impl FnOnce(u32) -> io::Result<()> + Send) -> io::Result<Child> {
    let mut command = command;
    let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
    let copy_of_ours = ours.as_raw_fd();
    let before = move || {
        setsid()?;
        // SAFETY: this is the child's copy of the descriptor, which the parent keeps open until the child has sent its
        // number, and nobody in the child uses it. While it is open, the end of the parent would not show.
        drop(unsafe { OwnedFd::from_raw_fd(copy_of_ours) });
        let number = getpid().as_raw_pid().to_ne_bytes();
        send(&theirs, &number, SendFlags::NOSIGNAL)?;
        loop {
            match recv(&theirs, &mut [0], RecvFlags::empty()) {
                Ok((_, 1..)) => return Ok(()),
                Ok(_) => return Err(io::Error::from_raw_os_error(libc::ECANCELED)),
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    };
    // SAFETY: it runs in the forked child, where other threads may have left locks taken: it makes system calls, and
    // neither allocates nor takes a lock. An error without text allocates nothing either.
    unsafe { command.pre_exec(before) };
    thread::scope(|scope| {
        let gate = scope.spawn(move || {
            let mut number = [0; 4];
            match retry_on_intr(|| recv(&ours, &mut number, RecvFlags::empty())) {
                Ok((_, 4)) => {}
                // There is no child, and `spawn` says why.
                _ => return Ok(()),
            }
            admit(i32::from_ne_bytes(number).cast_unsigned())?;
            // If the child has ended, `spawn` says so.
            let _ = send(&ours, &[1], SendFlags::NOSIGNAL);
            Ok(())
        });
        let spawned = command.spawn();
        // Otherwise the gate would wait for a child that does not exist.
        drop(command);
        match gate.join() {
            Ok(Err(refused)) => Err(refused),
            _ => spawned,
        }
    })
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::process::Stdio;

    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]).stdin(Stdio::null()).stdout(Stdio::piped());
        command
    }

    fn start(script: &str) -> (Child, ProcessSession) {
        let child = spawn(shell(script), |_| Ok(())).unwrap();
        let session = ProcessSession::led_by(child.id()).unwrap();
        (child, session)
    }

    /// Reads a number from the next line of the child's output.
    fn number(child: &mut Child) -> u32 {
        let (mut text, mut byte) = (String::new(), [0]);
        while child.stdout.as_mut().unwrap().read(&mut byte).unwrap() == 1 && byte != *b"\n" {
            text.push(byte[0].into());
        }
        text.parse().unwrap()
    }

    #[test]
    fn a_session_ends_with_all_its_groups_and_orphans() {
        // timeout(1) begins a group of its own.
        let (mut child, session) =
            start("(timeout 1000 sleep 1000 & echo $!) & wait; echo 0; exec sleep 1000");
        let process = Process::open(number(&mut child)).unwrap();
        number(&mut child);
        assert!(session.descends_from(std::process::id()) && !session.descends_from(child.id()));
        assert!(!process.has_ended());
        session.end(None);
        assert!(process.has_ended() && Process::of_child(&child).unwrap().has_ended());
        child.wait().unwrap();
        assert!(session.kill(None).unwrap().is_empty());
    }

    #[test]
    fn a_leader_can_be_spared_and_its_children_are_not() {
        let (mut child, session) = start("sleep 1000 & echo $!; wait; exec sleep 1000");
        let process = Process::open(number(&mut child)).unwrap();
        session.end(Some(child.id()));
        assert!(process.has_ended() && !Process::of_child(&child).unwrap().has_ended());
        session.end(None);
        child.wait().unwrap();
    }

    #[test]
    fn what_has_begun_a_session_of_its_own_goes_on() {
        let (mut child, session) = start("setsid sh -c 'echo $$; exec sleep 1000' & wait");
        let process = Process::open(number(&mut child)).unwrap();
        session.end(None);
        child.wait().unwrap();
        assert!(!process.has_ended());
        process.signal(Signal::KILL).unwrap();
    }

    #[test]
    fn a_command_that_is_not_admitted_never_runs() {
        let folder = std::env::temp_dir().join(format!("rallypoint-sys-{}", std::process::id()));
        fs::create_dir(&folder).unwrap();
        let mut command = shell("touch ran");
        command.current_dir(&folder);
        let refused = spawn(command, |_| Err(io::Error::other("no"))).unwrap_err();
        assert_eq!(refused.to_string(), "no");
        assert!(fs::read_dir(&folder).unwrap().next().is_none());
        fs::remove_dir(&folder).unwrap();
        let missing = spawn(Command::new("/no/such/program"), |_| Ok(())).unwrap_err();
        assert_eq!(missing.kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn one_look_finds_the_members_of_many_sessions() {
        let mut started = [start("exec sleep 1000"), start("sleep 1000 & wait"), start("exec sleep 1000")];
        let [first, second, _] = started.each_ref().map(|(_, session)| *session);
        let earlier = ProcessSession { started: first.started - 1, ..first };
        let sessions = BTreeSet::from([earlier, first, second]);
        let living = kill_all(&sessions, None).unwrap();
        assert!(living.iter().all(|(session, _)| *session == first || *session == second));
        assert!(living.iter().any(|(session, _)| *session == second));
        sessions.iter().for_each(|session| session.end(None));
        assert!(kill_all(&sessions, None).unwrap().is_empty());
        let ended = started.each_ref().map(|(child, _)| Process::of_child(child).unwrap().has_ended());
        assert_eq!(ended, [true, true, false]);
        started[2].1.end(None);
        for (child, _) in &mut started {
            child.wait().unwrap();
        }
    }

    #[test]
    fn nobody_lives_if_two_looks_in_turn_find_nobody() {
        // What each look finds, and whether the numbers began anew.
        let nobody = (0, false);
        for (looks, living) in [
            (vec![(2, false)], 2),
            (vec![nobody, nobody], 0),
            (vec![nobody, (1, false)], 1),
            (vec![(1, true), (0, true), nobody, (0, true), nobody, nobody], 0),
        ] {
            let mut looks = looks.into_iter();
            let found = until_sure(|| {
                let (living, has_begun_anew) = looks.next().expect("it was sure before");
                Ok(Look { living: vec![(); living], has_begun_anew })
            });
            assert_eq!((found.unwrap().len(), looks.len()), (living, 0));
        }
    }

    #[test]
    fn the_number_given_away_last_grows() {
        let last = last_number().unwrap();
        let mut child = Command::new("true").spawn().unwrap();
        child.wait().unwrap();
        // It could have begun anew between the two.
        assert!(last_number().unwrap() > last || child.id() < last);
    }

    #[test]
    fn a_process_that_leads_no_session_has_none() {
        let mut child = Command::new("sleep").arg("1000").spawn().unwrap();
        assert_eq!(ProcessSession::led_by(child.id()).unwrap_err().kind(), io::ErrorKind::InvalidInput);
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(ProcessSession::led_by(child.id()).is_err());
    }

    #[test]
    fn a_number_that_was_given_away_stands_for_no_one() {
        let (mut child, session) = start("exec sleep 1000");
        let earlier = ProcessSession { started: session.started - 1, ..session };
        assert!(earlier.kill(None).unwrap().is_empty());
        assert!(!Process::of_child(&child).unwrap().has_ended());
        session.end(None);
        child.wait().unwrap();
    }
}
