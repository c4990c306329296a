//! A barrier: three workers go on together, and exactly one of them leads.
//!
//! `cargo run --release --example barrier`

mod arguments;
mod output;

use rallypoint::{Barrier, Manager, Pool, Registry, Result};

use output::println;

/// Runs in a worker process. Returns how many parties came before this one, and whether it leads.
fn meet(start: Barrier) -> Result<(u32, bool)> {
    let passed = start.wait(None)?;
    Ok((passed.index, passed.leads))
}

fn main() -> Result<()> {
    rallypoint::init(Registry::new().task(meet));
    arguments::check("barrier", |_| false);

    let manager = Manager::start()?;
    let start = manager.anonymous_barrier(3)?;
    let pool = Pool::builder(&manager).processes(3).start()?;
    let passed = pool.map(meet, [start.clone(), start.clone(), start])?;
    let mut passed = passed.into_iter().collect::<Result<Vec<_>>>()?;
    passed.sort_unstable();
    for (index, leads) in passed {
        println!("Party {index} of 3{}", if leads { " leads" } else { "" });
    }
    Ok(())
}
