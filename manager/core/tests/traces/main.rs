//! Traces: sessions and requests go in, answers come out, under a clock that only the test moves. None of these sleeps.

mod barriers;
mod conditions;
mod deadlocks;
mod deferred_releases;
mod events;
mod fuzz;
mod hostile;
mod inspection;
mod latches;
mod locks;
mod mirrors;
mod mixed;
mod objects;
mod orderly;
mod prefetch;
mod prefetch_faults;
mod queues;
mod runs;
mod semaphores;
mod snapshots;
mod stale_holds;
mod stopping;
mod tasks;
mod waits;
mod words;
mod world;
