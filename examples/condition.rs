//! A condition: a worker waits until another process has stock for it.
//!
//! `cargo run --release --example condition`

mod arguments;
mod output;

use rallypoint::{Condition, Event, Manager, Pool, Registry, Result};

use output::println;

/// Runs in a worker process.
fn take(stock: Condition, filled: Event) -> Result<String> {
    let mut guard = stock.acquire()?;
    stock.wait_for(&mut guard, None, || filled.is_set())?;
    // This worker holds the lock again here, so no other process can take the stock first.
    filled.clear()?;
    Ok("The worker took what there was".to_owned())
}

fn main() -> Result<()> {
    rallypoint::init(Registry::new().task(take));
    arguments::check("condition", |_| false);

    let manager = Manager::start()?;
    let stock = manager.anonymous_condition()?;
    let filled = manager.anonymous_event()?;
    let pool = Pool::builder(&manager).processes(1).start()?;
    let taken = pool.apply_async(take, (stock.clone(), filled.clone()))?;
    println!("The worker waits for stock");

    let guard = stock.acquire()?;
    filled.set()?;
    stock.notify_one()?;
    drop(guard);
    println!("{}", taken.get(None)??);
    Ok(())
}
