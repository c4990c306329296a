//! A wait for several objects at once: a worker takes a lock, unless it is stopped first.
//!
//! `cargo run --release --example wait_any`

mod arguments;
mod output;

use rallypoint::{Event, Lock, Manager, Pool, Registry, Result, wait_any};

use output::println;

/// Runs in a worker process. If both objects are ready, the wait takes the first in the list.
fn work(stop: Event, lock: Lock) -> Result<String> {
    let outcome = match wait_any(&[&stop, &lock], None)? {
        Some((0, _)) => "stopped before it had the lock",
        _ => "had the lock",
    };
    Ok(outcome.to_owned())
}

fn main() -> Result<()> {
    rallypoint::init(Registry::new().task(work));
    arguments::check("wait_any", |_| false);

    let manager = Manager::start()?;
    let (stop, lock) = (manager.anonymous_event()?, manager.anonymous_lock()?);
    let pool = Pool::builder(&manager).processes(1).start()?;

    let guard = lock.acquire()?;
    let result = pool.apply_async(work, (stop.clone(), lock.clone()))?;
    stop.set()?;
    println!("The first call: {}", result.get(None)??);

    stop.clear()?;
    drop(guard);
    println!("The second call: {}", pool.apply(work, (stop, lock))??);
    Ok(())
}
