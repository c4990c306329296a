//! What a round trip costs: `Event::is_set`, and a lock that nobody else wants, beside a bare ping-pong over a Unix
//! socket and Python's manager.
//!
//! `cargo run --release -p client --example round_trip`
//!
//! All processes run on one core, and all take turns in short rounds, so that what disturbs one disturbs all.
//! Python is left out, and said to be, where there is no `python3`.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use client::{Event, Lock, Manager};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

const ROUNDS: usize = 40;
const CALLS_PER_ROUND: usize = 500;
/// About what a frame of `is_set` has.
const PING_BYTES: usize = 24;

/// Answers each line `N` with the nanoseconds of `N` calls of `is_set`, one a line.
const PYTHON: &str = "
import sys, time, multiprocessing
if __name__ == '__main__':
    event = multiprocessing.Manager().Event()
    event.is_set()
    print('ready', flush=True)
    for line in sys.stdin:
        times = []
        for _ in range(int(line)):
            began = time.perf_counter_ns()
            event.is_set()
            times.append(time.perf_counter_ns() - began)
        print(*times, flush=True)
";

fn main() -> client::Result<()> {
    if std::env::args().nth(1).as_deref() == Some("echo") {
        echo();
        return Ok(());
    }
    client::init();
    pin_to_one_core();

    let manager = Manager::start()?;
    let (event, lock) = (manager.anonymous_event()?, manager.anonymous_lock()?);
    let mut floor = PingPong::start();
    let mut python = Python::start();

    let (mut floors, mut events, mut locks, mut rivals) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for round in 0..=ROUNDS {
        let times = [
            floor.measure(),
            measure(&event)?,
            measure_lock(&lock)?,
            python.as_mut().map(Python::measure).unwrap_or_default(),
        ];
        // The first round warms everything up.
        if round > 0 {
            for (all, times) in [&mut floors, &mut events, &mut locks, &mut rivals].into_iter().zip(times) {
                all.extend(times);
            }
        }
    }
    floor.end();

    let bare = median(&mut floors);
    println!("{:<36}{:>10}{:>10}{:>14}", "round trip, one core", "p50", "p99", "p50 to floor");
    for (what, times) in [
        ("bare ping-pong, Unix socket", &mut floors),
        ("Event::is_set", &mut events),
        ("Lock::acquire, and drop", &mut locks),
        ("Python's Manager().Event().is_set()", &mut rivals),
    ] {
        match times.is_empty() {
            true => println!("{what:<36}  no python3 here"),
            false => {
                let (p50, p99) = (median(times), times[times.len() * 99 / 100]);
                let ratio = p50.as_secs_f64() / bare.as_secs_f64();
                println!("{what:<36}{p50:>10.1?}{p99:>10.1?}{ratio:>14.2}");
            }
        }
    }
    Ok(())
}

/// This process and all that it starts, on the first core that it may use: a container may not be given core 0.
fn pin_to_one_core() {
    let allowed = sched_getaffinity(None).expect("a process may ask for its cores");
    let first = (0..CpuSet::MAX_CPU).find(|&core| allowed.is_set(core)).expect("it runs on some core");
    let mut cores = CpuSet::new();
    cores.set(first);
    sched_setaffinity(None, &cores).expect("a process may choose among its cores");
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

fn timed(mut call: impl FnMut()) -> Vec<Duration> {
    let one = |_| {
        let began = Instant::now();
        call();
        began.elapsed()
    };
    (0..CALLS_PER_ROUND).map(one).collect()
}

fn measure(event: &Event) -> client::Result<Vec<Duration>> {
    event.is_set()?;
    Ok(timed(|| assert!(!event.is_set().expect("the manager lives"))))
}

/// The guard's drop sends a request too, and waits for no answer.
fn measure_lock(lock: &Lock) -> client::Result<Vec<Duration>> {
    drop(lock.acquire()?);
    Ok(timed(|| drop(lock.acquire().expect("nobody else wants it"))))
}

/// Another process that sends back what it is sent.
struct PingPong {
    socket: UnixStream,
    process: Child,
}

impl PingPong {
    fn start() -> PingPong {
        let (socket, other) = UnixStream::pair().expect("a socket pair");
        let program = std::env::current_exe().expect("the path of this program");
        let process = Command::new(program)
            .arg("echo")
            .stdin(Stdio::from(std::os::fd::OwnedFd::from(other)))
            .spawn()
            .expect("a copy of this program");
        PingPong { socket, process }
    }

    fn measure(&mut self) -> Vec<Duration> {
        let mut bytes = [0; PING_BYTES];
        timed(|| {
            self.socket.write_all(&bytes).expect("the echo lives");
            self.socket.read_exact(&mut bytes).expect("the echo lives");
        })
    }

    fn end(mut self) {
        drop(self.socket);
        self.process.wait().expect("the echo ends with its socket");
    }
}

fn echo() {
    let socket = rustix::io::dup(rustix::stdio::stdin()).expect("the socket is the standard input");
    let mut socket = UnixStream::from(socket);
    let mut bytes = [0; PING_BYTES];
    while socket.read_exact(&mut bytes).is_ok() && socket.write_all(&bytes).is_ok() {}
}

/// Python's manager and a process that asks it.
struct Python {
    asks: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Python {
    fn start() -> Option<Python> {
        let process = Command::new("python3")
            .args(["-c", PYTHON])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .ok()?;
        let mut answers = BufReader::new(process.stdout?);
        let mut line = String::new();
        answers.read_line(&mut line).ok()?;
        // It ends with its standard input.
        (line.trim() == "ready").then_some(Python { asks: process.stdin?, answers })
    }

    fn measure(&mut self) -> Vec<Duration> {
        writeln!(self.asks, "{CALLS_PER_ROUND}").expect("Python lives");
        let mut line = String::new();
        self.answers.read_line(&mut line).expect("Python lives");
        line.split_whitespace().map(|time| Duration::from_nanos(time.parse().expect("a number"))).collect()
    }
}
