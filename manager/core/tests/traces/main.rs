//! Traces: sessions and requests in, answers out, under a clock that only the test moves. None of these sleeps.

mod events;
mod hostile;
mod objects;
mod tasks;
mod waits;
mod world;
