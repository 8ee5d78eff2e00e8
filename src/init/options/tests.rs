use std::os::unix::ffi::OsStringExt;

use proptest::prelude::*;

use super::*;

fn words(line: &[&str]) -> Vec<OsString> {
    std::iter::once("tini")
        .chain(line.iter().copied())
        .map(OsString::from)
        .collect()
}

fn read(line: &[&str]) -> Result<Request, UsageError> {
    parse(&words(line), &[])
}

fn options(line: &[&str], env: &[(&str, &str)]) -> Options {
    let env: Vec<_> = env.iter().map(|(k, v)| (k.into(), v.into())).collect();
    match parse(&words(line), &env) {
        Ok(Request::Run(options)) => options,
        other => panic!("{line:?} gave {other:?}"),
    }
}

fn plain(command: &[&str]) -> Options {
    Options {
        command: command.iter().map(OsString::from).collect(),
        expected: BTreeSet::new(),
        parent_death_signal: None,
        receiver: Receiver::Child,
        subreaper: Subreaper::Unchanged,
        verbosity: 1,
        reaped: Reaped::Silent,
    }
}

#[test]
fn each_option_alone_attached_and_in_clusters() {
    let x = || plain(&["x"]);
    let table: Vec<(&[&str], Options)> = vec![
        (&["x"], x()),
        (&["--", "x"], x()),
        (
            &["-v", "x"],
            Options {
                verbosity: 2,
                ..x()
            },
        ),
        (
            &["-vvv", "x"],
            Options {
                verbosity: 4,
                ..x()
            },
        ),
        (
            &["-v", "-v", "--", "x"],
            Options {
                verbosity: 3,
                ..x()
            },
        ),
        (
            &["-w", "x"],
            Options {
                reaped: Reaped::Warn,
                ..x()
            },
        ),
        (
            &["-g", "x"],
            Options {
                receiver: Receiver::Group,
                ..x()
            },
        ),
        (
            &["-s", "x"],
            Options {
                subreaper: Subreaper::Register,
                ..x()
            },
        ),
        (
            &["-gsw", "x"],
            Options {
                receiver: Receiver::Group,
                subreaper: Subreaper::Register,
                reaped: Reaped::Warn,
                ..x()
            },
        ),
        (
            &["-p", "SIGTERM", "x"],
            Options {
                parent_death_signal: Some(15),
                ..x()
            },
        ),
        (
            &["-pSIGKILL", "x"],
            Options {
                parent_death_signal: Some(9),
                ..x()
            },
        ),
        (
            &["-p", "term", "x"],
            Options {
                parent_death_signal: Some(15),
                ..x()
            },
        ),
        (
            &["-p9", "x"],
            Options {
                parent_death_signal: Some(9),
                ..x()
            },
        ),
        (
            &["-vpRTMIN+3", "x"],
            Options {
                parent_death_signal: Some(37),
                verbosity: 2,
                ..x()
            },
        ),
        (
            &["-e143", "x"],
            Options {
                expected: [143].into(),
                ..x()
            },
        ),
        (
            &["-e", " +7", "x"],
            Options {
                expected: [7].into(),
                ..x()
            },
        ),
        (
            &["-e", "0", "-e", "255", "-e0", "--", "x"],
            Options {
                expected: [0, 255].into(),
                ..x()
            },
        ),
    ];
    for (line, expected) in table {
        assert_eq!(read(line), Ok(Request::Run(expected)), "{line:?}");
    }
}

#[test]
fn options_end_at_the_program() {
    for line in [
        &["sh", "-c", "exit 7"][..],
        &["--", "-x", "--", "y"],
        &["x", "--", "-e", "boo"],
        &["-", "-h"],
        &["x", "--version"],
        &["--", "--version"],
        &["", "-h"],
    ] {
        let command: Vec<&str> = line.strip_prefix(&["--"]).unwrap_or(line).to_vec();
        assert_eq!(options(line, &[]), plain(&command), "{line:?}");
    }
}

#[test]
fn requests_that_run_nothing() {
    assert_eq!(read(&["--version"]), Ok(Request::Version));
    assert_eq!(read(&["-h"]), Ok(Request::Help));
    assert_eq!(read(&["-vh", "-p", "nonsense"]), Ok(Request::Help));
    assert_eq!(read(&["-l", "x"]), Ok(Request::License));
}

#[test]
fn refusals() {
    let table: Vec<(&[&str], UsageError)> = vec![
        (&[], UsageError::NoProgram),
        (&["--"], UsageError::NoProgram),
        (&["-v"], UsageError::NoProgram),
        (&["-p"], UsageError::MissingValue("p".into())),
        (&["-ve"], UsageError::MissingValue("e".into())),
        (&["-p", "SIGFOO", "x"], UsageError::Signal("SIGFOO".into())),
        (&["-p", "--", "x"], UsageError::Signal("--".into())),
        (&["-p", "0", "x"], UsageError::Signal("0".into())),
        (&["-e", "256", "x"], UsageError::ExitCode("256".into())),
        (&["-e", "-1", "x"], UsageError::ExitCode("-1".into())),
        (&["-e", "7x", "x"], UsageError::ExitCode("7x".into())),
        (&["-e", "", "x"], UsageError::ExitCode(String::new())),
        (&["-q", "x"], UsageError::Unknown("q".into())),
        (&["--help"], UsageError::Unknown("--help".into())),
        (
            &["-v", "--version"],
            UsageError::Unknown("--version".into()),
        ),
    ];
    for (line, expected) in table {
        assert!(!expected.why().is_empty() && !expected.fix().is_empty());
        assert_eq!(expected.exit_code(), 1);
        assert_eq!(read(line), Err(expected), "{line:?}");
    }
}

#[test]
fn variables_count_by_presence_and_verbosity_by_number() {
    assert_eq!(
        options(&["x"], &[("TINI_SUBREAPER", "")]).subreaper,
        Subreaper::Register
    );
    assert_eq!(
        options(&["x"], &[("TINI_KILL_PROCESS_GROUP", "0")]).receiver,
        Receiver::Group
    );
    for (text, level) in [
        ("3", 3),
        (" 2x", 2),
        ("", 0),
        ("loud", 0),
        ("-1", 0),
        ("+4", 4),
        ("0", 0),
        ("99999999999999999999", u32::MAX),
    ] {
        assert_eq!(
            options(&["-vv", "x"], &[("TINI_VERBOSITY", text)]).verbosity,
            level,
            "{text}"
        );
    }
}

#[test]
fn the_name_in_the_usage_text_is_the_one_that_was_called() {
    assert_eq!(program_name(&["/sbin/docker-init".into()]), "docker-init");
    assert_eq!(program_name(&["tini".into()]), "tini");
    assert_eq!(program_name(&[]), "docker-init");
    assert_eq!(program_name(&["".into()]), "docker-init");
}

proptest! {
    #[test]
    fn never_panics_and_never_runs_nothing(
        argv in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..6), 0..6),
        level in ".*",
    ) {
        let argv: Vec<OsString> = argv.into_iter().map(OsString::from_vec).collect();
        let env = [("TINI_VERBOSITY".into(), level.into())];
        if let Ok(Request::Run(options)) = parse(&argv, &env) {
            prop_assert!(!options.command.is_empty());
        }
        let _ = program_name(&argv);
    }

    #[test]
    fn what_follows_two_dashes_is_passed_on_unread(
        command in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..6), 1..6),
    ) {
        let command: Vec<OsString> = command.into_iter().map(OsString::from_vec).collect();
        let argv: Vec<OsString> = ["tini".into(), "--".into()].into_iter()
            .chain(command.iter().cloned()).collect();
        let Ok(Request::Run(options)) = parse(&argv, &[]) else { panic!("refused") };
        prop_assert_eq!(options.command, command);
    }
}
