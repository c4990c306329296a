//! An address: how the programs read it, and what they say where nobody can serve or reach it.

use std::fs;
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::path::Path;
use std::process::Command;

use client::Manager;
use protocol::endpoint::SOCKET_VARIABLE;
use rustix::process::Signal;

use crate::command::usage::{complaint, complaint_of_waiting, manager, run, worker};
use crate::support::{
    ManagerProgram, RunningProgram, apply, eventually, is_alive, private_folder, serve, test,
};

#[apply(test)]
fn that_is_none_is_a_mistake_of_usage_in_every_program() {
    let programs: [(&str, &[&str]); 3] = [
        (env!("CARGO_BIN_EXE_manager"), &[]),
        (env!("CARGO_BIN_EXE_worker"), &["--pool", "demo"]),
        (env!("CARGO_BIN_EXE_worker"), &["run", "--stop", "stop"]),
    ];
    for (address, expected) in [
        (
            "tls://host:7420",
            "the address tls://host:7420 is one of the transport `tls`, which this version does not have; ",
        ),
        ("a:b", "the address a:b is one of the transport `a`, which this version does not have; "),
        ("unix:", "the address “unix:” names no socket; "),
    ] {
        let expected = format!(
            "{expected}an address is `unix:` and the path of a Unix socket of this machine, as in \
             `unix:/path/manager.sock`, or the path alone, with `./` before a relative one that has a colon\n"
        );
        for (program, arguments) in programs {
            let command = |option: &[&str]| {
                let mut command = Command::new(program);
                command.args(arguments).args(option).env_remove(SOCKET_VARIABLE);
                if arguments.contains(&"run") {
                    command.args(["--", "true"]);
                }
                command
            };
            let (status, output, text) = run(&mut command(&["--socket", address]));
            assert_eq!((status, output.as_str()), (Some(2), ""), "{text}");
            assert!(text.contains(&expected) && text.contains("--socket <ADDRESS>"), "{text}");

            let (status, output, text) = run(command(&[]).env(SOCKET_VARIABLE, address));
            assert_eq!((status, output.as_str()), (Some(2), ""), "{text}");
            let expected = format!("error: the value of {SOCKET_VARIABLE} is wrong: {expected}");
            assert!(text.starts_with(&expected) && text.contains("Usage: "), "{text}");
        }
    }
}

#[apply(test)]
fn given_by_a_relative_path_is_named_by_the_whole() {
    let folder = private_folder();
    let address = format!("unix:{}", folder.path().join("m.sock").display());
    let text = complaint_of_waiting(worker(Path::new("m.sock")).current_dir(folder.path()));
    let expected = format!(
        "worker: no manager is running at {address}; start one with `manager --socket {address}`; this program waits \
         for one\n"
    );
    assert_eq!(text, expected);
    let mut running = RunningProgram::start(manager(Path::new("m.sock")).current_dir(folder.path()));
    assert_eq!(running.line(), format!("manager is ready at {address}"));
    let manager = Manager::connect_to(&address).unwrap();
    assert_eq!(Manager::connect_to(manager.address()).unwrap().address(), manager.address());
}

#[apply(test)]
fn with_a_space_is_advised_so_that_it_can_be_pasted() {
    let folder = private_folder();
    let socket = folder.path().join("my manager's.sock");
    let text = complaint_of_waiting(&mut worker(&socket));
    let command = text.split('`').nth(1).unwrap();
    let arguments = command.strip_prefix("manager ").unwrap();
    let pasted = format!("exec {} {arguments}", env!("CARGO_BIN_EXE_manager"));
    let mut running = RunningProgram::start(Command::new("sh").args(["-c", &pasted]));
    assert_eq!(running.line(), format!("manager is ready at unix:{}", socket.display()), "{text}");
    Manager::connect_to(&socket).unwrap();
}

#[apply(test)]
fn with_control_characters_is_refused_without_showing_them() {
    let socket = Path::new("/x\x1b[31m.sock");
    for mut command in [manager(socket), worker(socket)] {
        let (status, output, text) = run(&mut command);
        assert_eq!((status, output.as_str()), (Some(2), ""), "{text}");
        assert!(text.contains("must not hold control characters") && !text.contains('\x1b'), "{text:?}");
    }
}

#[apply(test)]
fn in_an_unusable_runtime_folder_is_told_with_the_variable_and_the_way_out() {
    let folder = private_folder();
    let missing = folder.path().join("missing");
    let way_out =
        "correct or unset XDG_RUNTIME_DIR, or name another socket, with RALLYPOINT_SOCKET or --socket";
    let fresh = |program: &str| {
        let mut command = Command::new(program);
        command.env("XDG_RUNTIME_DIR", &missing).env_remove(SOCKET_VARIABLE);
        command
    };
    let text = complaint(&mut fresh(env!("CARGO_BIN_EXE_manager")));
    assert!(text.contains("cannot be used: No such file") && text.contains("only the last folder"), "{text}");
    assert!(text.contains("XDG_RUNTIME_DIR") && text.contains(way_out), "{text}");
    let text = complaint_of_waiting(fresh(env!("CARGO_BIN_EXE_worker")).args(["--pool", "demo"]));
    assert!(text.contains(&format!("the folder {} is missing", missing.display())), "{text}");
    assert!(text.contains(way_out) && !text.contains("`manager"), "{text}");

    // Where the path was given, the variable has nothing to do with it.
    let text = complaint(&mut manager(&missing.join("own/m.sock")));
    assert!(!text.contains("XDG_RUNTIME_DIR"), "{text}");
}

#[apply(test)]
fn of_another_listener_is_refused_without_calling_it_a_manager() {
    let folder = private_folder();
    let [stream, datagram] = ["stream", "datagram"].map(|name| folder.path().join(name));
    let _stream = UnixListener::bind(&stream).unwrap();
    let text = complaint(&mut manager(&stream));
    let expected = format!("a process (process {}) listens at {}", std::process::id(), stream.display());
    assert!(text.contains(&expected) && !text.contains("another manager"), "{text}");

    let _datagram = UnixDatagram::bind(&datagram).unwrap();
    for mut command in [manager(&datagram), worker(&datagram)] {
        let text = complaint(&mut command);
        assert!(text.contains("is of another type than a manager's; "), "{text}");
        assert!(!text.contains("os error"), "{text}");
    }
    assert!(stream.exists() && datagram.exists());
}

#[apply(test)]
fn that_was_removed_under_its_manager_is_told_by_everyone() {
    let program = ManagerProgram::start();
    let process = program.running.process();
    fs::remove_file(&program.socket).unwrap();
    let text = complaint(&mut manager(&program.socket));
    assert!(text.contains(&format!("another manager (process {process}) holds the lock of")), "{text}");
    assert!(text.contains("there is no socket") && text.contains("end that manager"), "{text}");
    let error = Manager::connect_to(&program.socket).unwrap_err();
    assert!(error.is_not_running(), "{error:?}");
    assert!(error.to_string().contains(&format!("end process {process} first")), "{error}");

    // What is advised works.
    program.running.signal(Signal::TERM);
    eventually("it has ended", || !is_alive(process));
    assert!(!Manager::connect_to(&program.socket).unwrap_err().to_string().contains("end process"));
    let _next = serve(&program.socket);
    program.connect();
}
