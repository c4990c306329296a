//! Where the microseconds go: what a call costs, why it is not less, and what to do about it.
//!
//! All figures are from `scripts/bench`, on a virtual machine with two cores, and all of a comparison from one run.
//! Trust the ratios, and measure your own.
//!
//! # A round trip
//!
//! A call goes to another process and back, and what costs is to wake that: two context switches. The floor is a bare
//! ping-pong of frames as large, over a Unix socket, both ends on one core. `scripts/bench --only ladder` climbs from
//! there, a rung at a time:
//!
//! | rung | to the floor |
//! | --- | --- |
//! | the bare ping-pong: each side blocks in a read, and writes | 1.00 |
//! | the server waits with epoll for many, as a manager must | 0.94 |
//! | the client asks each time which process it is, as it may have been forked | 0.94 |
//! | `is_set()`: the codec, the core, and many callers on one connection | 1.10 |
//!
//! There, for each call, the manager waits once, reads once and writes once, and the client writes once and reads
//! once; nobody looks twice, no timer is set anew while no deadline has changed, and in steady state neither side
//! allocates. `scripts/count-instructions` counts what is left: some 2,000 instructions for an `is_set()` on both
//! sides together, of which more than half encode and decode. They are cold, as two switches lie between any two
//! calls, so they take about a microsecond.
//!
//! With a core for each side the same call takes longer and not less, unless both are awake: waking a core that was
//! halted takes more than a round trip on one core. So the manager looks a while for the next request of a client
//! that tends to come back at once, before it sleeps, and such a call takes 0.6 to 0.7 of a bare ping-pong from core
//! to core. Where both share a core, or the client does other things in between, it does not look.
//!
//! # Not going at all
//!
//! - A [mirror](crate::EventMirror) is a look into memory, and takes a nanosecond.
//! - A [guard](crate::LockGuard) that is dropped enters that in memory, and wakes nobody while nobody wants the lock.
//!   So a lock that is free costs 1.3 floors to acquire and give back; sending the release at once would make it 2, as
//!   the kernel lets the manager run before its client goes on.
//! - A [pipeline](crate::Manager::pipeline) sends many requests in one write: in pipelines of 64, each takes an
//!   eighth of a round trip.
//! - [`wait_any`](crate::wait_any), [`set_and_wait`](crate::Event::set_and_wait) and
//!   [`release_and_wait`](crate::LockGuard::release_and_wait) do in one round trip what would be several.
//!
//! # Passing control
//!
//! Two processes that pass control by [`set_and_wait`](crate::Event::set_and_wait) go through the manager twice a
//! round: four switches at the least, which would be two floors. A bare relay, three processes with sockets and
//! nothing else, takes 2.5 floors on this kernel, since a sender that is about to sleep is scheduled once more to
//! do so, now and then. Ours takes 2.9. To go to sleep for an answer, clients poll rather than receive: a receive
//! that blocks is woken as well when the manager reads what was sent, and that alone would make it 3.3. Shared memory
//! between the two passes control in less than half a floor, and then nobody knows who waits for whom, or who died.
//!
//! # Crowds
//!
//! Ten thousand threads in four processes that wait for one event are woken by four writes. The rest is the kernel's:
//! to wake as many from one bare futex takes nearly as long.
//!
//! # Pools
//!
//! A task of no length costs its worker no round trip of its own: short tasks are handed out several at a time, while
//! nobody else waits for one, and results come to a caller that wants all of them many at a time. A single call that is
//! waited for ([`apply`](crate::Pool::apply)) is one request, and wakes its worker, the manager and its owner, one
//! after the other. The owner looks a while for the result before it sleeps, as the manager does for its peers.
