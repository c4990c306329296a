//! The task `command`: what a program did, or why there was none.

use client::{Manager, Pool};
use libtest_mimic::Trial;
use worker::tasks::{Captured, CommandResult, Exit, OUTPUT_BYTES_MAX, command};

use crate::support::{descendants, eventually, is_alive, test};

pub(crate) fn tests() -> Vec<Trial> {
    vec![
        test("command::tells_what_a_program_did", what_it_did),
        test("command::tells_why_there_is_no_program", no_program),
        test("command::keeps_the_beginning_of_much_output", much_output),
        test("command::ends_with_its_worker", ends_with_worker),
    ]
}

fn run(program: &str, arguments: &[&str]) -> CommandResult {
    let manager = Manager::start().unwrap();
    let pool = Pool::new(&manager, 1).unwrap();
    pool.apply(command, arguments_of(program, arguments)).unwrap()
}

fn arguments_of(program: &str, arguments: &[&str]) -> (String, Vec<String>) {
    (program.to_owned(), arguments.iter().map(|&argument| argument.to_owned()).collect())
}

fn what_it_did() {
    let script = "echo out; echo err >&2; wc -c; exit 3";
    let expected =
        Captured { exit: Exit::Status(3), stdout: b"out\n0\n".to_vec(), stderr: b"err\n".to_vec() };
    assert_eq!(run("sh", &["-c", script]), Ok(expected));
    assert_eq!(run("sh", &["-c", "kill -TERM $$"]).unwrap().exit, Exit::Signal(15));
}

fn no_program() {
    let text = run("no-such-program", &[]).unwrap_err();
    assert!(text.starts_with("no-such-program: No such file"), "{text}");
    let text = run("/", &[]).unwrap_err();
    assert!(text.contains("Permission denied"), "{text}");
}

fn much_output() {
    let captured = run("sh", &["-c", "head -c 3000000 /dev/zero; head -c 3000000 /dev/zero >&2"]).unwrap();
    assert_eq!((captured.stdout.len(), captured.stderr.len()), (OUTPUT_BYTES_MAX, OUTPUT_BYTES_MAX));
    assert_eq!(captured.exit, Exit::Status(0));
}

fn ends_with_worker() {
    let manager = Manager::start().unwrap();
    let pool = Pool::new(&manager, 1).unwrap();
    let result = pool.apply_async(command, arguments_of("sh", &["-c", "sleep 1000; true"])).unwrap();
    eventually("the worker is ready", || pool.process_ids().len() == 1);
    let worker = pool.process_ids()[0];
    eventually("the command and what it starts run", || descendants(worker).len() == 2);
    let processes = descendants(worker);
    drop(pool);
    assert!(result.get(None).unwrap_err().is_terminated());
    for process in processes {
        eventually("the command has ended", || !is_alive(process));
    }
}
