//! Commands under one lock, whose processes are killed at random moments: none may run code beside the next.
//!
//! The commands prove it themselves. Each begins by appending a record to a file, and all of its processes look at the
//! length of that file all the time. If one sees a later record than its own command's, it has run beside that command.

use std::env;
use std::fs::{self, File, OpenOptions};
use std::io::{Seek, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use client::Result;
use rustix::process::{Pid, Signal, kill_process};

use crate::support::{RunningProgram, apply, descendants, helper, private_folder, serve_by, test};

/// How many processes to kill; many more if a person asks for it. `scripts/check-overlaps` does.
const KILLS: &str = "RALLYPOINT_TEST_OVERLAP_KILLS";
const KILLS_BY_DEFAULT: u32 = 40;

/// The seed of the random choices, to repeat them.
const SEED: &str = "RALLYPOINT_TEST_OVERLAP_SEED";

/// The folder of other programs to test, as of an earlier version.
const PROGRAMS: &str = "RALLYPOINT_TEST_OVERLAP_PROGRAMS";

/// How many `worker run`s want the lock at any time.
const RUNS: usize = 3;

/// How long a command runs that nobody kills. Its other processes would run on.
const COMMAND_TIME: Duration = Duration::from_millis(15);

/// How long a process looks at most, if it is never killed.
const LOOKING_TIME: Duration = Duration::from_secs(20);

/// The longest time from the begin of a command to the kill.
const DELAY_MICROSECONDS_MAX: u64 = 8_000;

/// Bytes of a record: the time, and the process id of the command.
const RECORD_BYTES: u64 = 16;

/// The processes of a run, as victims.
const VICTIMS: [&str; 4] = ["worker run", "supervisor", "command", "other"];

/// The folder in which the commands leave their records.
pub(super) struct Records {
    folder: PathBuf,
}

impl Records {
    pub(super) fn new(folder: &Path) -> Records {
        Records { folder: folder.to_owned() }
    }

    fn begun(&self) -> PathBuf {
        self.folder.join("begun")
    }

    fn overlaps_file(&self) -> PathBuf {
        self.folder.join("overlaps")
    }

    /// What processes have entered that saw a later command: a line for each.
    pub(super) fn overlaps(&self) -> String {
        fs::read_to_string(self.overlaps_file()).unwrap_or_default()
    }

    /// How many commands have begun.
    pub(super) fn count(&self) -> u64 {
        fs::metadata(self.begun()).map_or(0, |metadata| metadata.len() / RECORD_BYTES)
    }

    /// When a command began, and its process id.
    pub(super) fn record(&self, number: u64) -> (u64, u32) {
        let bytes = fs::read(self.begun()).unwrap();
        let record = &bytes[usize::try_from((number - 1) * RECORD_BYTES).unwrap()..];
        let time = u64::from_le_bytes(record[..8].try_into().unwrap());
        (time, u32::from_le_bytes(record[8..12].try_into().unwrap()))
    }

    /// Enters that this process's command begins. Returns its number, from 1.
    fn begin(&self) -> u64 {
        let mut file = OpenOptions::new().append(true).create(true).open(self.begun()).unwrap();
        let mut record = [0; RECORD_BYTES as usize];
        record[..8].copy_from_slice(&now().to_le_bytes());
        record[8..12].copy_from_slice(&std::process::id().to_le_bytes());
        file.write_all(&record).unwrap();
        file.stream_position().unwrap() / RECORD_BYTES
    }

    /// Looks for a later command than this, until the time is over.
    fn look(&self, number: u64, time: Duration) {
        let file = File::open(self.begun()).unwrap();
        let began = Instant::now();
        while began.elapsed() < time {
            if file.metadata().unwrap().len() / RECORD_BYTES > number {
                let late = now().saturating_sub(self.record(number + 1).0) / 1_000;
                let mut overlaps =
                    OpenOptions::new().append(true).create(true).open(self.overlaps_file()).unwrap();
                let text = format!("{number} {late} process {}\n", std::process::id());
                return overlaps.write_all(text.as_bytes()).unwrap();
            }
        }
    }
}

/// Nanoseconds of the system's clock, which says how long an overlap was. Whether there was one depends on no clock.
fn now() -> u64 {
    u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos()).unwrap()
}

fn argument(number: usize) -> String {
    env::args().nth(number).unwrap()
}

/// Begins, starts a child and a grandchild, and looks for a while.
#[apply(helper)]
pub(crate) fn be_command() -> Result<()> {
    let records = Records::new(Path::new(&argument(2)));
    let number = records.begin();
    let mut child = member(&records, number, 2).spawn().unwrap();
    records.look(number, COMMAND_TIME);
    // It runs on, unless it was killed.
    child.try_wait().unwrap();
    Ok(())
}

/// Starts the processes below it, and looks until it is killed.
#[apply(helper)]
pub(crate) fn be_member() -> Result<()> {
    let records = Records::new(Path::new(&argument(2)));
    let (number, levels) = (argument(3).parse().unwrap(), argument(4).parse::<u32>().unwrap());
    let child = (levels > 1).then(|| member(&records, number, levels - 1).spawn().unwrap());
    records.look(number, LOOKING_TIME);
    child.into_iter().for_each(|mut child| drop(child.try_wait()));
    Ok(())
}

fn member(records: &Records, number: u64, levels: u32) -> Command {
    let mut command = helper::command(be_member);
    command.arg(&records.folder).arg(number.to_string()).arg(levels.to_string());
    command
}

/// Random numbers that a seed determines (xorshift).
struct XorShift(u64);

impl XorShift {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

/// A manager, and programs that want one lock of it.
struct LockContenders {
    program: PathBuf,
    socket: PathBuf,
    records: Records,
    runs: Vec<Child>,
    _manager: RunningProgram,
}

impl LockContenders {
    fn run(&self) -> Child {
        let mut command = Command::new(&self.program);
        command.args(["run", "--lock", "lock", "--socket"]).arg(&self.socket).arg("--");
        let inner = helper::command(be_command);
        command.arg(inner.get_program()).args(inner.get_args()).arg(&self.records.folder);
        // They say of each holder that it was killed.
        command.stdin(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    }

    /// Reaps those that have ended, and starts others.
    fn replace_ended(&mut self) {
        self.runs.retain_mut(|run| run.try_wait().unwrap().is_none());
        while self.runs.len() < RUNS {
            let run = self.run();
            self.runs.push(run);
        }
    }

    /// Waits for a later command than this, and returns its number.
    fn next(&mut self, last: u64) -> u64 {
        let began = Instant::now();
        loop {
            let count = self.records.count();
            if count > last {
                return count;
            }
            assert!(began.elapsed() < crate::support::PATIENCE, "no command begins");
            self.replace_ended();
            sleep(Duration::from_micros(200));
        }
    }

    /// Kills a process of the run of this command. Returns which kind it was, if it was there.
    fn kill(&self, number: u64, random: &mut XorShift) -> Option<usize> {
        let (_, command) = self.records.record(number);
        let families = self.runs.iter().map(|run| [vec![run.id()], descendants(run.id())].concat());
        let family: Vec<u32> = families.into_iter().find(|family| family.contains(&command))?;
        // First the run, then its supervisor, then the command and others.
        let (supervisor, others) = (family.get(1).copied()?, family.iter().skip(2));
        let others: Vec<u32> = others.copied().filter(|&process| process != command).collect();
        let kind = usize::try_from(random.below(VICTIMS.len() as u64)).unwrap();
        let victim = match kind {
            0 => family[0],
            1 => supervisor,
            2 => command,
            _ if others.is_empty() => return None,
            _ => others[usize::try_from(random.below(others.len() as u64)).unwrap()],
        };
        kill_process(Pid::from_raw(victim.cast_signed())?, Signal::KILL).is_ok().then_some(kind)
    }
}

impl Drop for LockContenders {
    fn drop(&mut self) {
        for run in &mut self.runs {
            let _ = run.kill();
            let _ = run.wait();
        }
    }
}

#[apply(test)]
fn no_process_of_a_killed_run_runs_beside_the_next_command() {
    let number = |name| env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    let kills = number(KILLS).unwrap_or(KILLS_BY_DEFAULT.into());
    let seed = number(SEED).unwrap_or_else(|| now() | 1);
    println!("{SEED}={seed}");
    let mut random = XorShift(seed);

    let folder = private_folder();
    let socket = folder.path().join("own/manager.sock");
    let programs = env::var_os(PROGRAMS).map(PathBuf::from);
    let program = |name: &str, here: &str| {
        programs.as_ref().map_or_else(|| Path::new(here).to_owned(), |folder| folder.join(name))
    };
    let manager = serve_by(&mut Command::new(program("manager", env!("CARGO_BIN_EXE_manager"))), &socket);
    let program = program("worker", env!("CARGO_BIN_EXE_worker"));
    let records = Records::new(folder.path());
    let mut crowd = LockContenders { program, socket, records, runs: Vec::new(), _manager: manager };

    let mut killed = [0; VICTIMS.len()];
    let mut last = 0;
    while killed.iter().sum::<u64>() < kills {
        last = crowd.next(last);
        sleep(Duration::from_micros(random.below(DELAY_MICROSECONDS_MAX)));
        if let Some(kind) = crowd.kill(last, &mut random) {
            killed[kind] += 1;
        }
    }
    crowd.next(last);
    sleep(COMMAND_TIME);

    let overlaps = crowd.records.overlaps();
    let late = overlaps.lines().filter_map(|line| line.split(' ').nth(1)?.parse::<u64>().ok());
    let longest = late.max().unwrap_or_default();
    let mut beside: Vec<&str> = overlaps.lines().filter_map(|line| line.split(' ').next()).collect();
    beside.sort_unstable();
    beside.dedup();
    let victims: Vec<String> =
        VICTIMS.iter().zip(killed).map(|(name, count)| format!("{count} {name}")).collect();
    let commands = crowd.records.count();
    println!("{kills} kills ({}), {commands} commands", victims.join(", "));
    println!("{} commands ran beside a later one, at most {longest} µs of it", beside.len());
    assert!(beside.is_empty(), "these ran beside a later one, from {SEED}={seed}:\n{overlaps}");
}
