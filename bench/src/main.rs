//! The benchmark: floors, Rallypoint and its rivals take turns in one run. `README.md` in this folder says how to read
//! it.

mod families;
mod generator;
mod peer;
mod pinning;
mod quiet;
mod report;
mod rivals;
mod server;
mod settings;
mod shared;
mod turns;
mod wire;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Result, ensure};
use clap::Parser;

use crate::families::Family;
use crate::rivals::Missing;
use crate::settings::Settings;

/// Measures Rallypoint beside the kernel's floors and its rivals, in one run in which all take turns.
///
/// The rivals are Python's multiprocessing (python3), Redis (on Debian: apt-get install redis-server), procspawn and
/// iceoryx2. A rival that is not installed is left out and named. This program installs nothing.
#[derive(Debug, Parser)]
#[command(name = "scripts/bench")]
struct BenchArguments {
    /// End within a minute: fewer turns, and so more noise.
    #[arg(long)]
    quick: bool,

    /// Write a list of rows: name, floor, ours, rival, rival_name, unit, value, goal, met. The goal is the most that
    /// the value may be; without a goal it is null.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,

    /// Draw a picture.
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,

    /// Measure only the families whose names contain this. May be given more than once.
    #[arg(long, value_name = "FILTER")]
    only: Vec<String>,

    /// The program `manager` [default: the one beside this program].
    #[arg(long, value_name = "PATH")]
    manager: Option<PathBuf>,
}

fn main() -> ExitCode {
    worker::init(families::registry());
    procspawn::init();
    let done = match peer::role() {
        Some((role, arguments)) => families::play(&role, &arguments),
        None => run(BenchArguments::parse()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: BenchArguments) -> Result<()> {
    let settings = Settings { is_quick: arguments.quick, manager: manager(arguments.manager)? };
    let families = chosen(&arguments.only)?;
    arguments.json.iter().chain(&arguments.svg).try_for_each(|path| report::check_writable(path))?;

    let missing = Missing::default();
    let (mut rows, mut failures) = (Vec::new(), Vec::new());
    let began = Instant::now();
    for family in families {
        eprintln!("measuring {}, after {:.0} s", family.name, began.elapsed().as_secs_f64());
        match (family.measure)(&settings, &missing) {
            Ok(measured) => rows.extend(measured),
            // The other families can still be measured.
            Err(error) => failures.push(format!("{} could not be measured: {error:#}", family.name)),
        }
    }

    println!("{}", report::table(&rows));
    for line in missing.lines() {
        println!("{line}");
    }
    if let Some(path) = &arguments.json {
        report::write_json(&rows, path)?;
    }
    if let Some(path) = &arguments.svg {
        report::write_plot(&rows, path)?;
    }
    eprintln!("measured in {:.0} s", began.elapsed().as_secs_f64());
    ensure!(failures.is_empty(), "{}", failures.join("\n"));
    Ok(())
}

/// The families whose names contain one of the filters, or all if there are none. Each filter must choose something.
fn chosen(filters: &[String]) -> Result<Vec<&'static Family>> {
    let chooses = |filter: &String, family: &Family| family.name.contains(filter.as_str());
    for filter in filters {
        let names: Vec<_> = families::ALL.iter().map(|family| family.name).collect();
        ensure!(
            families::ALL.iter().any(|family| chooses(filter, family)),
            "no family matches {filter:?}; there are {}",
            names.join(", ")
        );
    }
    let is_chosen =
        |family: &&Family| filters.is_empty() || filters.iter().any(|filter| chooses(filter, family));
    Ok(families::ALL.iter().filter(is_chosen).collect())
}

/// The program `manager`, which is built beside this one.
fn manager(given: Option<PathBuf>) -> Result<PathBuf> {
    let manager = match given {
        Some(path) => path,
        None => std::env::current_exe()?.with_file_name("manager"),
    };
    ensure!(manager.is_file(), "{} does not exist; use scripts/bench, which builds it", manager.display());
    Ok(manager)
}
