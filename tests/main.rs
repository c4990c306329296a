//! The integration tests: real processes over real sockets, and the style of the sources.
//!
//! One file for each subject, and one folder for what belongs together; a test is a function with the attribute
//! `apply(test)`. Tasks are functions of the program that submits them, so this program has a `main` of its own: the
//! workers of its pools are copies of it, and know the functions with the attribute `apply(task_function)`. A test can
//! also start a copy as a helper, which runs a function with the attribute `apply(helper)`, and kill it.

use std::process::ExitCode;

use libtest_mimic::{Arguments, run};

use pool::broken_programs;
use support::{helper, registered_tests, tasks};

mod command;
mod faults;
mod manager;
mod objects;
mod pool;
mod project;
mod support;

fn main() -> ExitCode {
    broken_programs::break_worker_if_asked_to();
    let helper = helper::asked_for();
    if helper.is_none_or(|helper| helper.has_init) {
        worker::init(tasks::registry());
    }
    if let Some(helper) = helper {
        return helper.run();
    }
    support::heed_signals();
    run(&Arguments::from_args(), registered_tests::all()).exit_code()
}
