//! Waiting for descriptors: until one of them is ready, or the time is over (poll(2)).
//!
//! A signal that this process handles interrupts the system call. The wait goes on then, for the time that is left.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

/// A descriptor, what to wait for there, and what the last wait found.
#[derive(Debug)]
pub struct Watched<'a>(PollFd<'a>);

impl<'a> Watched<'a> {
    /// For something to read, or the end of what comes.
    pub fn to_read(descriptor: &'a impl AsFd) -> Watched<'a> {
        Watched(PollFd::new(descriptor, PollFlags::IN))
    }

    /// For the other side to close, or to end its sending: not for what it has sent before.
    pub fn for_hang_up(descriptor: &'a impl AsFd) -> Watched<'a> {
        Watched(PollFd::new(descriptor, PollFlags::RDHUP))
    }

    /// For something to read, for room to write, or for either.
    pub fn for_use(descriptor: &'a impl AsFd, reads: bool, writes: bool) -> Watched<'a> {
        let mut events = PollFlags::empty();
        events.set(PollFlags::IN, reads);
        events.set(PollFlags::OUT, writes);
        Watched(PollFd::new(descriptor, events))
    }

    /// Like [`to_read`](Self::to_read), for a descriptor that is borrowed already.
    #[must_use]
    pub fn borrowed(descriptor: BorrowedFd<'a>) -> Watched<'a> {
        Watched(PollFd::from_borrowed_fd(descriptor, PollFlags::IN))
    }

    /// Whether the last wait found what this waits for, or that the other side has closed, or an error. A descriptor
    /// that is not open has an error.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        !self.0.revents().is_empty()
    }

    /// Whether a read would not wait: there is something, or the end, or an error.
    #[must_use]
    pub fn is_readable(&self) -> bool {
        self.0.revents().intersects(PollFlags::IN | ENDED)
    }

    /// Whether a write would not wait: there is room, or an error.
    #[must_use]
    pub fn is_writable(&self) -> bool {
        self.0.revents().intersects(PollFlags::OUT | ENDED)
    }
}

/// What the system reports whether or not anyone waits for it.
const ENDED: PollFlags = PollFlags::HUP.union(PollFlags::ERR).union(PollFlags::NVAL);

/// Waits until one of these is ready, and returns true; or false once this time is over. Without a time, and with one
/// that the system cannot count, it waits as long as it takes. A time of zero is a look.
///
/// # Errors
///
/// If there is no memory, or more descriptors are watched than this process may have open.
pub fn wait_for_any(watched: &mut [Watched<'_>], timeout: Option<Duration>) -> io::Result<bool> {
    if let [one] = watched {
        return wait(std::slice::from_mut(&mut one.0), timeout);
    }
    let mut files: Vec<PollFd<'_>> = watched.iter().map(|watched| watched.0.clone()).collect();
    let outcome = wait(&mut files, timeout);
    watched.iter_mut().zip(files).for_each(|(watched, file)| watched.0 = file);
    outcome
}

fn wait(files: &mut [PollFd<'_>], timeout: Option<Duration>) -> io::Result<bool> {
    let mut rest = timeout;
    // A look is not interrupted, so only a wait has to know when it is to end.
    let deadline = timeout.filter(|time| !time.is_zero()).and_then(|time| Instant::now().checked_add(time));
    loop {
        let time = rest.and_then(|rest| Timespec::try_from(rest).ok());
        match poll(files, time.as_ref()) {
            Ok(ready) => return Ok(ready > 0),
            Err(Errno::INTR) => rest = deadline.map(|end| end.saturating_duration_since(Instant::now())),
            Err(errno) => return Err(errno.into()),
        }
    }
}

/// Waits until there is something to read here, or the end, and returns true; or false once this time is over.
///
/// # Errors
///
/// As [`wait_for_any`].
pub fn is_readable_within(descriptor: &impl AsFd, timeout: Duration) -> io::Result<bool> {
    wait_for_any(&mut [Watched::to_read(descriptor)], Some(timeout))
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::unix::net::UnixStream;
    use std::os::unix::thread::JoinHandleExt;
    use std::thread;

    use super::*;

    #[test]
    fn a_wait_finds_what_is_ready_and_ends_with_its_time() {
        let ((mut ours, theirs), (quiet, _peer)) = (UnixStream::pair().unwrap(), UnixStream::pair().unwrap());
        let began = Instant::now();
        assert!(!is_readable_within(&theirs, Duration::from_millis(20)).unwrap());
        assert!(began.elapsed() >= Duration::from_millis(20));
        assert!(!is_readable_within(&theirs, Duration::ZERO).unwrap(), "a look");
        ours.write_all(b"x").unwrap();
        let mut both = [Watched::to_read(&quiet), Watched::for_use(&theirs, true, true)];
        assert!(wait_for_any(&mut both, None).unwrap());
        assert_eq!(both.each_ref().map(Watched::is_ready), [false, true]);
        assert!(both[1].is_readable() && both[1].is_writable());
    }

    #[test]
    fn a_hang_up_is_told_from_what_came_before_it() {
        let (mut ours, theirs) = UnixStream::pair().unwrap();
        ours.write_all(b"x").unwrap();
        let look = |watched: Watched<'_>| wait_for_any(&mut [watched], Some(Duration::ZERO)).unwrap();
        assert!(look(Watched::to_read(&theirs)) && !look(Watched::for_hang_up(&theirs)));
        drop(ours);
        assert!(look(Watched::for_hang_up(&theirs)));
    }

    extern "C" fn nothing(_: libc::c_int) {}

    #[test]
    #[allow(unsafe_code)]
    fn a_signal_neither_ends_a_wait_nor_makes_it_longer() {
        const TIME: Duration = Duration::from_millis(300);
        // SAFETY: the handler does nothing, and nothing else here uses this signal.
        unsafe { libc::signal(libc::SIGURG, nothing as extern "C" fn(libc::c_int) as libc::sighandler_t) };
        let waiting = thread::spawn(|| {
            let (_ours, theirs) = UnixStream::pair().unwrap();
            let began = Instant::now();
            (is_readable_within(&theirs, TIME).unwrap(), began.elapsed())
        });
        while !waiting.is_finished() {
            thread::sleep(Duration::from_millis(40));
            // SAFETY: the thread was not joined, so its handle is that of a thread, even if this has ended.
            unsafe { libc::pthread_kill(waiting.as_pthread_t(), libc::SIGURG) };
        }
        let (was_readable, took) = waiting.join().unwrap();
        assert!(!was_readable && took >= TIME && took < TIME * 20, "{took:?}");
    }
}
