//! How the examples print, in their workers, too: they go on even if nobody reads their output any more, as in
//! `cargo run --example event | head -1`. The standard library's `println!` panics then.

/// Prints a line to standard output, like the macro of this name in the standard library.
macro_rules! println {
    ($($line:tt)*) => {
        // Nobody is left to be told why not.
        drop(std::io::Write::write_fmt(&mut std::io::stdout(), format_args!("{}\n", format_args!($($line)*))))
    };
}

pub(crate) use println;
