//! A lock: four workers change one file, and no change is lost.
//!
//! `cargo run --release --example lock`

mod arguments;
mod output;

use std::fs;

use rallypoint::{Lock, Manager, Pool, Registry, Result};

use output::println;

/// Runs in a worker process: adds one to the number in a file, fifty times.
fn count(file: String, lock: Lock) -> Result<()> {
    for _ in 0..50 {
        let _guard = lock.acquire()?;
        let number: u32 = fs::read_to_string(&file).expect("it is there").parse().expect("it is a number");
        fs::write(&file, (number + 1).to_string()).expect("it can be written");
    }
    Ok(())
}

fn main() -> Result<()> {
    rallypoint::init(Registry::new().task(count));
    arguments::check("lock", |_| false);

    let file = std::env::temp_dir().join(format!("rallypoint-example-{}", std::process::id()));
    let file = file.to_str().expect("it is text").to_owned();
    fs::write(&file, "0").expect("the folder for temporary files can be written to");
    let manager = Manager::start()?;
    let lock = manager.anonymous_lock()?;
    let pool = Pool::builder(&manager).processes(4).start()?;
    let calls = (0..4).map(|_| (file.clone(), lock.clone()));
    pool.starmap(count, calls)?.into_iter().collect::<Result<()>>()?;

    println!("Four times fifty is {}", fs::read_to_string(&file).expect("it is there"));
    fs::remove_file(&file).expect("it is there");
    Ok(())
}
