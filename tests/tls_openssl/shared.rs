//! Volumes that several processes share, and volumes that cannot be written.
//!
//! The processes are this test program again, running one test that does nothing otherwise.

use std::fs;
use std::path::Path;
use std::process::Command;

use dind_init::apply::certificate::apply;
use dind_init::base::explain::Explain;
use dind_init::tls::{Names, Request, parse_sans};
use time::OffsetDateTime;

use super::Volume;

const DIRECTORY: &str = "DIND_TEST_DIRECTORY";
const SANS: &str = "DIND_TEST_SANS";

/// Issues for the directory and names of the environment, and prints what became of it.
#[test]
fn child() {
    let Some(directory) = std::env::var_os(DIRECTORY) else {
        return;
    };
    let sans = parse_sans(&std::env::var(SANS).unwrap_or_default()).unwrap();
    let request = Request {
        directory: directory.into(),
        sans,
        untrusted: dind_init::tls::Untrusted::Warn,
    };
    match apply(&request, &Names::default(), OffsetDateTime::now_utc()) {
        Ok(outcome) => println!("outcome: {} written", outcome.written.len()),
        Err(error) => println!(
            "outcome: exit {}: {error}: {}",
            error.exit_code(),
            error.why()
        ),
    }
}

/// The command line of [`child`].
fn child_of(directory: &Path, sans: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "shared::child", "--nocapture"])
        .env(DIRECTORY, directory)
        .env(SANS, sans);
    command
}

/// The line that [`child`] printed.
fn outcome(output: &[u8]) -> String {
    let text = String::from_utf8_lossy(output);
    let line = text.lines().find_map(|line| line.split_once("outcome: "));
    line.unwrap_or_else(|| panic!("no outcome: {text}"))
        .1
        .to_owned()
}

#[test]
fn processes_that_start_together_end_with_one_set() {
    let Some(volume) = Volume::new() else { return };
    let children: Vec<_> = (0..4)
        .map(|_| {
            let mut command = child_of(volume.0.path(), "dind");
            command
                .stdout(std::process::Stdio::piped())
                .spawn()
                .unwrap()
        })
        .collect();
    let mut outcomes: Vec<String> = children
        .into_iter()
        .map(|child| outcome(&child.wait_with_output().unwrap().stdout))
        .collect();
    outcomes.sort();
    assert_eq!(
        outcomes,
        ["0 written", "0 written", "0 written", "8 written"]
    );
    volume.verify_all("-x509_strict");
    assert_eq!(fs::read_dir(volume.path("client")).unwrap().count(), 3);
}

/// Runs [`child`] in mounts of its own: its outcome, and how many files lie there afterwards.
/// `None` when the test has to be skipped.
fn on_mount(mount: &str, directory: &Path, sans: &str) -> Option<(String, usize)> {
    let script = "dir=$1; shift; eval \"$MOUNT\" && { \"$@\"; find \"$dir\" -type f; }";
    let child = child_of(directory, sans);
    let output = Command::new("unshare")
        .args([
            "--user",
            "--map-root-user",
            "--mount",
            "sh",
            "-c",
            script,
            "sh",
        ])
        .arg(directory)
        .arg(child.get_program())
        .args(child.get_args())
        .env("MOUNT", mount)
        .env(DIRECTORY, directory)
        .env(SANS, sans)
        .output()
        .unwrap();
    if String::from_utf8_lossy(&output.stdout).contains("outcome: ") {
        let files = String::from_utf8_lossy(&output.stdout)
            .lines()
            .filter(|line| line.starts_with('/'))
            .count();
        return Some((outcome(&output.stdout), files));
    }
    let reason = String::from_utf8_lossy(&output.stderr);
    crate::skip::skip(&format!("no mounts in a user namespace ({reason})"));
    None
}

const READ_ONLY: &str = "mount --bind \"$dir\" \"$dir\" && mount -o remount,ro,bind \"$dir\"";

#[test]
fn a_read_only_mount_is_good_when_it_is_complete() {
    let Some(volume) = Volume::new() else { return };
    let directory = volume.0.path();
    let Some((empty, files)) = on_mount(READ_ONLY, directory, "") else {
        return;
    };
    assert!(empty.starts_with("exit 78: cannot write"), "{empty}");
    assert!(
        empty.contains("Read-only file system") && files == 0,
        "{empty}"
    );
    let first = child_of(directory, "dind").output().unwrap();
    assert_eq!(outcome(&first.stdout), "8 written");
    let on_read_only = |sans: &str| on_mount(READ_ONLY, directory, sans).unwrap().0;
    assert_eq!(on_read_only("dind"), "0 written");
    let lacking = on_read_only("dind,other");
    assert!(
        lacking.contains("it lacks other of DOCKER_TLS_SAN"),
        "{lacking}"
    );
    fs::remove_file(volume.path("client/cert.pem")).unwrap();
    let missing = on_read_only("dind");
    assert!(
        missing.starts_with("exit 78") && missing.contains("client/cert.pem"),
        "{missing}"
    );
}

#[test]
fn a_full_disk_changes_nothing_and_leaves_nothing() {
    let Some(volume) = Volume::new() else { return };
    // A page for each file, and one page too few.
    let full = "mount -t tmpfs -o size=28k tmpfs \"$dir\"";
    let Some((outcome, files)) = on_mount(full, volume.0.path(), "") else {
        return;
    };
    assert!(outcome.starts_with("exit 71: cannot write"), "{outcome}");
    assert!(outcome.ends_with("nothing was changed"), "{outcome}");
    assert_eq!(files, 0);
    let roomy = "mount -t tmpfs -o size=64k tmpfs \"$dir\"";
    assert_eq!(
        on_mount(roomy, volume.0.path(), "").unwrap(),
        ("8 written".to_owned(), 8)
    );
}
