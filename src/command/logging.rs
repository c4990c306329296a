//! The log of the programs, on standard error.

use log::LevelFilter;

/// The level that this many `-v` choose.
pub(super) fn level(verbose: u8) -> LevelFilter {
    match verbose {
        0 => LevelFilter::Warn,
        1 => LevelFilter::Info,
        2 => LevelFilter::Debug,
        _ => LevelFilter::Trace,
    }
}

/// Logs at this level, unless `RUST_LOG` chooses another. Call it once in a process.
pub(super) fn start(level: LevelFilter) {
    // mio logs every descriptor that it registers, which tells a user nothing.
    let quiet = LevelFilter::Info.min(level);
    env_logger::Builder::new().filter_level(level).filter_module("mio", quiet).parse_default_env().init();
}
