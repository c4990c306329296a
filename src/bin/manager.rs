//! The program `manager`.

fn main() -> std::process::ExitCode {
    rallypoint::command::manager::main()
}
