//! The integration tests: real processes over real sockets, and the style of the sources.
//!
//! One file for each subject, and one folder for what belongs together; a test is a function with the attribute
//! `apply(test)`. Tasks are functions of the program that submits them, so this program has a `main` of its own: the
//! workers of its pools are copies of it. A test can also start a copy as a helper, with `helper:NAME` as its first
//! argument, and kill it.

use std::process::ExitCode;

use libtest_mimic::{Arguments, run};

use faults::deferred_releases;
use manager::private;
use pool::{imap, prefetch, sharing, stop, task};
use support::{helper, trials};

mod command;
mod faults;
mod manager;
mod objects;
mod pool;
mod project;
mod support;

fn main() -> ExitCode {
    helper::break_worker_if_asked_to();
    let helper = helper::asked_for();
    if helper.as_deref() != Some(private::OWNER_WITHOUT_INIT) {
        let registry = stop::register(imap::register(task::registry()));
        worker::init(deferred_releases::register(prefetch::register(sharing::register(registry))));
    }
    if let Some(name) = helper {
        return helper::run(&name);
    }
    support::heed_signals();
    run(&Arguments::from_args(), trials::all()).exit_code()
}
