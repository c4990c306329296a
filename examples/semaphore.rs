//! A semaphore: six workers share two permits, so no more than two work at a time.
//!
//! `cargo run --release --example semaphore`

mod arguments;
mod output;

use std::time::Duration;

use rallypoint::{Manager, Pool, Registry, Result, Semaphore, task};

use output::println;

const PERMITS: u64 = 2;

/// Runs in a worker process. Returns how many permits all workers held at that time.
fn download(slots: Semaphore) -> Result<u64> {
    let _permit = slots.acquire(1)?;
    task::sleep(Duration::from_millis(20));
    Ok(PERMITS - slots.available()?)
}

fn main() -> Result<()> {
    rallypoint::init(Registry::new().task(download));
    arguments::check("semaphore", |_| false);

    let manager = Manager::start()?;
    let slots = manager.anonymous_semaphore(PERMITS)?;
    let pool = Pool::builder(&manager).processes(6).start()?;
    let held = pool.map(download, (0..6).map(|_| slots.clone()))?;
    let held = held.into_iter().collect::<Result<Vec<u64>>>()?;
    println!("{} downloads are done, at most {} at a time", held.len(), held.iter().max().unwrap_or(&0));
    Ok(())
}
