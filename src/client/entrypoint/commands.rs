//! Whether a word is a command of the docker CLI, without starting the CLI where possible.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::base::environment::Environment;
use crate::endpoint::configuration_directory;
use crate::files;

/// Top-level commands of every docker CLI from 20.10 to 29, sorted. Aliases exist at this level
/// only as commands of their own (`ps`, `rmi`, …).
///
/// Not here, because it depends on the version and the CLI has to be asked: `bake` (since 29, or
/// with buildx), `completion` (since 23), `remove` (until 28), `trust` (until 28, then a plugin).
const COMMANDS: [&str; 57] = [
    "attach",
    "build",
    "builder",
    "checkpoint",
    "commit",
    "config",
    "container",
    "context",
    "cp",
    "create",
    "diff",
    "events",
    "exec",
    "export",
    "help",
    "history",
    "image",
    "images",
    "import",
    "info",
    "inspect",
    "kill",
    "load",
    "login",
    "logout",
    "logs",
    "manifest",
    "network",
    "node",
    "pause",
    "plugin",
    "port",
    "ps",
    "pull",
    "push",
    "rename",
    "restart",
    "rm",
    "rmi",
    "run",
    "save",
    "search",
    "secret",
    "service",
    "stack",
    "start",
    "stats",
    "stop",
    "swarm",
    "system",
    "tag",
    "top",
    "unpause",
    "update",
    "version",
    "volume",
    "wait",
];

/// Where every docker CLI looks for plugins besides the user's own directories.
const PLUGIN_DIRECTORIES: [&str; 4] = [
    "/usr/local/lib/docker/cli-plugins",
    "/usr/local/libexec/docker/cli-plugins",
    "/usr/lib/docker/cli-plugins",
    "/usr/libexec/docker/cli-plugins",
];

/// What is known about a word without starting the docker CLI.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// A docker command.
    Command,
    /// No docker command.
    Other,
    /// Only the CLI itself knows.
    Unknown,
}

/// What the file system says about a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sightings {
    /// `docker` is in `PATH`.
    pub docker: bool,
    /// There is a CLI plugin of that name.
    pub plugin: bool,
    /// There is a program of that name in `PATH`.
    pub program: bool,
}

/// Judges a word in the order that keeps the official answer, which is that of
/// `docker help WORD`: without a CLI nothing is a docker command; a built-in command or plugin is
/// one even where a program has the same name (`ps`, `top`, `login`, `wait`); then a program wins
/// over commands that no version between 20.10 and 29 had.
#[must_use]
pub fn standing(word: &OsStr, seen: Sightings) -> Standing {
    let Some(word) = word.to_str().filter(|word| may_be_command(word)) else {
        return Standing::Other;
    };
    if !seen.docker {
        return Standing::Other;
    }
    if seen.plugin || COMMANDS.binary_search(&word).is_ok() {
        return Standing::Command;
    }
    if seen.program && !VERSIONED.contains(&word) {
        return Standing::Other;
    }
    Standing::Unknown
}

/// Commands of some versions only.
const VERSIONED: [&str; 4] = ["bake", "completion", "remove", "trust"];

/// The form of every command and of every plugin that the CLI accepts.
fn may_be_command(word: &str) -> bool {
    word.starts_with(|c: char| c.is_ascii_lowercase())
        && word
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
        // Asked for in every dind image, and in no version a command.
        && word != "docker"
        && word != "dockerd"
}

/// Whether the docker CLI would find a plugin of that name.
#[must_use]
pub fn plugin_exists(word: &OsStr, env: &Environment) -> bool {
    if !word.to_str().is_some_and(may_be_command) {
        return false;
    }
    let mut file = std::ffi::OsString::from("docker-");
    file.push(word);
    plugin_directories(env)
        .iter()
        .any(|dir| is_executable(&dir.join(&file)))
}

fn plugin_directories(env: &Environment) -> Vec<PathBuf> {
    let configuration = configuration_directory(env);
    let mut dirs = files::read(&configuration.join("config.json"), files::MOST)
        .map(|text| extra_directories(&text))
        .unwrap_or_default();
    dirs.push(configuration.join("cli-plugins"));
    dirs.extend(PLUGIN_DIRECTORIES.map(PathBuf::from));
    dirs
}

/// `cliPluginsExtraDirs` of the CLI's configuration. A file that is no such JSON names none: the
/// CLI warns about it when it runs.
fn extra_directories(text: &[u8]) -> Vec<PathBuf> {
    let Ok(value) = serde_json::from_slice::<serde_json::Value>(text) else {
        return Vec::new();
    };
    value
        .get("cliPluginsExtraDirs")
        .and_then(|dirs| dirs.as_array())
        .map(|dirs| {
            dirs.iter()
                .filter_map(|dir| dir.as_str())
                .map(PathBuf::from)
                .collect()
        })
        .unwrap_or_default()
}

fn is_executable(path: &Path) -> bool {
    files::is_executable(path)
}

/// Whether the word is an option, which the official script hands to `docker`.
#[must_use]
pub fn is_option(word: &OsStr) -> bool {
    word.as_bytes().starts_with(b"-")
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a test makes its own files")]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    const CLI: Sightings = Sightings {
        docker: true,
        plugin: false,
        program: false,
    };
    const CLI_AND_PROGRAM: Sightings = Sightings {
        program: true,
        ..CLI
    };
    const CLI_AND_PLUGIN: Sightings = Sightings {
        plugin: true,
        ..CLI
    };

    #[test]
    fn the_table_is_sorted_and_has_no_command_of_some_versions_only() {
        assert!(COMMANDS.windows(2).all(|pair| pair[0] < pair[1]));
        assert!(VERSIONED.iter().all(|word| !COMMANDS.contains(word)));
        assert!(COMMANDS.iter().all(|word| may_be_command(word)));
    }

    #[test]
    fn judges_in_the_order_of_the_official_script() {
        let nothing = Sightings {
            docker: false,
            ..CLI_AND_PROGRAM
        };
        let table = [
            ("ps", CLI, Standing::Command),
            ("ps", CLI_AND_PROGRAM, Standing::Command),
            ("wait", CLI_AND_PROGRAM, Standing::Command),
            ("login", CLI_AND_PROGRAM, Standing::Command),
            ("ps", nothing, Standing::Other),
            ("sh", CLI_AND_PROGRAM, Standing::Other),
            ("compose", CLI_AND_PLUGIN, Standing::Command),
            ("compose", CLI, Standing::Unknown),
            ("trust", CLI, Standing::Unknown),
            ("trust", CLI_AND_PROGRAM, Standing::Unknown),
            ("absent", CLI, Standing::Unknown),
            ("docker", CLI_AND_PROGRAM, Standing::Other),
            ("dockerd", CLI, Standing::Other),
            ("/bin/ps", CLI, Standing::Other),
            ("Ps", CLI, Standing::Other),
            ("docker-compose", CLI, Standing::Other),
            ("", CLI, Standing::Other),
        ];
        for (word, seen, want) in table {
            assert_eq!(standing(OsStr::new(word), seen), want, "{word} {seen:?}");
        }
    }

    #[test]
    fn finds_plugins_in_the_users_and_in_configured_directories() {
        let dir = tempfile::tempdir().unwrap();
        let plugins = dir.path().join("cli-plugins");
        let extra = dir.path().join("extra");
        for (dir, name, mode) in [
            (&plugins, "docker-mine", 0o755),
            (&plugins, "docker-notes", 0o644),
            (&extra, "docker-more", 0o755),
        ] {
            std::fs::create_dir_all(dir).unwrap();
            std::fs::write(dir.join(name), "").unwrap();
            let mode = std::fs::Permissions::from_mode(mode);
            std::fs::set_permissions(dir.join(name), mode).unwrap();
        }
        let config = serde_json::json!({ "cliPluginsExtraDirs": [extra] });
        std::fs::write(dir.path().join("config.json"), config.to_string()).unwrap();
        let env: Environment = [("DOCKER_CONFIG", dir.path())].into_iter().collect();
        for (word, want) in [
            ("mine", true),
            ("more", true),
            ("notes", false),
            ("absent", false),
            ("../mine", false),
        ] {
            assert_eq!(plugin_exists(OsStr::new(word), &env), want, "{word}");
        }
    }

    #[test]
    fn a_broken_configuration_names_no_directories() {
        for text in [
            "",
            "{",
            "[]",
            r#"{"cliPluginsExtraDirs": "x"}"#,
            r#"{"cliPluginsExtraDirs": [1]}"#,
        ] {
            assert_eq!(
                extra_directories(text.as_bytes()),
                Vec::<PathBuf>::new(),
                "{text}"
            );
        }
    }
}
