//! The log of the programs, on standard error.

use log::LevelFilter;

/// The level for as many `-v` as the command line has.
pub(super) fn level(verbose: u8) -> LevelFilter {
    match verbose {
        0 => LevelFilter::Warn,
        1 => LevelFilter::Info,
        2 => LevelFilter::Debug,
        _ => LevelFilter::Trace,
    }
}

/// Logs at this level, unless `RUST_LOG` chooses another. To be called once in a process.
pub(super) fn start(level: LevelFilter) {
    // mio logs every descriptor that it registers, which is of no use to a reader of messages.
    let quiet = LevelFilter::Info.min(level);
    env_logger::Builder::new().filter_level(level).filter_module("mio", quiet).parse_default_env().init();
}
