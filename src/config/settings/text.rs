//! The table of settings as users read it.

use super::ALL;

/// Those that the official image knows, too.
const OFFICIAL: [&str; 8] = [
    "DOCKERD_ROOTLESS_ROOTLESSKIT_FLAGS",
    "DOCKERD_ROOTLESS_ROOTLESSKIT_MTU",
    "DOCKERD_ROOTLESS_ROOTLESSKIT_NET",
    "DOCKER_DRIVER",
    "DOCKER_HOST",
    "DOCKER_IPTABLES_LEGACY",
    "DOCKER_TLS_CERTDIR",
    "DOCKER_TLS_SAN",
];

/// The table as the README shows it.
#[must_use]
pub fn markdown() -> String {
    let mut text = String::from("| variable | values | default | meaning |\n|---|---|---|---|\n");
    for setting in ALL.iter().map(|row| row.about()) {
        let known = match OFFICIAL.contains(&setting.name) {
            true => " (official)",
            false => "",
        };
        text.push_str(&format!(
            "| `{}`{known} | {} | {} | {} |\n",
            setting.name, setting.values, setting.default, setting.help
        ));
    }
    text
}

/// The table as `--help` shows it.
#[must_use]
pub fn help() -> String {
    let mut text = String::from("Variables:\n");
    for s in ALL.iter().map(|row| row.about()) {
        text.push_str(&format!(
            "  {}\n      {}\n      values: {}; default: {}\n",
            s.name, s.help, s.values, s.default
        ));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(
        clippy::disallowed_methods,
        reason = "UPDATE_EXPECT=1 writes the README's table"
    )]
    fn the_readme_shows_this_table() {
        const MARKS: (&str, &str) = (
            "<!-- settings: generated from src/config/settings.rs; a test compares -->\n",
            "<!-- /settings -->",
        );
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/README.md");
        let readme = std::fs::read_to_string(path).unwrap();
        let (before, rest) = readme.split_once(MARKS.0).unwrap();
        let (table, after) = rest.split_once(MARKS.1).unwrap();
        if std::env::var_os("UPDATE_EXPECT").is_some() {
            let text = [before, MARKS.0, &markdown(), MARKS.1, after].concat();
            std::fs::write(path, text).unwrap();
        } else {
            assert_eq!(table, markdown(), "run the test with UPDATE_EXPECT=1");
        }
    }

    #[test]
    fn rows_are_unique_documented_and_all_in_the_table() {
        let rows: Vec<_> = ALL.iter().map(|row| row.about()).collect();
        let mut names: Vec<_> = rows.iter().map(|row| row.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), ALL.len());
        assert!(
            rows.iter()
                .all(|row| row.help.ends_with('.') && !row.values.is_empty())
        );
        let source = [include_str!("../settings.rs"), include_str!("rootless.rs")].concat();
        assert_eq!(source.matches(": Setting<").count(), ALL.len());
    }

    #[test]
    fn the_default_that_is_shown_is_the_one_that_holds() {
        for row in ALL {
            assert!(row.shows_its_default(), "{:?}", row.about());
        }
    }
}
