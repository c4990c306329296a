//! Submits tasks to a pool that other programs serve, and stops them with an event.
//!
//! In three terminals: `manager`, then `worker --pool demo --processes 4`, then
//! `cargo run --release --example submit_and_stop`. The tasks' own lines appear where `worker` runs.

mod arguments;
mod output;

use std::thread::sleep;
use std::time::Duration;

use rallypoint::task::named;
use rallypoint::tasks::COUNTDOWN;
use rallypoint::{Event, Manager, Pool, Result};

use output::println;

fn main() -> Result<()> {
    // The variable RALLYPOINT_SOCKET names another manager than this user's own.
    arguments::check("submit_and_stop", |_| false);
    // Warnings go to standard error, such as one that no worker serves the pool yet.
    env_logger::Builder::new().filter_level(log::LevelFilter::Warn).parse_default_env().init();
    let manager = Manager::connect()?;
    let pool = Pool::open(&manager, "demo")?;
    let stop = manager.anonymous_event()?;

    // The function is in another program, so this one has to give its name and its types.
    let countdown = named::<(u32, Event), Result<()>>(COUNTDOWN);
    let calls = (0..4).map(|identifier| (identifier, stop.clone()));
    let result = pool.batch(countdown).chunk_size(1).starmap_async(calls)?;
    println!("Submitted 4 tasks of ten seconds to pool \"demo\"");

    sleep(Duration::from_secs(2));
    println!("Safely stopping all tasks");
    stop.set_because("two seconds are enough")?;
    result.get(None)?.into_iter().collect::<Result<()>>()?;
    println!("All stopped");
    Ok(())
}
