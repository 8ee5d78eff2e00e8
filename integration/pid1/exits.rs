//! Exit codes: the program's own, signals, `-e`, and programs that cannot be started.

use std::os::unix::fs::PermissionsExt;

use crate::harness::{init, ours, pid1, pipe, script};

#[test]
fn all_256_exit_codes_pass_through() {
    pid1(|| {
        for code in 0..256 {
            assert_eq!(script(&[], &format!("exit {code}")).code(), code);
        }
    });
}

#[test]
fn a_mapped_exit_code_becomes_0_and_no_other_does() {
    pid1(|| {
        for code in 0..256 {
            let text = format!("exit {code}");
            assert_eq!(script(&["-e", &code.to_string()], &text).code(), 0);
            let others = (0..256)
                .filter(|other| *other != code)
                .map(|other| format!("-e{other}"));
            let words = others.chain(["--".into(), "sh".into(), "-c".into(), text]);
            assert_eq!(init(words).code(), code);
        }
    });
}

#[test]
fn death_by_signal_n_gives_128_plus_n() {
    pid1(|| {
        let harmless = [libc::SIGCHLD, libc::SIGCONT, libc::SIGURG, libc::SIGWINCH];
        let stops = [libc::SIGSTOP, libc::SIGTSTP, libc::SIGTTIN, libc::SIGTTOU];
        for signal in (1..=64).filter(|s| !harmless.contains(s) && !stops.contains(s)) {
            let text = format!("ulimit -c 0; kill -{signal} $$");
            assert_eq!(script(&[], &text).code(), 128 + signal, "signal {signal}");
        }
        assert_eq!(script(&["-e", "143"], "kill -15 $$").code(), 0);
        assert_eq!(script(&["-e", "15"], "kill -15 $$").code(), 143);
    });
}

#[test]
fn exits_with_the_program_although_others_still_run() {
    pid1(|| {
        let (reader, go) = pipe();
        let mut init = script(
            &[],
            "(sh -c 'echo ready; exec sleep 1000' &); read x <&9; exit 5",
        )
        .passed(reader, 9)
        .start();
        init.expect("ready");
        drop(go);
        assert_eq!(init.code(), 5);
    });
}

#[test]
fn a_program_that_cannot_be_started_gives_127_or_126_and_says_why() {
    pid1(|| {
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str, mode: u32| {
            let path = dir.path().join(name);
            std::fs::write(&path, text).unwrap();
            std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
            path.to_str().unwrap().to_owned()
        };
        let plain = file("plain", "exit 9", 0o644);
        let orphaned = file("orphaned", "#!/nonexistent/sh\n", 0o755);
        let folder = dir.path().to_str().unwrap();
        for (program, code, why) in [
            ("no-such-program", 127, "no directory of PATH has it"),
            ("/no/such/program", 127, "does not exist here"),
            ("", 127, ""),
            (&orphaned, 127, "the program that must load it"),
            (folder, 126, "is a directory"),
            (&plain, 126, "no execute permission"),
        ] {
            let (got, stdout, stderr) = init(["--", program]).env("PATH", "/usr/bin:/bin").output();
            assert_eq!(got, code, "{program}: {stderr}");
            assert!(stderr.starts_with("[FATAL tini ("), "{stderr}");
            assert!(
                stderr.contains(&format!("exec {program} failed: ")),
                "{stderr}"
            );
            if ours() {
                assert!(stderr.contains(why) && stderr.contains("fix "), "{stderr}");
            }
            assert_eq!(stdout, "");
        }
    });
}

#[test]
fn a_script_without_an_interpreter_line_is_run_by_the_shell() {
    pid1(|| {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("script");
        std::fs::write(&path, "echo \"$0 $1\"; exit 9").unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
        let program = path.to_str().unwrap();
        let (code, stdout, _) = init([program, "word"]).output();
        assert_eq!((code, stdout), (9, format!("{program} word\n")));
        let found = init(["script", "word"]).env("PATH", dir.path().to_str().unwrap());
        assert_eq!(found.code(), 9);
    });
}
