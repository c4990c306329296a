//! Random inputs for the core and its model, for `scripts/simulate`: see `tests/model`.

#[path = "../tests/model/reference/mod.rs"]
mod reference;
#[path = "../tests/model/simulator/mod.rs"]
mod simulator;

use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Instant;

use simulator::counting::Counts;
use simulator::seeds::run_seed;
use simulator::shrinking::shrink;
use simulator::source::source;

const USAGE: &str = "usage: simulate [--inputs N] [--seed S] [--steps N] [--threads N] [--counts]
  --inputs   how many inputs to try, 1000000 by default
  --seed     the first seed, 0 by default; each run has the next one
  --steps    how many steps each run has, 1000 by default
  --threads  how many threads, 2 by default
  --counts   prints how often each input, request, effect and refusal came, and what of the page never did";

struct Simulation {
    inputs: u64,
    seed: u64,
    steps: u64,
    threads: u64,
    counts: bool,
}

fn arguments() -> Option<Simulation> {
    let mut arguments = Simulation { inputs: 1_000_000, seed: 0, steps: 1000, threads: 2, counts: false };
    let mut given = std::env::args().skip(1);
    while let Some(name) = given.next() {
        if name == "--counts" {
            arguments.counts = true;
            continue;
        }
        let value = given.next()?.replace('_', "").parse().ok()?;
        match name.as_str() {
            "--inputs" => arguments.inputs = value,
            "--seed" => arguments.seed = value,
            "--steps" => arguments.steps = value,
            "--threads" => arguments.threads = value,
            _ => return None,
        }
    }
    Some(arguments)
}

fn main() -> ExitCode {
    let Some(Simulation { inputs, seed, steps, threads, counts }) = arguments() else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    let started = Instant::now();
    let (next, done, failed) = (AtomicU64::new(seed), AtomicU64::new(0), AtomicBool::new(false));
    let all = Mutex::new(Counts::default());
    std::panic::set_hook(Box::new(|_| {}));
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let mut counted = counts.then(Counts::default);
                while done.load(Relaxed) < inputs && !failed.load(Relaxed) {
                    let seed = next.fetch_add(1, Relaxed);
                    match run_seed(seed, steps, &mut counted) {
                        Ok(inputs) => {
                            done.fetch_add(inputs, Relaxed);
                        }
                        Err(divergence) => {
                            if failed.swap(true, Relaxed) {
                                return;
                            }
                            let taken = divergence.steps.len() as u64 + done.load(Relaxed);
                            let shrunk = shrink(*divergence);
                            println!(
                                "seed {seed}, {steps} steps, after about {taken} inputs: {}",
                                shrunk.what
                            );
                            println!("\n{}", source(seed, &shrunk));
                        }
                    }
                }
                if let Some(counted) = counted {
                    all.lock().unwrap().append(counted);
                }
            });
        }
    });
    if failed.into_inner() {
        return ExitCode::FAILURE;
    }
    if counts {
        print!("{}", all.into_inner().unwrap().report());
    }
    let (done, seconds) = (done.into_inner(), started.elapsed().as_secs_f64());
    let seeds = next.into_inner() - seed;
    println!("{done} inputs of {seeds} seeds in {seconds:.1} s: no difference");
    ExitCode::SUCCESS
}
