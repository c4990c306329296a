//! The program `worker`.

fn main() -> std::process::ExitCode {
    rallypoint::command::worker::main()
}
