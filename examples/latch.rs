//! A latch: the program waits until three workers are ready, in whatever order.
//!
//! `cargo run --release --example latch`

mod arguments;
mod output;

use std::time::Duration;

use rallypoint::{Latch, Manager, Pool, Registry, Result};

use output::println;

/// Runs in a worker process.
fn start_service(ready: Latch) -> Result<()> {
    ready.count_down()?;
    Ok(())
}

fn main() -> Result<()> {
    rallypoint::init(Registry::new().task(start_service));
    arguments::check("latch", |_| false);

    let manager = Manager::start()?;
    let ready = manager.anonymous_latch(3)?;
    let pool = Pool::builder(&manager).processes(3).start()?;
    let started = pool.map_async(start_service, [ready.clone(), ready.clone(), ready.clone()])?;
    let is_ready = ready.wait(Duration::from_secs(60))?;
    println!("{}", if is_ready { "All three services are ready" } else { "Not ready within a minute" });
    started.get(None)?.into_iter().collect()
}
