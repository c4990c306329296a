//! An event: three workers wait for it, and learn who set it, and why.
//!
//! `cargo run --release --example event`

mod arguments;
mod output;

use rallypoint::{Event, Manager, Pool, Registry, Result};

use output::println;

/// Runs in a worker process.
fn wait(start: Event) -> Result<String> {
    let cause = start.wait(None)?.expect("a wait without a timeout ends when the event is set");
    Ok(cause.to_string())
}

fn main() -> Result<()> {
    rallypoint::init(Registry::new().task(wait));
    arguments::check("event", |_| false);

    let manager = Manager::start()?;
    let start = manager.event("start")?;
    let pool = Pool::builder(&manager).processes(3).start()?;
    let waits = pool.map_async(wait, [start.clone(), start.clone(), start.clone()])?;
    println!("Three workers wait for the event");

    start.set_because("everything is ready")?;
    for cause in waits.get(None)? {
        println!("Woken: {}", cause?);
    }
    Ok(())
}
