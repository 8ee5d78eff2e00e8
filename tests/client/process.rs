//! What needs a process of its own: signals, and becoming another program. The test program runs
//! itself again with one of the `child_…` functions, which do nothing in the harness's own run.

use std::io::Read;
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;

use dind_init::base::environment::Environment;
use dind_init::base::explain;
use dind_init::client::entrypoint::act;
use dind_init::client::lookout::Asker;
use dind_init::client::wait::{EndpointArgs, WaitArgs, run};
use dind_init::sys::signal::OriginalMask;

use crate::LONG;
use crate::server::{self, PONG, answers, behaviour};

const ADDRESS: &str = "TEST_ADDRESS";
const COMMAND: &str = "TEST_COMMAND";

fn child(name: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "--nocapture", name])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

fn wait_for(address: SocketAddr, command: &str) -> Child {
    child("process::child_wait")
        .env(ADDRESS, address.to_string())
        .env(COMMAND, command)
        .env("DOCKER_CERT_PATH", "/stale")
        .spawn()
        .unwrap()
}

fn own_environment() -> Environment {
    Environment::new(std::env::vars_os().collect())
}

#[test]
#[expect(clippy::exit, reason = "the harness would turn every code into 101")]
fn child_wait() {
    let Ok(address) = std::env::var(ADDRESS) else {
        return;
    };
    let args = WaitArgs {
        endpoint: EndpointArgs {
            host: Some(format!("tcp://{address}").into()),
            ..EndpointArgs::default()
        },
        timeout: LONG,
        for_file: Vec::new(),
        quiet: false,
        command: std::env::var(COMMAND)
            .unwrap()
            .split_whitespace()
            .map(Into::into)
            .collect(),
    };
    let mut stderr = std::io::stderr();
    let asker = Asker::take_place(&own_environment());
    let code = match run(&args, &asker, OriginalMask::empty(), &mut stderr) {
        Ok(code) => code,
        Err(failure) => failure.exit_code(),
    };
    std::process::exit(code.into());
}

#[test]
#[expect(clippy::exit, reason = "the harness would turn every code into 101")]
fn child_entrypoint() {
    let Ok(command) = std::env::var(COMMAND) else {
        return;
    };
    let arguments: Vec<_> = command.split_whitespace().map(Into::into).collect();
    let mut stderr = std::io::stderr();
    let failure = act::run(
        &arguments,
        &Asker::take_place(&own_environment()),
        OriginalMask::empty(),
        &mut stderr,
    );
    eprint!("{}", explain::frame(&*failure));
    std::process::exit(failure.exit_code().into());
}

fn signalled(signal: rustix::process::Signal) -> Option<i32> {
    let (sender, receiver) = mpsc::channel();
    let act = behaviour(move |stream| {
        sender.send(()).unwrap();
        server::until_closed(stream);
    });
    let (address, _) = server::tcp(act);
    let mut child = wait_for(address, "");
    // Connected: the handlers are in place and the request is pending.
    receiver.recv().unwrap();
    rustix::process::kill_process(rustix::process::Pid::from_child(&child), signal).unwrap();
    child.wait().unwrap().code()
}

#[test]
fn signals_end_a_wait_with_their_own_codes() {
    assert_eq!(signalled(rustix::process::Signal::INT), Some(130));
    assert_eq!(signalled(rustix::process::Signal::TERM), Some(143));
}

#[test]
fn the_command_runs_in_the_place_of_wait_and_finds_the_daemon() {
    let (address, _) = server::tcp(answers(PONG));
    let child = wait_for(address, "env");
    let pid = child.id();
    let output = child.wait_with_output().unwrap();
    let stdout = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success());
    assert!(stdout.contains(&format!("DOCKER_HOST=tcp://{address}\n")));
    assert!(!stdout.contains("DOCKER_CERT_PATH"), "{stdout}");
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(stderr.contains("docker 28.5.2 api 1.51"), "{stderr}");

    let child = wait_for(address, "readlink /proc/self");
    let same = child.id();
    let output = child.wait_with_output().unwrap();
    let stdout = String::from_utf8(output.stdout).unwrap();
    assert!(stdout.ends_with(&format!("{same}\n")), "{stdout} {pid}");
}

#[test]
fn a_command_that_cannot_run_is_127() {
    let (address, _) = server::tcp(answers(PONG));
    let mut child = wait_for(address, "no-such-program-here");
    assert_eq!(child.wait().unwrap().code(), Some(127));
}

/// A directory with a `docker` that knows `oddity` alone and prints its arguments otherwise.
fn fake_cli() -> tempfile::TempDir {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let docker = dir.path().join("docker");
    let script = "#!/bin/sh\necho noise; echo noise >&2\n\
        if [ \"$1\" = help ]; then echo \"$2\" >> \"$0.asked\"; [ \"$2\" = oddity ]; exit; fi\n\
        echo \"docker got $*, host $DOCKER_HOST\"\n";
    std::fs::write(&docker, script).unwrap();
    std::fs::set_permissions(&docker, std::fs::Permissions::from_mode(0o755)).unwrap();
    dir
}

/// What the entrypoint does: exit code, output, and which words the CLI was asked about.
fn entrypoint(words: &str) -> (Option<i32>, String, String) {
    let cli = fake_cli();
    let path = format!(
        "{}:{}",
        cli.path().display(),
        std::env::var("PATH").unwrap()
    );
    let mut child = child("process::child_entrypoint")
        .env(COMMAND, words)
        .env("PATH", path)
        .env("DOCKER_HOST", "tcp://there:1")
        .env("DOCKER_CONFIG", cli.path())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut text = String::new();
    child
        .stdout
        .take()
        .unwrap()
        .read_to_string(&mut text)
        .unwrap();
    let asked = std::fs::read_to_string(cli.path().join("docker.asked")).unwrap_or_default();
    (child.wait().unwrap().code(), text, asked)
}

#[test]
fn the_entrypoint_asks_the_cli_only_about_words_that_nobody_knows() {
    let got = |words: &str| format!("noise\ndocker got {words}, host tcp://there:1\n");
    for (words, want, asked) in [
        ("ps -a", "ps -a", ""),
        ("--version", "--version", ""),
        ("oddity x", "oddity x", "oddity\n"),
    ] {
        let (code, text, found) = entrypoint(words);
        assert_eq!((code, found.as_str()), (Some(0), asked), "{words}");
        assert!(text.ends_with(&got(want)), "{words}: {text}");
    }
    let (code, text, asked) = entrypoint("echo plain");
    assert_eq!((code, asked.as_str()), (Some(0), ""));
    assert!(
        text.ends_with("plain\n") && !text.contains("noise"),
        "{text}"
    );
    let (code, text, asked) = entrypoint("nothing");
    assert_eq!((code, asked.as_str()), (Some(127), "nothing\n"));
    assert!(!text.contains("noise"), "the question is silent: {text}");
    assert_eq!(entrypoint("").0, Some(2));
}
