//! The log of the programs, on standard error.

use std::env::var_os;
use std::io::{self, IsTerminal, Write, stderr};
use std::time::Duration;

use env_logger::{Builder, Target, WriteStyle};
use log::LevelFilter;
use sys::bounded_write::write_within;

/// How long a record may take to be written. It is short because nobody is served meanwhile.
const WRITE_TIME_MAX: Duration = Duration::from_millis(10);

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
    let mut builder = Builder::new();
    builder.filter_level(level).filter_module("mio", quiet);
    builder.write_style(if has_colors() { WriteStyle::Always } else { WriteStyle::Never });
    builder.target(Target::Pipe(Box::new(LogOutput::default())));
    builder.parse_default_env().init();
}

/// Whether standard error shows colors, and nobody has asked for none.
fn has_colors() -> bool {
    stderr().is_terminal()
        && var_os("NO_COLOR").is_none_or(|set| set.is_empty())
        && var_os("TERM").is_some_and(|terminal| terminal != "dumb")
}

/// Standard error, without the records that nobody reads in time. It says how many these were once there is room again.
#[derive(Debug, Default)]
struct LogOutput {
    /// How many records were lost since the last one that was written.
    lost: u64,
}

impl Write for LogOutput {
    fn write(&mut self, record: &[u8]) -> io::Result<usize> {
        let written = match self.lost {
            0 => write_within(&stderr(), record, WRITE_TIME_MAX),
            // Whoever does not read is waited for once.
            lost => {
                let note = format!("[{lost} records were lost, because nobody read them]\n");
                write_within(&stderr(), &[note.as_bytes(), record].concat(), Duration::ZERO)
            }
        };
        match written {
            Err(error) if error.kind() == io::ErrorKind::TimedOut => self.lost += 1,
            Err(_) | Ok(()) => self.lost = 0,
        }
        Ok(record.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
