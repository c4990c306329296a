//! The integration tests: real processes over real sockets, and the style of the sources.
//!
//! One file for each subject, which lists its tests in `tests`. Tasks are functions of the program that submits them,
//! so this program has a `main` of its own: the workers of the pools in here are copies of it. It has helpers, too:
//! programs that a test starts, and kills, with `helper:NAME` as their first argument.

use std::process::ExitCode;

use libtest_mimic::{Arguments, run};

mod actor;
mod ahead;
mod barrier;
mod batch;
mod command;
mod condition;
mod context;
mod deadlock;
mod death;
mod encoding;
mod event;
mod example;
mod fork;
mod gone;
mod hand;
mod helper;
mod holding;
mod imap;
mod inspect;
mod interrupt;
mod item;
mod latch;
mod ledger;
mod lock;
mod log;
mod mirror;
mod pool;
mod private;
mod program;
mod progress;
mod puppet;
mod python;
mod queue;
mod rlock;
mod run;
mod semaphore;
mod sharing;
mod socket;
mod standstill;
mod stop;
mod stranger;
mod style;
mod support;
mod task;
mod unruly;
mod worker_options;

fn main() -> ExitCode {
    helper::break_worker_if_asked_to();
    let helper = helper::asked_for();
    if helper.as_deref() != Some(private::OWNER_WITHOUT_INIT) {
        let registry = stop::register(imap::register(task::registry()));
        worker::init(ledger::register(ahead::register(sharing::register(registry))));
    }
    if let Some(name) = helper {
        return helper::run(&name);
    }
    support::heed_signals();
    let suites = [
        ahead::tests(),
        barrier::tests(),
        batch::tests(),
        command::tests(),
        condition::tests(),
        context::tests(),
        deadlock::tests(),
        death::tests(),
        encoding::tests(),
        event::tests(),
        example::tests(),
        fork::tests(),
        gone::tests(),
        holding::tests(),
        inspect::tests(),
        item::tests(),
        latch::tests(),
        ledger::tests(),
        lock::tests(),
        log::tests(),
        mirror::tests(),
        pool::tests(),
        private::tests(),
        program::tests(),
        python::tests(),
        queue::tests(),
        rlock::tests(),
        semaphore::tests(),
        sharing::tests(),
        imap::tests(),
        interrupt::tests(),
        progress::tests(),
        run::tests(),
        socket::tests(),
        standstill::tests(),
        stop::tests(),
        stranger::tests(),
        style::tests(),
        task::tests(),
        unruly::tests(),
        worker_options::tests(),
    ];
    run(&Arguments::from_args(), suites.into_iter().flatten().collect()).exit_code()
}
