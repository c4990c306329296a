//! The event loop: one thread that waits for whatever comes first, and never for one peer.
//!
//! One turn is one wait, then the work for everything that is ready. Readiness is edge-triggered: the system reports it
//! once, so the loop reads a connection until there is no more, or leaves the rest for the next turn.

use std::hint;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use manager_core::Time;
use mio::event::Event;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token, Waker};
use protocol::Epoch;
use rustix::io::Errno;
use sys::limits::explained;
use sys::process::Process;
use transport::{Address, Listener};
use uuid::Uuid;

use super::Server;
use super::bound::BOUND_ENDED;
use super::busy_poll::{POLL_TIME, PollOutcome};
use super::clock::{Clock, nanoseconds};
use super::poll_source::PollSource;
use super::signals::EndSignals;
use crate::{Error, ManagerOptions, listen};

/// The tokens that do not belong to a connection; the slots of connections count from 0 and never come near.
const LISTENER: Token = Token(usize::MAX - 1);
const SIGNALS: Token = Token(usize::MAX - 2);
const PARENT: Token = Token(usize::MAX - 3);
const STOPPER: Token = Token(usize::MAX - 4);

/// The most readiness events that one wait brings. The others come with the next.
const EVENTS_MAX: usize = 256;

/// The most connections to accept in one turn, so that a flood of them does not hold up the others.
const ACCEPTS_PER_TURN_MAX: usize = 64;

/// How many descriptors must be left when everything else is open: for two clients, the mirror, and what ends bound
/// processes.
const DESCRIPTORS_LEFT_MIN: usize = 6;

/// How long to wait, when no descriptor is left, before accepting a connection again.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A manager that is bound to its address and not running yet: clients can connect, and wait until it runs.
///
/// ```no_run
/// use manager::{Address, EventLoop, ManagerOptions};
///
/// let address: Address = "unix:/run/user/1000/rallypoint/manager.sock".parse()?;
/// let manager = EventLoop::bind(ManagerOptions::new(address))?;
/// println!("serving {}", manager.address());
/// manager.run()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct EventLoop {
    /// Where clients arrive; declared first, so that clients that lose their connection at the end find nobody to
    /// connect to again.
    listener: Box<dyn Listener>,
    /// What waits.
    poll: Poll,
    /// The clock.
    clock: Clock,
    /// All connections, and the core behind them.
    server: Server,
    /// When to accept connections.
    accepting: Accepting,
    /// Whether the last attempt to accept failed, so that a series of failures is logged once.
    accept_fails: bool,
    /// Whether the manager should end.
    has_ended: bool,
    /// The process with which this manager ends.
    parent: Option<Process>,
    /// The signals that end it.
    _signals: EndSignals,
    /// What ends it from another thread.
    stopper: Stopper,
}

/// When to accept connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Accepting {
    /// When one is reported.
    WhenReported,
    /// In this turn.
    Now,
    /// Not before this moment, or before another connection was closed.
    NotBefore(Time),
}

/// Ends a running manager from another thread. Clones end the same one.
#[derive(Clone, Debug)]
pub struct Stopper {
    /// Wakes the loop, which takes this as its end.
    waker: Arc<Waker>,
}

impl Stopper {
    /// Makes [`EventLoop::run`] return, at the end of the turn it is in. May be called more than once, and before
    /// the manager runs or after it ended.
    pub fn stop(&self) {
        if let Err(error) = self.waker.wake() {
            log::error!("cannot wake the event loop: {error}");
        }
    }
}

impl EventLoop {
    /// Listens at the address. If that is a socket, its folder is checked and its lock is taken first.
    ///
    /// From here on SIGHUP, SIGINT, SIGQUIT and SIGTERM end the manager in order rather than the process at once. The
    /// first three stay ignored if they were. SIGUSR1, SIGUSR2, SIGALRM and others that mean nothing here do nothing.
    ///
    /// # Errors
    ///
    /// If the folder is not safe, another manager serves this address, or the system refuses what a manager needs, such
    /// as descriptors for some clients.
    pub fn bind(options: ManagerOptions) -> Result<EventLoop, Error> {
        let signals = EndSignals::install().map_err(Error::system("handle signals"))?;
        // Only the parent knows this address, and no other manager will serve it.
        let is_private = options.parent.is_some();
        let listener = listen::bind(&options.address, is_private)?;
        let poll = Poll::new().map_err(Error::system("wait for events"))?;
        let parent = options.parent.map(watch_parent).transpose()?;
        let parent_has_ended = matches!(parent, Some(None));
        let parent = parent.flatten();

        watch(&poll, signals.as_fd(), SIGNALS)?;
        watch(&poll, listener.as_fd(), LISTENER)?;
        if let Some(parent) = &parent {
            watch(&poll, parent.as_fd(), PARENT)?;
        }
        let waker = Waker::new(poll.registry(), STOPPER).map_err(Error::system("wake the event loop"))?;
        let registry = poll.registry().try_clone().map_err(Error::system("wait for events"))?;
        check_descriptors(listener.as_fd())?;

        Ok(EventLoop {
            listener,
            poll,
            clock: Clock::new(),
            server: Server::new(Epoch(Uuid::new_v4()), options.limits, registry),
            accepting: Accepting::WhenReported,
            accept_fails: false,
            has_ended: parent_has_ended,
            parent,
            _signals: signals,
            stopper: Stopper { waker: Arc::new(waker) },
        })
    }

    /// Where clients find this manager.
    pub fn address(&self) -> &Address {
        self.listener.address()
    }

    /// Which life of a manager this is.
    pub fn epoch(&self) -> Epoch {
        self.server.epoch()
    }

    /// What ends this manager from another thread.
    pub fn stopper(&self) -> Stopper {
        self.stopper.clone()
    }

    /// How long it waits for peers, for tests that cannot wait so long.
    #[cfg(test)]
    pub(crate) fn timeouts(&mut self) -> &mut super::Timeouts {
        &mut self.server.timeouts
    }

    /// Whose processes it serves, for tests that cannot be another user.
    #[cfg(test)]
    pub(crate) fn user(&mut self) -> &mut u32 {
        &mut self.server.user
    }

    /// Serves clients until SIGHUP, SIGINT, SIGQUIT or SIGTERM arrives, the parent process ends, or the [`Stopper`] is
    /// used.
    ///
    /// At the end it closes all connections, so that every client learns at once that its manager is gone, and removes
    /// the socket.
    ///
    /// # Errors
    ///
    /// If the system cannot wait for events.
    pub fn run(mut self) -> Result<(), Error> {
        log::info!("the manager at {} serves, in epoch {}", self.address(), self.epoch().0);
        let mut events = Events::with_capacity(EVENTS_MAX);
        while !self.has_ended {
            self.turn(&mut events)?;
        }
        log::info!("the manager at {} ends", self.address());
        self.server.end_bound_to_dead();
        Ok(())
    }

    /// Waits once, and handles what that brought.
    fn turn(&mut self, events: &mut Events) -> Result<(), Error> {
        let has_slept = match self.wait(events) {
            Ok(has_slept) => has_slept,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(()),
            Err(source) => return Err(Error::System { action: "wait for events", source }),
        };
        let now = self.clock.now();
        if has_slept && let Some(first) = events.iter().next() {
            self.server.note_return(PollSource::of(first.token()), now);
        }
        self.server.begin_turn(now);
        for event in events.iter() {
            self.dispatch(event);
        }
        // After the events, since a slot that they closed may be given away here.
        self.accept(now);
        self.server.end_turn();
        if self.server.take_closed() && matches!(self.accepting, Accepting::NotBefore(_)) {
            self.accepting = Accepting::Now;
        }
        Ok(())
    }

    /// Waits until something is ready, and polls first for a peer that is expected at once. Returns whether it has
    /// slept.
    fn wait(&mut self, events: &mut Events) -> io::Result<bool> {
        let timeout = self.timeout();
        if timeout != Some(Duration::ZERO)
            && let Some(slot) = self.server.expected()
        {
            let outcome = self.poll_for(events, PollSource::Socket(slot).token())?;
            self.server.note_poll(slot, outcome);
            if outcome != PollOutcome::Missed {
                return Ok(false);
            }
        }
        self.poll.poll(events, timeout)?;
        Ok(timeout != Some(Duration::ZERO))
    }

    /// Polls a while for events, above all for this one.
    fn poll_for(&mut self, events: &mut Events, expected: Token) -> io::Result<PollOutcome> {
        self.poll.poll(events, Some(Duration::ZERO))?;
        if !events.is_empty() {
            return Ok(PollOutcome::Interrupted);
        }
        let began = Instant::now();
        while began.elapsed() < POLL_TIME {
            hint::spin_loop();
            self.poll.poll(events, Some(Duration::ZERO))?;
            if events.iter().any(|event| event.token() == expected) {
                return Ok(PollOutcome::Came);
            }
            if !events.is_empty() {
                return Ok(PollOutcome::Interrupted);
            }
        }
        Ok(PollOutcome::Missed)
    }

    /// How long to wait at most.
    fn timeout(&self) -> Option<Duration> {
        if self.server.has_work_left() || self.accepting == Accepting::Now {
            return Some(Duration::ZERO);
        }
        let accept = match self.accepting {
            Accepting::NotBefore(moment) => Some(moment),
            Accepting::WhenReported | Accepting::Now => None,
        };
        let deadline = self.server.next_deadline().into_iter().chain(accept).min()?;
        // The clock is read anew, because the turn has taken time. The wait rounds up to milliseconds, so it does not
        // end early.
        Some(deadline.since(self.clock.now()))
    }

    fn dispatch(&mut self, event: &Event) {
        match event.token() {
            LISTENER => {
                if self.accepting == Accepting::WhenReported {
                    self.accepting = Accepting::Now;
                }
            }
            SIGNALS | STOPPER => self.has_ended = true,
            PARENT => self.has_ended |= self.parent.as_ref().is_some_and(Process::has_ended),
            BOUND_ENDED => self.server.bound_ended(),
            token => match PollSource::of(token) {
                PollSource::Process(slot) => self.server.process_ended(slot),
                PollSource::Socket(slot) => {
                    if event.is_writable() {
                        self.server.writable(slot);
                    }
                    let closed = event.is_read_closed() || event.is_write_closed() || event.is_error();
                    if event.is_readable() || closed {
                        self.server.readable(slot, closed);
                    }
                }
            },
        }
    }

    /// Accepts connections, if it is time to.
    fn accept(&mut self, now: Time) {
        match self.accepting {
            Accepting::WhenReported => return,
            Accepting::NotBefore(moment) if moment > now => return,
            Accepting::NotBefore(_) | Accepting::Now => {}
        }
        self.accepting = Accepting::Now;
        for _ in 0..ACCEPTS_PER_TURN_MAX {
            match self.listener.accept() {
                Ok(stream) => {
                    self.accept_works();
                    self.server.admit(stream);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.accept_works();
                    self.accepting = Accepting::WhenReported;
                    return;
                }
                Err(error) if Errno::from_io_error(&error) == Some(Errno::CONNABORTED) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.accept_fails_with(&error);
                    self.accepting = Accepting::NotBefore(now.after_ns(nanoseconds(ACCEPT_PAUSE)));
                    return;
                }
            }
        }
    }

    fn accept_works(&mut self) {
        if self.accept_fails {
            self.accept_fails = false;
            log::info!("connections are accepted again");
        }
    }

    fn accept_fails_with(&mut self, error: &io::Error) {
        if !self.accept_fails {
            self.accept_fails = true;
            let why = explained(error);
            log::warn!("no connection can be accepted for now; existing ones go on: {why}");
        }
    }
}

fn watch(poll: &Poll, descriptor: BorrowedFd<'_>, token: Token) -> Result<(), Error> {
    let registered =
        poll.registry().register(&mut SourceFd(&descriptor.as_raw_fd()), token, Interest::READABLE);
    registered.map_err(Error::system("wait for events"))
}

/// Checks that a manager with so few descriptors can serve somebody: it would only keep its clients waiting.
fn check_descriptors(any: BorrowedFd<'_>) -> Result<(), Error> {
    let tried: io::Result<Vec<OwnedFd>> =
        (0..DESCRIPTORS_LEFT_MIN).map(|_| any.try_clone_to_owned()).collect();
    tried.map(drop).map_err(Error::system("keep descriptors for clients"))
}

/// What watches the parent process; none if that is no longer this process's parent.
fn watch_parent(id: u32) -> Result<Option<Process>, Error> {
    let is_parent = || sys::process::parent() == Some(id);
    if !is_parent() {
        return Ok(None);
    }
    match Process::open(id) {
        // Asks again: if the parent had ended in between, this could be another process of the same number.
        Ok(parent) => Ok(is_parent().then_some(parent)),
        Err(_) if !is_parent() => Ok(None),
        Err(source) => Err(Error::System { action: "watch the parent process", source }),
    }
}
