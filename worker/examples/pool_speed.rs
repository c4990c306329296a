//! What a pool's tasks cost, beside Python's `multiprocessing.Pool`, both with two workers and in turns.
//!
//! `cargo run --release -p worker --example pool_speed`
//!
//! Python is left out, and said to be, where there is no `python3`.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use client::{Event, Manager, Pool, Result, task};
use worker::Registry;

const ROUNDS: usize = 5;
const TASKS: u32 = 20_000;
const EVENT_TASKS: u32 = 2_000;
const APPLIES: u32 = 500;
const QUEUED: u32 = 1_000_000;

/// What is measured: what people call it, what the script calls it, how many tasks, and ours.
type Row<'a> = (&'a str, &'a str, u32, &'a dyn Fn() -> Result<Duration>);

/// Answers each line, the name of a measurement, with its seconds.
const PYTHON: &str = "
import sys, time, multiprocessing
def nothing(_): pass
def look(_, event): pass
def now(_=None): return 1
def first(context):
    began = time.perf_counter()
    with context.Pool(2) as pool:
        pool.apply(now)
        return time.perf_counter() - began
if __name__ == '__main__':
    TASKS, EVENT_TASKS, APPLIES = map(int, sys.argv[1:4])
    pool = multiprocessing.Pool(2)
    manager = multiprocessing.Manager()
    event = manager.Event()
    pool.map(nothing, range(100))
    print('ready', flush=True)
    for line in sys.stdin:
        what = line.strip()
        began = time.perf_counter()
        if what == 'map': pool.map(nothing, range(TASKS), 1)
        if what == 'event': pool.starmap(look, ((number, event) for number in range(EVENT_TASKS)), 1)
        if what == 'apply':
            for _ in range(APPLIES): pool.apply(now)
        took = time.perf_counter() - began
        if what == 'start': took = first(multiprocessing.get_context('spawn'))
        print(took, flush=True)
";

fn nothing(_number: u32) {}

fn look(_number: u32, _event: Event) {}

fn one() -> u32 {
    1
}

/// Sleeps until it is stopped.
fn doze() -> bool {
    task::sleep(Duration::from_secs(60))
}

fn main() -> Result<()> {
    worker::init(Registry::new().task(nothing).task(look).task(one).task(doze));

    let manager = Manager::start()?;
    let pool = Pool::new(&manager, 2)?;
    pool.map(nothing, 0..100)?;
    let mut python = Python::start();

    println!("{:<44}{:>12}{:>12}{:>8}", "two workers; medians", "ours", "Python", "ratio");
    let rows: [Row<'_>; 4] = [
        ("map of nothing, chunk size 1, a task", "map", TASKS, &|| map_nothing(&pool)),
        ("starmap with an event, chunk size 1, a task", "event", EVENT_TASKS, &|| {
            starmap_event(&manager, &pool)
        }),
        ("apply, a round trip", "apply", APPLIES, &|| applies(&pool)),
        ("pool start to first result (Python: spawn)", "start", 1, &|| first_result(&manager)),
    ];
    for (what, name, count, ours) in rows {
        let (mut times, mut rivals) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            times.push(ours()? / count);
            rivals.extend(python.as_mut().map(|python| python.measure(name) / count));
        }
        report(what, &mut times, &mut rivals);
    }
    let mut times = (0..ROUNDS).map(|_| set_to_last_end(&pool)).collect::<Result<Vec<_>>>()?;
    report("set() to the last end of tasks in task::sleep", &mut times, &mut Vec::new());
    println!("{:<44}{:>9} B", "memory of a queued task, in the manager", queued_bytes(&manager)?);
    Ok(())
}

fn report(what: &str, ours: &mut [Duration], rivals: &mut [Duration]) {
    let ours = median(ours);
    match rivals.is_empty() {
        true => println!("{what:<44}{ours:>12.1?}"),
        false => {
            let rival = median(rivals);
            println!(
                "{what:<44}{ours:>12.1?}{rival:>12.1?}{:>8.1}",
                rival.as_secs_f64() / ours.as_secs_f64()
            );
        }
    }
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

fn map_nothing(pool: &Pool) -> Result<Duration> {
    let began = Instant::now();
    pool.batch(nothing).chunk_size(1).map(0..TASKS)?;
    Ok(began.elapsed())
}

fn starmap_event(manager: &Manager, pool: &Pool) -> Result<Duration> {
    let event = manager.anonymous_event()?;
    let began = Instant::now();
    pool.batch(look).chunk_size(1).starmap((0..EVENT_TASKS).map(|number| (number, event.clone())))?;
    Ok(began.elapsed())
}

fn applies(pool: &Pool) -> Result<Duration> {
    let began = Instant::now();
    for _ in 0..APPLIES {
        pool.apply(one, ())?;
    }
    Ok(began.elapsed())
}

fn first_result(manager: &Manager) -> Result<Duration> {
    let began = Instant::now();
    let pool = Pool::new(manager, 2)?;
    pool.apply(one, ())?;
    Ok(began.elapsed())
}

fn set_to_last_end(pool: &Pool) -> Result<Duration> {
    let result = pool.batch(doze).chunk_size(1).starmap_async([(), ()])?;
    while result.progress()?.running < 2 {
        std::thread::sleep(Duration::from_millis(1));
    }
    let began = Instant::now();
    result.stop(Duration::from_secs(5))?;
    Ok(began.elapsed())
}

/// What the manager's resident memory grows by for each task of a million that nobody runs.
fn queued_bytes(manager: &Manager) -> Result<u64> {
    let pool = Pool::open(manager, "nobody serves this")?;
    let before = resident_bytes(manager);
    let result = pool.batch(task::named::<(u32,), ()>("nothing")).chunk_size(1).map_async(0..QUEUED)?;
    // Its answer comes after all that was sent before it was taken in.
    result.progress()?;
    let after = resident_bytes(manager);
    result.cancel()?;
    Ok((after - before) / u64::from(QUEUED))
}

/// The resident memory of this program's private manager, which is its only child with that role.
fn resident_bytes(manager: &Manager) -> u64 {
    let socket = manager.socket().display().to_string();
    let is_manager = |process: &u32| {
        let command = std::fs::read_to_string(format!("/proc/{process}/cmdline")).unwrap_or_default();
        command.contains("rallypoint:manager") && command.contains(&socket)
    };
    let processes = std::fs::read_dir("/proc").expect("Linux has /proc").flatten();
    let mut numbers = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let process: u32 = numbers.find(is_manager).expect("the manager runs");
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).expect("it can be looked at");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("it has memory");
    let kibibytes: u64 = line.trim().trim_end_matches(" kB").parse().expect("a number of kB");
    kibibytes * 1024
}

/// Python's pool and manager.
struct Python {
    process: Child,
    asks: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Python {
    fn start() -> Option<Python> {
        let script = std::env::temp_dir().join(format!("pool_speed_{}.py", std::process::id()));
        std::fs::write(&script, PYTHON).ok()?;
        let mut process = Command::new("python3")
            .arg(&script)
            .args([TASKS, EVENT_TASKS, APPLIES].map(|number| number.to_string()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .ok()?;
        let (asks, answers) = (process.stdin.take(), BufReader::new(process.stdout.take()?));
        let mut python = Python { process, asks, answers };
        (python.line() == "ready").then_some(python)
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.answers.read_line(&mut line).expect("Python lives");
        line.trim().to_owned()
    }

    fn measure(&mut self, what: &str) -> Duration {
        let asks = self.asks.as_mut().expect("it is open until the end");
        writeln!(asks, "{what}").expect("Python lives");
        Duration::from_secs_f64(self.line().parse().expect("a number of seconds"))
    }
}

impl Drop for Python {
    fn drop(&mut self) {
        // It ends with its standard input, and its script goes with it.
        self.asks = None;
        let _ = self.process.wait();
        let _ =
            std::fs::remove_file(std::env::temp_dir().join(format!("pool_speed_{}.py", std::process::id())));
    }
}
