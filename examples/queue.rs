//! A queue: the program puts numbers in, and two workers add them up until the queue is closed.
//!
//! `cargo run --release --example queue`

mod arguments;
mod output;

use rallypoint::{Manager, Pool, Queue, Registry, Result};

use output::println;

/// Runs in a worker process. Ends when the queue is closed and empty.
fn add_up(numbers: Queue<u64>) -> Result<u64> {
    let mut sum = 0;
    for number in &numbers {
        sum += number?;
    }
    Ok(sum)
}

fn main() -> Result<()> {
    rallypoint::init(Registry::new().task(add_up));
    arguments::check("queue", |_| false);

    let manager = Manager::start()?;
    // At most five items wait; `put` waits for room.
    let numbers = manager.queue_options::<u64>().capacity(5).anonymous()?;
    let pool = Pool::builder(&manager).processes(2).start()?;
    let sums = pool.map_async(add_up, [numbers.clone(), numbers.clone()])?;
    for number in 1..=100 {
        numbers.put(&number)?;
    }
    numbers.close()?;
    let sums = sums.get(None)?.into_iter().collect::<Result<Vec<u64>>>()?;
    println!("The numbers from 1 to 100 add up to {}", sums.iter().sum::<u64>());
    Ok(())
}
