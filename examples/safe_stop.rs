//! Stops a pool of worker processes with one shared event, and goes on using the pool.
//!
//! `cargo run --release --example safe_stop`

mod arguments;
mod output;

use std::thread::sleep;
use std::time::Duration;

use rallypoint::{Event, Manager, Pool, Registry, Result};

use output::println;

/// Runs in a worker process. Takes ten seconds, and stops early if it finds the event set after one of them.
fn task(identifier: u32, stop: Event) -> Result<()> {
    println!("Task {identifier} running");
    for _ in 0..10 {
        sleep(Duration::from_secs(1));
        if stop.is_set()? {
            println!("Task {identifier} stopping...");
            break;
        }
    }
    println!("Task {identifier} Done");
    Ok(())
}

/// Runs in a worker process, too.
fn add(left: u32, right: u32) -> u32 {
    left + right
}

fn main() -> Result<()> {
    rallypoint::init(Registry::new().task(task).task(add));
    arguments::check("safe_stop", |_| false);

    let manager = Manager::start()?;
    let stop = manager.anonymous_event()?;
    let pool = Pool::builder(&manager).processes(4).start()?;

    let result = pool.starmap_async(task, (0..4).map(|identifier| (identifier, stop.clone())))?;
    sleep(Duration::from_secs(2));
    println!("Safely stopping all tasks");
    stop.set()?;
    result.get(None)?.into_iter().collect::<Result<()>>()?;
    println!("All stopped");

    // No worker was killed: the same four processes run the next task.
    println!("The same pool ran another task: 2 + 3 = {}", pool.apply(add, (2, 3))?);
    Ok(())
}
