//! The socket: which manager may serve it, which clients find it, and what errors all others get.

use std::env;
use std::ffi::OsStr;
use std::fs::{self, File, Permissions};
use std::io::Read;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use client::Manager;
use protocol::endpoint::SOCKET_VARIABLE;
use rustix::process::{Signal, geteuid};

use crate::command::usage::{self, complaint, complaint_of_waiting, manager, worker};
use crate::faults::malformed_peers::call;
use crate::support::helper;
use crate::support::remote_client::{ClientReport, EventOrder, RemoteClient, follow_orders};
use crate::support::{
    ManagerProgram, RunningProgram, apply, by, eventually, kill, private_folder, serve, test,
};

/// A user who is not the one that the tests run as.
const NOBODY: u32 = 65_534;

#[apply(test)]
fn without_a_manager_is_an_error_that_says_what_to_do() {
    let folder = private_folder();
    let socket = folder.path().join("none.sock");
    let expected = format!(
        "no manager is running at unix:{0}; start one with `manager --socket unix:{0}`",
        socket.display()
    );
    let error = Manager::connect_to(&socket).unwrap_err();
    assert!(error.is_not_running(), "{error:?}");
    assert_eq!(error.to_string(), expected);
    let mut command = Command::new(env!("CARGO_BIN_EXE_worker"));
    let text = complaint_of_waiting(command.args(["--pool", "demo"]).env(SOCKET_VARIABLE, &socket));
    assert_eq!(text, format!("worker: {expected}; this program waits for one\n"));
    let mut command = Command::new(env!("CARGO_BIN_EXE_worker"));
    command.args(["run", "--lock", "a", "--", "true"]).env(SOCKET_VARIABLE, &socket);
    let (status, _, text) = usage::run(&mut command);
    assert_eq!((status, text), (Some(69), format!("worker run: {expected}\n")));
}

#[apply(test)]
fn with_too_long_a_path_is_refused_by_everyone() {
    let folder = private_folder();
    let socket = folder.path().join("x".repeat(108));
    assert!(complaint(&mut manager(&socket)).contains("at most 107"));
    assert!(complaint(&mut worker(&socket)).contains("at most 107"));
    let error = Manager::connect_to(&socket).unwrap_err();
    assert!(error.is_limit() && error.to_string().contains("at most 107"), "{error:?}");

    // The longest path that is allowed works.
    let bytes = 107 - folder.path().as_os_str().len() - 1;
    let socket = folder.path().join("x".repeat(bytes));
    let _manager = serve(&socket);
    Manager::connect_to(&socket).unwrap().event("a").unwrap().set().unwrap();
}

#[apply(test)]
fn in_a_folder_that_is_a_link_or_open_or_none_is_refused() {
    let folder = private_folder();
    let [real, link, open, file] = ["real", "link", "open", "file"].map(|name| folder.path().join(name));
    let set_mode = |folder: &Path, mode| fs::set_permissions(folder, Permissions::from_mode(mode)).unwrap();
    for folder in [&real, &real.join("own"), &open] {
        fs::create_dir(folder).unwrap();
        set_mode(folder, 0o700);
    }
    symlink(&real, &link).unwrap();
    set_mode(&open, 0o711);
    fs::write(&file, "").unwrap();
    let chmod = format!("is open to others (mode 0711); run `chmod 700 {}`", open.display());
    let cases = [
        (&link, &link, "is a symbolic link"),
        (&link.join("own"), &link, "is a symbolic link"),
        (&open, &open, &*chmod),
        (&file, &file, "is not a folder"),
        (&file.join("own"), &file, "is not a folder"),
        (&folder.path().join("not/there"), &folder.path().join("not/there"), "cannot be used: No such file"),
    ];
    for (folder, fault, expected) in cases {
        let text = complaint(&mut manager(&folder.join("manager.sock")));
        assert!(text.contains(expected) && text.contains(&format!("{}", fault.display())), "{text}");
    }
    fs::create_dir(open.join("own")).unwrap();
    set_mode(&open.join("own"), 0o700);
    // Others could replace what is in there with a folder of theirs.
    set_mode(&open, 0o777);
    let text = complaint(&mut manager(&open.join("own/manager.sock")));
    assert!(text.contains("is open to changes by others (mode 0777)"), "{text}");
    set_mode(&open, 0o700);
    let inside = |folder: &Path| fs::read_dir(folder).unwrap().count();
    let counts = [&real, &real.join("own"), &open, &open.join("own")].map(|folder| inside(folder));
    assert_eq!(counts, [1, 0, 1, 0], "a refused manager makes no files");
}

#[apply(test)]
fn in_a_folder_of_another_user_is_refused() {
    let user = geteuid().as_raw();
    let own = private_folder();
    // Root can give a folder away. Other users can use one of root's.
    let (folder, owner) = if geteuid().is_root() {
        chown(own.path(), Some(NOBODY), Some(NOBODY)).unwrap();
        (own.path(), NOBODY)
    } else {
        (Path::new("/usr"), 0)
    };
    let text = complaint(&mut manager(&folder.join("m.sock")));
    assert!(text.contains(&format!("belongs to user {owner}, and this is user {user}")), "{text}");
    assert!(text.ends_with(&format!("`--socket /tmp/rallypoint-{user}/m.sock`\n")), "{text}");
    assert!(!folder.join("m.sock").exists() && !folder.join("m.sock.lock").exists());
}

#[apply(test)]
fn in_a_folder_that_others_need_is_advised_against() {
    let user = geteuid().as_raw();
    let folder = private_folder();
    let [home, here, used, shared] = ["home", "here", "used", "shared"].map(|name| folder.path().join(name));
    for (folder, mode) in [(&home, 0o755), (&here, 0o755), (&used, 0o755), (&shared, 0o1777)] {
        fs::create_dir(folder).unwrap();
        fs::set_permissions(folder, Permissions::from_mode(mode)).unwrap();
    }
    fs::write(used.join("index.html"), "").unwrap();
    let usual = Path::new("/tmp").join(format!("rallypoint-{user}"));
    let cases = [
        (&home, "(mode 0755)", usual.join("m.sock")),
        (&here, "(mode 0755)", usual.join("m.sock")),
        (&used, "(mode 0755)", usual.join("m.sock")),
        (&shared, "(mode 1777)", shared.join(format!("rallypoint-{user}/m.sock"))),
    ];
    for (folder, mode, instead) in cases {
        let text = complaint(manager(&folder.join("m.sock")).env("HOME", &home).current_dir(&here));
        assert!(text.contains(mode) && !text.contains("chmod"), "{text}");
        assert!(text.ends_with(&format!("`--socket {}`\n", instead.display())), "{text}");
        assert!(!folder.join("m.sock").exists() && !folder.join("m.sock.lock").exists());
    }
    // The advice works.
    let instead = shared.join(format!("rallypoint-{user}/m.sock"));
    let _manager = serve(&instead);
    Manager::connect_to(&instead).unwrap();
}

#[apply(test)]
fn that_is_a_folder_or_a_file_is_refused_and_left_as_it_is() {
    let folder = private_folder();
    let file = folder.path().join("file");
    fs::write(&file, "precious").unwrap();
    let text = complaint(&mut manager(folder.path()));
    assert!(text.contains("is a folder") && text.contains("/manager.sock`"), "{text}");
    let text = complaint(&mut manager(Path::new("/")));
    assert!(text.contains("/ is a folder") && text.contains("/manager.sock`"), "{text}");
    let text = complaint(&mut manager(&file));
    assert!(text.contains("is not a socket; choose another path"), "{text}");
    for (path, what) in [(folder.path(), "a folder"), (&file, "a file")] {
        let text = complaint(&mut worker(path));
        let expected = format!("{} is {what}, not a socket", path.display());
        assert!(text.contains(&expected) && !text.contains("--socket"), "{text}");
    }
    assert_eq!(fs::read_to_string(&file).unwrap(), "precious");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "no lock file is left");
}

#[apply(test)]
fn that_is_a_link_is_refused_and_named_as_one() {
    let folder = private_folder();
    let [link, target] = ["link.sock", "target.sock"].map(|name| folder.path().join(name));
    symlink(&target, &link).unwrap();
    let text = complaint(&mut manager(&link));
    assert!(text.contains("link.sock is a symbolic link"), "{text}");
    let text = complaint_of_waiting(&mut worker(&link));
    let expected = format!("is a symbolic link to {}", target.display());
    assert!(text.contains(&expected) && text.contains("no manager is running"), "{text}");
    assert!(Manager::connect_to(&link).unwrap_err().is_not_running());
    // Where it leads, a manager may serve; clients find it through the link, and another manager leaves both alone.
    let _manager = serve(&target);
    Manager::connect_to(&link).unwrap().event("a").unwrap().set().unwrap();
    assert!(complaint(&mut manager(&link)).contains("link.sock is a symbolic link"));
    Manager::connect_to(&link).unwrap().event("a").unwrap().set().unwrap();
}

#[apply(test)]
fn that_is_served_is_refused_with_the_process_that_serves() {
    let program = ManagerProgram::start();
    let before = program.connect();
    before.event("kept").unwrap().set().unwrap();
    let text = complaint(&mut manager(&program.socket));
    let expected = format!("another manager (process {}) serves", program.running.process());
    assert!(text.contains(&expected), "{text}");
    let mut client = RemoteClient::with_event(&program, "kept", false);
    assert_eq!(client.ask(EventOrder::IsSet), Ok(ClientReport::Flag(true)));
}

#[apply(test)]
fn that_is_served_without_its_lock_file_is_refused_too() {
    let program = ManagerProgram::start();
    fs::remove_file(program.socket.with_added_extension("lock")).unwrap();
    for _ in 0..2 {
        let text = complaint(&mut manager(&program.socket));
        let expected = format!("a process (process {}) listens", program.running.process());
        assert!(text.contains(&expected), "{text}");
    }
    program.connect().event("a").unwrap().set().unwrap();
    program.running.signal(Signal::TERM);
    eventually("it removes its socket at its end", || !program.socket.exists());
}

#[apply(test)]
fn wanted_by_many_at_once_goes_to_one() {
    let folder = private_folder();
    let socket = folder.path().join("manager.sock");
    for round in 0..3 {
        let start = |_| RunningProgram::start(manager(&socket).stderr(Stdio::null()));
        let mut managers: Vec<RunningProgram> = (0..8).map(start).collect();
        let (ready, refused): (Vec<_>, Vec<_>) = managers
            .iter_mut()
            .map(|manager| (manager.line(), manager))
            .partition(|(line, _)| !line.is_empty());
        assert_eq!((ready.len(), refused.len()), (1, 7), "round {round}");
        for (_, manager) in refused {
            assert_eq!(manager.wait(), Some(1));
        }
        Manager::connect_to(&socket).unwrap().event("a").unwrap().set().unwrap();
        // The manager that serves is killed here, and leaves its socket to the next round.
    }
}

#[apply(test)]
fn left_by_a_killed_manager_is_taken_over() {
    let mut program = ManagerProgram::start();
    let before = program.connect();
    let event = before.event("lost").unwrap();
    event.set().unwrap();
    program.running.signal(Signal::KILL);
    assert_eq!(program.running.wait(), None);
    assert!(program.socket.exists(), "a killed manager cannot clean up");
    assert!(event.is_set().unwrap_err().is_manager_gone());
    assert!(Manager::connect_to(&program.socket).unwrap_err().is_not_running());

    let log = program.socket.with_extension("log");
    let mut next =
        RunningProgram::start(manager(&program.socket).arg("-v").stderr(File::create(&log).unwrap()));
    assert!(next.line().contains("ready"));
    let after = program.connect();
    assert!(!after.event("lost").unwrap().is_set().unwrap(), "it is another life");
    next.signal(Signal::TERM);
    assert_eq!(next.wait(), Some(0));
    let log = fs::read_to_string(log).unwrap();
    assert!(log.contains("takes over the socket"), "{log}");
}

#[apply(test)]
fn is_removed_at_a_signal() {
    for signal in [Signal::HUP, Signal::INT, Signal::QUIT, Signal::TERM] {
        let mut program = ManagerProgram::start();
        let manager = program.connect();
        let event = manager.event("a").unwrap();
        program.running.signal(signal);
        assert_eq!(program.running.wait(), Some(0));
        let files = fs::read_dir(program.socket.parent().unwrap()).unwrap();
        assert_eq!(files.count(), 0, "neither the socket nor its lock file is left");
        assert!(event.set().unwrap_err().is_manager_gone());
        let _next = serve(&program.socket);
        program.connect().event("a").unwrap().set().unwrap();
    }
}

#[apply(test)]
fn by_default_is_in_the_runtime_folder() {
    let folder = private_folder();
    let own = folder.path().join("rallypoint");
    let socket = own.join("manager.sock");
    let mut command = Command::new(env!("CARGO_BIN_EXE_manager"));
    let command = command.env("XDG_RUNTIME_DIR", folder.path()).env_remove(SOCKET_VARIABLE);
    let mut manager = RunningProgram::start(command);
    assert_eq!(manager.line(), format!("manager is ready at unix:{}", socket.display()));
    assert_eq!(fs::metadata(&own).unwrap().mode() & 0o777, 0o700);
    assert_eq!(fs::metadata(&socket).unwrap().mode() & 0o777, 0o600);

    let mut command = helper::command(follow_orders);
    command.env("XDG_RUNTIME_DIR", folder.path()).env_remove(SOCKET_VARIABLE);
    let mut client = RemoteClient::start_with(&mut command).unwrap();
    let order = EventOrder::Open { name: "a".to_owned(), auto_reset: false };
    assert_eq!(client.ask(order), Ok(ClientReport::Done));

    // The variable has precedence.
    let other = folder.path().join("other.sock");
    let error = RemoteClient::start_with(command.env(SOCKET_VARIABLE, &other)).err().unwrap();
    assert!(error.is_not_running() && error.to_string().contains(other.to_str().unwrap()), "{error:?}");
    let mut served = Command::new(env!("CARGO_BIN_EXE_manager"));
    let mut second =
        RunningProgram::start(served.env("XDG_RUNTIME_DIR", folder.path()).env(SOCKET_VARIABLE, &other));
    assert_eq!(second.line(), format!("manager is ready at unix:{}", other.display()));
    manager.signal(Signal::TERM);
    assert_eq!(manager.wait(), Some(0));
}

#[apply(test)]
fn of_a_manager_whose_output_nobody_reads_is_served() {
    let folder = private_folder();
    let socket = folder.path().join("manager.sock");
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut child = manager(&socket).stdout(writer).stdin(Stdio::null()).spawn().unwrap();
    eventually("it serves all the same", || Manager::connect_to(&socket).is_ok());
    kill(child.id(), Signal::TERM);
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[apply(test)]
fn of_a_manager_whose_errors_nobody_reads_is_refused_like_any_other() {
    let folder = private_folder();
    let full = || File::options().write(true).open("/dev/full").unwrap();
    let long = folder.path().join("x".repeat(108));
    assert_eq!(manager(&long).stderr(full()).status().unwrap().code(), Some(1));

    // The same holds for a manager that is a copy of a program, and for a copy in an unknown role.
    let status = |arguments: &[&OsStr]| {
        let mut command = Command::new(env::current_exe().unwrap());
        command.args(arguments);
        // Too few for a manager, and enough for everything else.
        let mut command = by(&["prlimit", "--nofile=12"], &command);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(full());
        command.status().unwrap().code()
    };
    let this = std::process::id().to_string();
    assert_eq!(status(&["rallypoint:manager".as_ref(), this.as_ref()]), Some(1));
    assert_eq!(status(&["rallypoint:manager".as_ref(), "none".as_ref()]), Some(2));
    assert_eq!(status(&["rallypoint:unheard of".as_ref()]), Some(2));
}

#[apply(test)]
fn is_closed_to_other_users() {
    let program = ManagerProgram::start();
    let folder = program.socket.parent().unwrap();
    let modes = [folder, &program.socket, &program.socket.with_added_extension("lock")]
        .map(|path| fs::symlink_metadata(path).unwrap().mode() & 0o7777);
    assert_eq!(modes, [0o700, 0o600, 0o600]);
    if !geteuid().is_root() {
        // Only root can start a process of another user.
        return;
    }
    let as_nobody = |argument: String| {
        // The path of this program may lead through folders that only this user can enter; `/proc/self/exe` does not.
        let mut command = Command::new("/proc/self/exe");
        command.arg(argument).arg(&program.socket).uid(NOBODY).gid(NOBODY).current_dir("/");
        command
    };
    let error = RemoteClient::start_with(&mut as_nobody(helper::argument(follow_orders))).err().unwrap();
    assert!(error.to_string().contains("permission denied"), "the folder is closed to it: {error:?}");

    // Somebody opens the folder and the socket while the manager runs: both sides still check the other's user.
    for folder in [folder, folder.parent().unwrap()] {
        fs::set_permissions(folder, Permissions::from_mode(0o711)).unwrap();
    }
    fs::set_permissions(&program.socket, Permissions::from_mode(0o666)).unwrap();
    let error = RemoteClient::start_with(&mut as_nobody(helper::argument(follow_orders))).err().unwrap();
    assert!(error.to_string().contains("belongs to user 0, not to this one (65534)"), "{error:?}");

    let mut outsider = as_nobody(helper::argument(call)).stdout(Stdio::piped()).spawn().unwrap();
    let mut text = String::new();
    outsider.stdout.take().unwrap().read_to_string(&mut text).unwrap();
    assert_eq!(outsider.wait().unwrap().code(), Some(0));
    assert!(
        text.contains("serves the processes of user 0 alone: this client belongs to user 65534"),
        "{text}"
    );

    RemoteClient::with_event(&program, "a", false);
}

#[apply(test)]
fn on_a_way_through_a_folder_of_a_third_user_is_refused() {
    if !geteuid().is_root() {
        // Only root can give a folder away.
        return;
    }
    let folder = private_folder();
    let way = folder.path().join("way");
    fs::create_dir_all(way.join("own")).unwrap();
    fs::set_permissions(way.join("own"), Permissions::from_mode(0o700)).unwrap();
    chown(&way, Some(NOBODY), Some(NOBODY)).unwrap();
    let text = complaint(&mut manager(&way.join("own/m.sock")));
    let expected =
        format!("the folder {}, on the way to the socket, belongs to user {NOBODY}", way.display());
    assert!(text.contains(&expected), "{text}");
    assert_eq!(fs::read_dir(way.join("own")).unwrap().count(), 0);
}

#[apply(test)]
fn by_default_is_not_in_the_runtime_folder_of_another_user() {
    if !geteuid().is_root() {
        return;
    }
    let folder = private_folder();
    chown(folder.path(), Some(NOBODY), Some(NOBODY)).unwrap();
    // As after `sudo --preserve-env`. There may be a manager at the default address, so this starts none.
    let mut command = Command::new(env!("CARGO_BIN_EXE_worker"));
    command.args(["run", "--stop", "none-of-this", "--", "true"]);
    command.env("XDG_RUNTIME_DIR", folder.path()).env_remove(SOCKET_VARIABLE);
    let output = command.output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains("XDG_RUNTIME_DIR is not used") && text.contains(&format!("({NOBODY})")), "{text}");
    assert!(output.status.success() || text.contains("/tmp/rallypoint-0/manager.sock"), "{text}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "its owner is not locked out");
}

#[apply(test)]
fn is_not_served_with_too_few_descriptors_for_clients() {
    let folder = private_folder();
    let socket = folder.path().join("m.sock");
    let output = by(&["prlimit", "--nofile=12"], &manager(&socket)).output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(1), &b""[..]), "{text}");
    assert!(text.contains("Too many open files") && text.contains("ulimit -Hn"), "{text}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}
