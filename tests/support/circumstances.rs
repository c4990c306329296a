//! Programs that are started as some parents start theirs: with signals ignored or blocked, with descriptors closed.

use std::process::Command;

/// A command that starts the same program in the same folder and environment, by a launcher: a program that changes its
/// own process and then runs the rest of its arguments in it, as env(1) does.
pub(crate) fn by(launcher: &[&str], command: &Command) -> Command {
    let (program, arguments) = launcher.split_first().expect("a launcher has a name");
    let mut by = Command::new(program);
    by.args(arguments).arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => by.env(name, value),
            None => by.env_remove(name),
        };
    }
    if let Some(folder) = command.get_current_dir() {
        by.current_dir(folder);
    }
    by
}

/// The same by a shell that runs this script, which ends with the program: `exec "$@"` and redirections.
pub(crate) fn by_shell(script: &str, command: &Command) -> Command {
    by(&["sh", "-c", script, "sh"], command)
}
