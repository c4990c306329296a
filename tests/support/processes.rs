//! Any processes: their signals, their states, and who started whom.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use rustix::process::{Pid, Signal, kill_process};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};

/// Signals a process.
pub(crate) fn kill(process: u32, signal: Signal) {
    kill_process(Pid::from_raw(process.cast_signed()).unwrap(), signal).unwrap();
}

/// Whether a process runs. One that has ended and was not reaped does not.
pub(crate) fn is_alive(process: u32) -> bool {
    !matches!(state(Path::new(&format!("/proc/{process}"))), Some('Z' | 'X') | None)
}

/// The state of a process or a thread, given its folder in `/proc`: one of the letters that proc(5) lists.
pub(crate) fn state(folder: &Path) -> Option<char> {
    let text = fs::read_to_string(folder.join("stat")).ok()?;
    // It follows the program's name, which is in parentheses and may itself have some.
    text.rsplit(") ").next()?.chars().next()
}

/// The processes that this one started, those that these started, and so on.
pub(crate) fn descendants(process: u32) -> Vec<u32> {
    let threads =
        fs::read_dir(Path::new("/proc").join(process.to_string()).join("task")).into_iter().flatten();
    let lists =
        threads.flatten().filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
    let children: Vec<u32> = lists
        .flat_map(|list| list.split(' ').filter_map(|id| id.parse().ok()).collect::<Vec<u32>>())
        .collect();
    children.iter().flat_map(|&child| [vec![child], descendants(child)].concat()).collect()
}

/// Has these signals end this program even if it was started with them ignored, as in the background of a shell.
/// Otherwise the programs that it starts would ignore them too, and tests send them these signals.
pub(crate) fn heed_signals() {
    for signal in [SIGINT, SIGQUIT, SIGHUP, SIGTERM] {
        let always = Arc::new(AtomicBool::new(true));
        signal_hook::flag::register_conditional_shutdown(signal, 128 + signal, always)
            .expect("these signals may be handled");
    }
}

/// How much memory a process has of its own, in KiB.
pub(crate) fn resident_kib(process: u32) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}
