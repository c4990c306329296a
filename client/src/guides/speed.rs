//! Where the microseconds go: what a call costs, why, and how to pay less.
//!
//! All figures are from `scripts/bench`, on a virtual machine with two cores, and all of a comparison from one run.
//! Trust the ratios, and measure your own.
//!
//! # A round trip
//!
//! A call goes to another process and back, and most of its cost is waking that process: two context switches. The
//! floor is a bare ping-pong of equally large frames, over a Unix socket, both ends on one core. `scripts/bench --only
//! layers` adds one part at a time:
//!
//! | layer | to the floor |
//! | --- | --- |
//! | the bare ping-pong: each side blocks in a read, and writes | 1.00 |
//! | the server waits with epoll for many, as a manager must | 0.94 |
//! | the client asks each time which process it is, since it may have been forked | 0.94 |
//! | `is_set()`: the codec, the core, and many callers on one connection | 1.10 |
//!
//! For each such call, the manager waits once, reads once and writes once, and the client writes once and reads once.
//! Neither polls twice, sets a timer again while no deadline has changed, or allocates in steady state.
//! `scripts/count-instructions` counts the rest: some 2,000 instructions for an `is_set()` on both sides together, of
//! which more than half encode and decode. Two switches lie between any two calls, so the caches are cold and this
//! takes about a microsecond.
//!
//! With a core for each side the same call takes longer, unless both are awake: waking a halted core takes more than a
//! round trip on one core. So before it sleeps, the manager polls for a while for the next request of a client that
//! tends to come back at once, and such a call takes 0.6 to 0.7 of a bare ping-pong from core to core. Where both share
//! a core, or the client does other things in between, it does not poll.
//!
//! # Calls without a round trip
//!
//! - A [mirror](crate::EventMirror) is a look into memory, and takes a nanosecond.
//! - The drop of a [guard](crate::LockGuard) is a write to shared memory, and wakes the manager only if somebody wants
//!   the lock. So acquiring and releasing a free lock costs 1.3 floors; sending the release at once would make it 2,
//!   since the kernel lets the manager run before its client goes on.
//! - A [pipeline](crate::Manager::pipeline) sends many requests in one write: in pipelines of 64, each takes an
//!   eighth of a round trip.
//! - [`wait_any`](crate::wait_any), [`set_and_wait`](crate::Event::set_and_wait) and
//!   [`release_and_wait`](crate::LockGuard::release_and_wait) do in one round trip what would take several.
//!
//! # Passing control
//!
//! Two processes that pass control by [`set_and_wait`](crate::Event::set_and_wait) go through the manager twice a
//! round: at least four switches, which would be two floors. A bare relay, three processes with sockets and nothing
//! else, takes 2.5 floors on this kernel, which now and then schedules a sender once more before it sleeps. This
//! library takes 2.9. To sleep until an answer comes, clients call `poll` instead of a blocking receive, which the
//! kernel also wakes when the manager reads the request; that alone would make it 3.3. Shared memory between the two
//! passes control in less than half a floor, but then no process can say which one waits, for what, or which one has
//! died.
//!
//! # Crowds
//!
//! Four writes wake ten thousand threads in four processes that wait for one event. The rest is the kernel's work:
//! waking as many from one bare futex takes nearly as long.
//!
//! # Pools
//!
//! A call of no length costs its worker no round trip of its own: the manager hands out many short calls at a time,
//! while nobody else waits for one, and the worker reports their results together. Until then it notes them in memory
//! that the manager reads if the worker dies, so that none is lost. Results reach a caller that wants all of them many
//! at a time. A single call with a wait ([`apply`](crate::Pool::apply)) is one request, and wakes its worker, the
//! manager and its owner, one after the other. The owner polls for the result for a while before it sleeps, as the
//! manager does for its peers.
