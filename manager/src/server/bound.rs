//! Process sessions that are bound to sessions: a session ends only when they are over.
//!
//! A killed client is seen to be dead before the processes that it has started are. So that these do not run beside the
//! next holder of its lock, the client binds them to its session first. When its process or its connection has ended,
//! the core hears that the session is ending, and keeps what it holds. Meanwhile a thread kills the bound processes and
//! waits until the last of them is gone. Then the core hears of the session's end.
//!
//! It has to be a thread, since looking for the members of a process session takes some milliseconds on a large
//! machine. There is one for the manager, from the first binding on.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SendError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use manager_core::{Input, SessionEnd};
use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use protocol::limits::BOUND_PROCESSES_MAX;
use protocol::{Code, Refusal, SessionId};
use sys::process::{Process, shares_numbers};
use sys::process_session::{ProcessSession, kill_all};
use sys::wake::WakeDescriptor;

/// The token with which the event loop learns that bound processes are gone.
pub(crate) const BOUND_ENDED: Token = Token(usize::MAX - 5);

/// How long to wait before asking again whether processes that were killed have ended. It doubles each time.
const PAUSE_MIN: Duration = Duration::from_micros(250);
const PAUSE_MAX: Duration = Duration::from_millis(100);

/// How often to look for processes that came after the others were killed.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// How many members of a process session to watch until they have ended.
const WATCHED_MAX: usize = 64;

/// How long a manager that ends waits for processes that were killed.
const LAST_TIME_MAX: Duration = Duration::from_secs(1);

/// What a client hears whose processes have other numbers here.
const OF_ANOTHER_NAMESPACE: &str = "the manager cannot end the processes of this client with it: the two are in \
    different PID namespaces, as in two containers; start them in one, as by `docker run --pid`";

/// The process sessions that are bound to sessions.
#[derive(Debug, Default)]
pub(super) struct BoundProcesses {
    /// Those of each session that has some, and goes on.
    sessions: HashMap<SessionId, Vec<ProcessSession>>,
    /// How each session ended that waits for the end of what is bound to it, and what that is.
    ending: HashMap<SessionId, (SessionEnd, Vec<ProcessSession>)>,
    /// What ends them, once there was a binding.
    ender: Option<EndingThread>,
}

/// The thread that ends bound processes, as the event loop sees it. Dropping this ends the thread.
#[derive(Debug)]
struct EndingThread {
    /// Takes what is to be ended, and for which session.
    orders: Sender<EndOrder>,
    /// Brings the sessions of which nothing is left.
    ended: Receiver<SessionId>,
    /// Becomes readable when there are some.
    wake: Arc<WakeDescriptor>,
}

/// What is to be ended, and for which session.
#[derive(Debug)]
struct EndOrder {
    session: SessionId,
    bound: Vec<ProcessSession>,
}

impl BoundProcesses {
    /// Binds a process session to a session of this client.
    pub(super) fn bind(
        &mut self,
        session: SessionId,
        leader: u32,
        client: Option<u32>,
        registry: &Registry,
    ) -> Result<(), Refusal> {
        let bound = find(leader, client)?;
        if self.ender.is_none() {
            let ender = EndingThread::start(registry).map_err(|error| {
                Refusal::new(Code::LimitReached, format!("the manager cannot watch processes: {error}"))
            })?;
            self.ender = Some(ender);
        }
        let all = self.sessions.entry(session).or_default();
        if all.len() >= BOUND_PROCESSES_MAX {
            let text =
                format!("{} process sessions are bound to this session, which is the limit", all.len());
            return Err(Refusal::new(Code::LimitReached, text));
        }
        all.push(bound);
        Ok(())
    }

    /// Ends a binding, if there is one.
    pub(super) fn unbind(&mut self, session: SessionId, leader: u32) {
        if let Some(all) = self.sessions.get_mut(&session) {
            if let Some(position) = all.iter().position(|bound| bound.id() == leader) {
                all.remove(position);
            }
            if all.is_empty() {
                self.sessions.remove(&session);
            }
        }
    }

    /// If processes are bound to a session that ends, has them ended first, and returns what to tell the core now.
    pub(super) fn end(&mut self, session: SessionId, ending: &SessionEnd) -> Option<Input<'static>> {
        let bound = self.sessions.remove(&session)?;
        let ender = self.ender.as_ref()?;
        let leaders = bound.iter().map(ProcessSession::id).collect();
        if let Err(SendError(order)) = ender.orders.send(EndOrder { session, bound: bound.clone() }) {
            log::error!("nobody ends processes any more; those bound to session {session} are ended at once");
            end_now(&order.bound.into_iter().collect());
            return None;
        }
        self.ending.insert(session, (ending.clone(), bound));
        Some(Input::SessionEnding { session, ending: ending.clone(), bound: leaders })
    }

    /// The sessions of which nothing is left since the last call, and how they ended.
    pub(super) fn take_ended(&mut self) -> Vec<(SessionId, SessionEnd)> {
        let Some(ender) = &self.ender else { return Vec::new() };
        // The wake first: if it is readable again, there is more.
        ender.wake.take();
        let ended = ender.ended.try_iter();
        ended.filter_map(|session| Some((session, self.ending.remove(&session)?.0))).collect()
    }

    /// When the manager ends: kills what is bound to sessions that are ending or dead, and waits a little until nothing
    /// of it is left.
    pub(super) fn end_at_once(&mut self, mut is_dead: impl FnMut(SessionId) -> bool) {
        let dead = self.sessions.drain().filter(|(session, _)| is_dead(*session)).map(|(_, bound)| bound);
        let ending = self.ending.drain().map(|(_, (_, bound))| bound);
        end_now(&dead.chain(ending).flatten().collect());
    }
}

/// Kills what is there, and waits a little until nothing of it is left.
fn end_now(bound: &BTreeSet<ProcessSession>) {
    if bound.is_empty() {
        return;
    }
    let began = Instant::now();
    let mut pause = PAUSE_MIN;
    while !matches!(kill_all(bound, None), Ok(living) if living.is_empty()) {
        if began.elapsed() >= LAST_TIME_MAX {
            return log::warn!("processes that were bound to sessions go on");
        }
        thread::sleep(pause);
        pause = PAUSE_MAX.min(2 * pause);
    }
}

/// The process session that this process leads, which has to descend from the client.
fn find(leader: u32, client: Option<u32>) -> Result<ProcessSession, Refusal> {
    let refused = |text: String| Refusal::new(Code::BadArgument, text);
    let Some(client) = client.filter(|&client| shares_numbers(client) != Some(false)) else {
        return Err(refused(OF_ANOTHER_NAMESPACE.to_owned()));
    };
    let bound = ProcessSession::led_by(leader)
        .map_err(|error| refused(format!("process {leader} cannot be bound to a session: {error}")))?;
    if bound.descends_from(client) {
        return Ok(bound);
    }
    Err(refused(format!("process {leader} does not descend from the client, which is process {client}")))
}

impl EndingThread {
    fn start(registry: &Registry) -> io::Result<EndingThread> {
        let wake = Arc::new(WakeDescriptor::new()?);
        let descriptor = wake.as_fd().as_raw_fd();
        registry.register(&mut SourceFd(&descriptor), BOUND_ENDED, Interest::READABLE)?;
        let waker = Arc::clone(&wake);
        let (orders, incoming) = channel();
        let (report, ended) = channel();
        thread::Builder::new().name("bound".to_owned()).spawn(move || {
            end_all(&incoming, |session| {
                let _ = report.send(session);
                waker.wake();
            });
        })?;
        Ok(EndingThread { orders, ended, wake })
    }
}

/// The thread: ends what it is told to, and reports each session of which nothing is left, until nobody gives orders.
fn end_all(orders: &Receiver<EndOrder>, mut report: impl FnMut(SessionId)) {
    let mut under_way = EndsUnderWay::default();
    let mut pause = PAUSE_MIN;
    loop {
        let order = if under_way.orders.is_empty() {
            orders.recv().map_err(RecvTimeoutError::from)
        } else {
            orders.recv_timeout(pause)
        };
        pause = match order {
            Ok(order) => {
                // Those that came meanwhile need no look of their own.
                under_way.begin(order);
                orders.try_iter().for_each(|order| under_way.begin(order));
                PAUSE_MIN
            }
            Err(RecvTimeoutError::Timeout) => PAUSE_MAX.min(2 * pause),
            Err(RecvTimeoutError::Disconnected) => return,
        };
        under_way.advance(&mut report);
    }
}

/// What is being ended.
#[derive(Debug, Default)]
struct EndsUnderWay {
    orders: Vec<EndOrder>,
    /// What may still have members, whether one order names it or several.
    bound: BTreeMap<ProcessSession, KilledMembers>,
}

/// The members of a process session that were killed.
#[derive(Debug, Default)]
struct KilledMembers {
    /// Those that have not ended.
    living: Vec<Process>,
    /// When the members were looked for.
    looked: Option<Instant>,
}

impl EndsUnderWay {
    fn begin(&mut self, order: EndOrder) {
        for bound in &order.bound {
            self.bound.entry(*bound).or_default();
        }
        self.orders.push(order);
    }

    /// Kills whoever is there, and reports the sessions of which nothing is left.
    fn advance(&mut self, report: &mut impl FnMut(SessionId)) {
        let is_late = |looked: Instant| looked.elapsed() >= LOOK_INTERVAL;
        let mut to_look = BTreeSet::new();
        for (bound, members) in &mut self.bound {
            members.living.retain(|process| !process.has_ended());
            if members.living.is_empty() || members.looked.is_none_or(is_late) {
                to_look.insert(*bound);
            }
        }
        if to_look.is_empty() {
            return;
        }
        match kill_all(&to_look, None) {
            Ok(living) => {
                for bound in &to_look {
                    let looked = Some(Instant::now());
                    self.bound.insert(*bound, KilledMembers { living: Vec::new(), looked });
                }
                for (bound, process) in living {
                    let watched = &mut self.bound.entry(bound).or_default().living;
                    // Each takes a descriptor. When all of these have ended, the next look finds the others.
                    if watched.len() < WATCHED_MAX {
                        watched.push(process);
                    }
                }
                self.bound.retain(|_, members| !members.living.is_empty());
            }
            Err(error) => log::warn!("the members of process sessions are not known: {error}"),
        }
        let bound = &self.bound;
        self.orders.retain(|order| {
            let is_over = order.bound.iter().all(|of_it| !bound.contains_key(of_it));
            if is_over {
                report(order.session);
            }
            !is_over
        });
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn a_session_is_reported_when_nothing_of_it_is_left() {
        let start = || {
            let mut command = Command::new("sh");
            command.args(["-c", "sleep 1000 & timeout 1000 sleep 1000 & wait"]);
            sys::process_session::spawn(command, |_| Ok(())).unwrap()
        };
        let children = [start(), start()];
        let bound: Vec<ProcessSession> =
            children.iter().map(|child| ProcessSession::led_by(child.id()).unwrap()).collect();
        let (orders, incoming) = channel();
        let (report, ended) = channel();
        let thread = thread::spawn(move || end_all(&incoming, |session| report.send(session).unwrap()));
        orders.send(EndOrder { session: SessionId(7), bound: bound.clone() }).unwrap();
        orders.send(EndOrder { session: SessionId(8), bound: vec![bound[0]; 1_000] }).unwrap();
        let mut reported = [ended.recv().unwrap(), ended.recv().unwrap()];
        reported.sort_unstable();
        assert_eq!(reported, [SessionId(7), SessionId(8)]);
        for (child, bound) in children.iter().zip(bound) {
            assert!(Process::of_child(child).unwrap().has_ended());
            assert!(bound.kill(None).unwrap().is_empty());
        }
        for mut child in children {
            child.wait().unwrap();
        }
        drop(orders);
        thread.join().unwrap();
    }

    #[test]
    fn a_manager_that_ends_ends_what_is_bound_to_the_dead() {
        let start = || {
            let mut command = Command::new("sh");
            command.args(["-c", "sleep 1000 & wait"]);
            sys::process_session::spawn(command, |_| Ok(())).unwrap()
        };
        let mut children = [start(), start(), start()];
        let mut bound = BoundProcesses::default();
        let [dead, ending, alive] =
            children.each_ref().map(|child| vec![ProcessSession::led_by(child.id()).unwrap()]);
        bound.sessions.insert(SessionId(1), dead);
        bound.ending.insert(SessionId(2), (SessionEnd::Goodbye, ending));
        bound.sessions.insert(SessionId(3), alive.clone());
        bound.end_at_once(|session| session == SessionId(1));
        let ended = children.each_ref().map(|child| Process::of_child(child).unwrap().has_ended());
        assert_eq!(ended, [true, true, false]);
        alive[0].end(None);
        for child in &mut children {
            child.wait().unwrap();
        }
    }

    #[test]
    fn only_leaders_that_descend_from_the_client_are_bound() {
        let child = sys::process_session::spawn(
            {
                let mut command = Command::new("sleep");
                command.arg("1000");
                command
            },
            |_| Ok(()),
        );
        let mut child = child.unwrap();
        let here = std::process::id();
        assert!(find(child.id(), Some(here)).is_ok());
        for (leader, client, expected) in [
            (child.id(), None, "different PID namespaces"),
            (child.id(), Some(child.id()), "does not descend"),
            (u32::MAX, Some(here), "cannot be bound"),
        ] {
            let refusal = find(leader, client).unwrap_err();
            assert!(refusal.code == Code::BadArgument && refusal.text.contains(expected), "{refusal}");
        }
        for other in [0, 1, here] {
            assert_eq!(find(other, Some(here)).unwrap_err().code, Code::BadArgument, "{other}");
        }
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
