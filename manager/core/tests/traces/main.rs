//! Traces: sessions and requests in, answers out, under a clock that only the test moves. None of these sleeps.

mod ahead;
mod barriers;
mod conditions;
mod deadlocks;
mod errands;
mod events;
mod fuzz;
mod holdings;
mod hostile;
mod inspection;
mod latches;
mod ledgers;
mod locks;
mod mirrors;
mod mixed;
mod objects;
mod orderly;
mod queues;
mod runs;
mod semaphores;
mod stopping;
mod tasks;
mod waits;
mod words;
mod world;
