//! The command line as scripts and dockerd use it.

use crate::harness::{init, ours, pid1, script};

#[test]
fn answers_that_run_nothing_go_to_stdout_and_are_0() {
    pid1(|| {
        for (word, start) in [
            ("--version", "tini version 0.19.0"),
            ("-h", "docker-init (tini version 0.19.0"),
            (
                "-l",
                if ours() {
                    "dind-init, here in the place of tini"
                } else {
                    "The MIT"
                },
            ),
        ] {
            let (code, stdout, stderr) = init([word]).output();
            assert_eq!((code, stderr.as_str()), (0, ""), "{word}");
            assert!(stdout.starts_with(start), "{stdout}");
        }
        let (_, stdout, _) = init(["--version"]).output();
        assert_eq!(stdout.lines().count(), 1);
        assert!(!ours() || stdout.contains(" - git."), "{stdout}");
    });
}

#[test]
fn a_wrong_command_line_gives_1_and_tells_on_stderr() {
    pid1(|| {
        for (line, words) in [
            (&[][..], "Usage: docker-init "),
            (&["-q", "true"], "invalid option -- 'q'"),
            (&["--help"], "Usage: docker-init "),
            (&["-v", "--version"], "Usage: docker-init "),
            (&["-p"], "option requires an argument -- 'p'"),
            (&["-e"], "option requires an argument -- 'e'"),
            (
                &["-p", "SIGFOO", "true"],
                "Not a valid option for -p: SIGFOO",
            ),
            (&["-e", "256", "true"], "Not a valid option for -e: 256"),
            (&["-e", "x", "true"], "Not a valid option for -e: x"),
        ] {
            let (code, stdout, stderr) = init(line.iter()).output();
            assert_eq!((code, stdout.as_str()), (1, ""), "{line:?}");
            assert!(stderr.contains(words), "{line:?}: {stderr}");
        }
    });
}

/// tini's own test for the three levels of `-v`.
#[test]
fn information_goes_to_stdout_in_brackets() {
    pid1(|| {
        let (code, stdout, stderr) = script(&["-vvv"], "kill -15 $$").output();
        assert_eq!((code, stderr.as_str()), (143, ""));
        for words in [
            "[INFO  tini (1)] Spawned child process 'sh' with pid '",
            "[DEBUG tini (1)] Reaped child with pid: '",
            "[INFO  tini (1)] Main child exited with signal (with signal '",
            "[TRACE tini (1)] Exiting: child has exited",
        ] {
            assert!(stdout.contains(words), "{words} not in {stdout}");
        }
        let (_, stdout, _) = script(&["-v"], "exit 3").output();
        assert!(
            stdout.contains("Main child exited normally (with status '3')"),
            "{stdout}"
        );
        assert!(!stdout.contains("DEBUG"), "{stdout}");
    });
}

/// tini differs: glibc's getopt looks for options behind the program, too.
#[test]
fn options_end_at_the_program() {
    pid1(|| {
        assert_eq!(init(["sh", "-c", "exit 7"]).code(), 7);
        let (_, stdout, _) = init(["printf", "%s,", "-v", "--", "-h"]).output();
        assert_eq!(stdout, "-v,--,-h,");
    });
}

#[test]
fn the_environment_and_the_arguments_pass_unchanged() {
    pid1(|| {
        let text = "printf '%s|' \"$A\" \"$TINI_VERBOSITY\" \"$@\"";
        let (_, stdout, _) = init(["--", "sh", "-c", text, "sh", "", "a b", "\n"])
            .env("A", "=x\n")
            .env("TINI_VERBOSITY", "1")
            .output();
        assert_eq!(stdout, "=x\n|1||a b|\n|");
    });
}
