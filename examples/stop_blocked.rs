//! Stops tasks that are in the middle of something: a sleep, a read that does not return, and a command. Shows how each
//! of them ended, and that the pool goes on.
//!
//! `cargo run --release --example stop_blocked`

mod arguments;
mod output;

use std::io::{Read, pipe};
use std::thread::sleep;
use std::time::Duration;

use rallypoint::tasks::{Command, Exit, command};
use rallypoint::{Manager, Pool, Registry, Result, task};

use output::println;

const MINUTE: Duration = Duration::from_secs(60);

/// Sleeps as a task should: until the time is over or its batch is stopped. Returns whether it slept to the end.
fn doze() -> bool {
    task::sleep(MINUTE)
}

/// Reads from a pipe that nobody writes to. Meanwhile it cannot check whether it is to stop.
fn read() -> usize {
    let (mut reader, _writer) = pipe().expect("there is room for a pipe");
    reader.read(&mut [0]).expect("a pipe can be read")
}

fn main() -> Result<()> {
    rallypoint::init(Registry::new().task(doze).task(read).task(command));
    arguments::check("stop_blocked", |_| false);

    let manager = Manager::start()?;
    let pool = Pool::builder(&manager).processes(3).start()?;
    let dozes = pool.apply_async(doze, ())?;
    let reads = pool.apply_async(read, ())?;
    let runs = pool.apply_async(command, (Command::new("sleep").argument("60"),))?;
    for handle in [dozes.handle(), reads.handle(), runs.handle()] {
        while handle.progress()?.running == 0 {
            sleep(Duration::from_millis(10));
        }
    }
    println!("All are busy for a minute");

    // Each call is asked to stop, and a signal ends those that have not returned after this time.
    let grace = Duration::from_millis(500);
    println!("In a sleep:   {}", dozes.stop(grace)?);
    println!("In a read:    {}", reads.stop(grace)?);
    println!("In a command: {}", runs.stop(grace)?);

    // The calls that returned have results as usual; the other has an error that says how it ended.
    println!("The sleep ended {}", if dozes.get(None)? { "as if nobody had asked" } else { "early" });
    match reads.get(None) {
        Ok(bytes) => println!("The read brought {bytes} bytes"),
        Err(error) => println!("The read has failed: {error}"),
    }
    match runs.get(None)?.expect("there is a `sleep`").exit {
        Exit::Status(status) => println!("The command exited with status {status}"),
        Exit::Signal(signal) => println!("The command was ended by signal {signal}"),
    }

    // The pool has replaced the worker that the signal ended.
    match pool.apply(command, (Command::new("true"),))? {
        Ok(_) => println!("The same pool goes on: it ran another command"),
        Err(why) => println!("The same pool goes on, but could not run another command: {why}"),
    }
    Ok(())
}
