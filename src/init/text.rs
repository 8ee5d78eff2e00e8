//! What `-h`, `-l` and `--version` print. Pure.

/// The tini that this persona stands in for. dockerd shows it as the init's version.
const TINI: &str = "0.19.0";

/// The answer to `--version`, which dockerd takes apart: `tini version X - git.Y`.
///
/// X is the interface (scripts compare it). Y, which `docker info` shows as the init's commit,
/// says whose program it really is; it must not hold a dot.
#[must_use]
pub(super) fn version() -> String {
    let own = env!("CARGO_PKG_VERSION").replace('.', "-");
    format!("tini version {TINI} - git.dind-init-{own}")
}

/// The answer to `-h`, and to a wrong command line.
#[must_use]
pub(super) fn usage(program: &str) -> String {
    format!(
        "\
{program} ({version})
Usage: {program} [OPTIONS] [--] PROGRAM [ARGS] | --version

Runs PROGRAM as an init should: passes signals to it, reaps the zombies that come to this process,
and exits with its exit code: 128+n when signal n ended it, 127 not found, 126 not executable.

Command line options, which end at PROGRAM:

  --version: Show the version and exit (as the only argument).
  -h: Show this help message and exit.
  -s: Register as a process subreaper, for when this is not PID 1.
  -p SIGNAL: Get SIGNAL when the parent dies, e.g. \"-p SIGKILL\".
  -v: Tell more. Repeat up to 3 times.
  -w: Print a warning when processes are getting reaped.
  -g: Send signals to PROGRAM's process group.
  -e EXIT_CODE: Remap EXIT_CODE (from 0 to 255) to 0 (can be repeated).
  -l: Show the license and exit.

Environment variables:

  TINI_SUBREAPER: Register as a process subreaper (when set, also to nothing).
  TINI_VERBOSITY: Set the verbosity level (default: 1).
  TINI_KILL_PROCESS_GROUP: Send signals to PROGRAM's process group (when set, also to nothing).

",
        version = version(),
    )
}

/// The answer to `-l`.
#[must_use]
pub(super) fn license() -> &'static str {
    concat!(
        "dind-init, here in the place of tini, is under the Apache License 2.0.\n",
        "It shares tini's interface and no code with it.\n\n",
        include_str!("../../LICENSE"),
    )
}

/// The warning of an init that orphans will not come to.
pub(super) const WILL_NOT_REAP: &str = "\
Tini is not running as PID 1 and isn't registered as a child subreaper.
  why    orphans of the program go to another process, so zombie reaping won't work
  fix    make this PID 1 (in Kubernetes: no shareProcessNamespace; with docker: not both --init and
         this), or register it as a child subreaper: option -s, or set TINI_SUBREAPER=1";

#[cfg(test)]
mod tests {
    use super::*;

    /// dockerd's reading of the line (moby daemon/info_unix.go, parseInitVersion).
    fn as_dockerd_reads(line: &str) -> (Option<&str>, Option<&str>) {
        let mut parts = line.split(" - ");
        let version = parts
            .next()
            .and_then(|p| p.trim().strip_prefix("tini version "));
        let commit =
            parts.next().and_then(
                |part| match part.trim().split('.').collect::<Vec<_>>()[..] {
                    ["git", commit] => Some(commit),
                    _ => None,
                },
            );
        (version, commit)
    }

    #[test]
    fn dockerd_understands_the_version() {
        let line = format!("{}\n", version());
        let (version, commit) = as_dockerd_reads(&line);
        assert_eq!(version, Some("0.19.0"));
        assert!(
            commit.is_some_and(|commit| commit.starts_with("dind-init-")),
            "{line}"
        );
    }

    #[test]
    fn usage_names_every_option_and_variable() {
        let text = usage("docker-init");
        for word in [
            "Usage: docker-init ",
            "--version",
            "-h:",
            "-s:",
            "-p SIGNAL:",
            "-v:",
            "-w:",
            "-g:",
            "-e EXIT_CODE:",
            "-l:",
            "TINI_SUBREAPER:",
            "TINI_VERBOSITY:",
            "TINI_KILL_PROCESS_GROUP:",
        ] {
            assert!(text.contains(word), "{word}");
        }
        assert!(text.lines().all(|line| line.len() <= 100));
    }

    #[test]
    fn the_warning_keeps_the_words_that_people_search_for() {
        assert!(WILL_NOT_REAP.contains("zombie reaping won't work"));
        assert!(WILL_NOT_REAP.contains("Tini is not running as PID 1"));
    }
}
