//! What the tests of several subjects need, one file for each of its own.

pub(crate) use macro_rules_attribute::apply;

pub(crate) use circumstances::{by, by_shell};
pub(crate) use folders::private_folder;
pub(crate) use helper::helper;
pub(crate) use manager_program::{ManagerProgram, serve, serve_by, socket_of};
pub(crate) use processes::{descendants, heed_signals, is_alive, kill, resident_kib, state};
pub(crate) use registered_tests::test;
pub(crate) use running::RunningProgram;
pub(crate) use tasks::task_function;
pub(crate) use waiting::{PATIENCE, eventually, within};

mod circumstances;
mod folders;
pub(crate) mod helper;
mod manager_program;
pub(crate) mod observation;
mod processes;
pub(crate) mod registered_tests;
pub(crate) mod remote_client;
mod running;
pub(crate) mod tasks;
mod waiting;
