//! Two programs share one pool, and neither is stuck behind the other: one submits 400 tasks, the other comes later
//! with 10, and is done while most of the 400 still wait.
//!
//! `cargo run --release --example shared_pool`

mod arguments;
mod output;

use std::env;
use std::process::Command;
use std::time::Duration;

use rallypoint::{Manager, Pool, Registry, Result, Service, task};

use output::println;

/// Runs in a worker process.
fn work(number: u32) -> u32 {
    task::sleep(Duration::from_millis(5));
    number
}

fn main() -> Result<()> {
    rallypoint::init(Registry::new().task(work));
    arguments::check("shared_pool [huge | small]", |argument| ["huge", "small"].contains(&argument));
    match env::args().nth(1).as_deref() {
        Some("huge") => submit_many(),
        Some("small") => submit_few(),
        _ => serve(),
    }
}

/// Serves the pool with two workers, and starts the two programs.
fn serve() -> Result<()> {
    let manager = Manager::start()?;
    let _workers = Service::start(&manager, "shared", Some(2))?;
    let programs = ["huge", "small"].map(|name| {
        let mut program = Command::new(env::current_exe().expect("this program has a path"));
        program.arg(name).env("RALLYPOINT_SOCKET", manager.address());
        program.spawn().expect("this program can be started")
    });
    for mut program in programs {
        program.wait().expect("it was started");
    }
    Ok(())
}

/// The first program.
fn submit_many() -> Result<()> {
    let manager = Manager::connect()?;
    let pool = Pool::open(&manager, "shared")?;
    let result = pool.batch(work).chunk_size(1).map_async(0..400)?;
    println!("huge:  400 tasks are queued");
    manager.event("huge is queued")?.set()?;

    manager.event("small is done")?.wait(None)?;
    println!("huge:  {} of 400 have not even started", result.progress()?.waiting);
    println!("huge:  all {} are done", result.get(None)?.len());
    Ok(())
}

/// The second program.
fn submit_few() -> Result<()> {
    let manager = Manager::connect()?;
    let pool = Pool::open(&manager, "shared")?;
    manager.event("huge is queued")?.wait(None)?;
    let result = pool.batch(work).chunk_size(1).map_async(0..10)?;
    println!("small: 10 tasks are queued, too");
    println!("small: all {} are done", result.get(None)?.len());
    manager.event("small is done")?.set()?;
    Ok(())
}
