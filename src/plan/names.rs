//! The official names in an image of somebody's: which of them are scripts, and what these say.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use crate::host::script::MARK;

/// What runs the scripts.
pub const SHELL: &str = "/bin/sh";

/// Scripts in the official image: other scripts read them with `sh FILE` and `. FILE`.
const SCRIPTS: [&str; 3] = ["dockerd-entrypoint.sh", "dind", "docker-entrypoint.sh"];

/// A program in the official image. dockerd mounts the file into containers that are run with
/// `--init`, where a script would find neither us nor a shell.
const PROGRAMS: [&str; 1] = ["docker-init"];

/// A name to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name {
    pub path: PathBuf,
    pub form: Form,
}

/// What stands at a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Form {
    Link(PathBuf),
    /// A shell script.
    Script(String),
}

/// Decides. `binary` is our absolute path, `links` that there can be no scripts.
#[must_use]
pub fn plan(binary: &Path, directory: Option<&Path>, links: bool) -> Vec<Name> {
    let own = binary.parent().unwrap_or_else(|| Path::new("/"));
    let directory = directory.unwrap_or(own);
    // Within a directory links need not know where it is.
    let target = match binary.file_name() {
        Some(name) if own == directory => PathBuf::from(name),
        _ => binary.to_owned(),
    };
    let link = |name: &str| Name {
        path: directory.join(name),
        form: Form::Link(target.clone()),
    };
    let script = |name: &str| Name {
        path: directory.join(name),
        form: Form::Script(script(binary, name)),
    };
    let scripts = SCRIPTS.iter().map(|name| match links {
        true => link(name),
        false => script(name),
    });
    scripts
        .chain(PROGRAMS.iter().map(|name| link(name)))
        .collect()
}

/// Executes the binary where it was, or where PATH has it by now: users move names and binaries.
fn script(binary: &Path, name: &str) -> String {
    let path = quoted(&binary.to_string_lossy());
    format!(
        "#!{SHELL}\n\
         # dind-init as {name}, {MARK}: a script and no link, so that\n\
         # `sh FILE` and `. FILE` work as they do with the official one.\n\
         [ ! -x {path} ] || exec {path} {name} \"$@\"\n\
         exec dind-init {name} \"$@\"\n"
    )
}

/// A word for a shell.
fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
    match text.chars().all(plain) {
        true => text.to_owned(),
        false => format!("'{}'", text.replace('\'', r"'\''")),
    }
}

/// One line for each name.
#[must_use]
pub fn text(names: &[Name]) -> String {
    let mut text = String::new();
    for Name { path, form } in names {
        let path = path.display();
        let _ = match form {
            Form::Link(target) => writeln!(text, "{path} -> {}", target.display()),
            Form::Script(_) => writeln!(text, "{path} (script)"),
        };
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_where_there_is_a_shell_and_a_program_for_dockerd_always() {
        let binary = Path::new("/usr/local/bin/dind-init");
        expect_test::expect![[r#"
            /usr/local/bin/dockerd-entrypoint.sh (script)
            /usr/local/bin/dind (script)
            /usr/local/bin/docker-entrypoint.sh (script)
            /usr/local/bin/docker-init -> dind-init
        "#]]
        .assert_eq(&text(&plan(binary, None, false)));
        expect_test::expect![[r#"
            /usr/bin/dockerd-entrypoint.sh -> /usr/local/bin/dind-init
            /usr/bin/dind -> /usr/local/bin/dind-init
            /usr/bin/docker-entrypoint.sh -> /usr/local/bin/dind-init
            /usr/bin/docker-init -> /usr/local/bin/dind-init
        "#]]
        .assert_eq(&text(&plan(binary, Some(Path::new("/usr/bin")), true)));
    }

    #[test]
    fn a_script_knows_its_binary_and_its_name() {
        expect_test::expect![[r#"
            #!/bin/sh
            # dind-init as dind, made by `dind-init install`: a script and no link, so that
            # `sh FILE` and `. FILE` work as they do with the official one.
            [ ! -x '/it'\''s here/dind-init' ] || exec '/it'\''s here/dind-init' dind "$@"
            exec dind-init dind "$@"
        "#]]
        .assert_eq(&script(Path::new("/it's here/dind-init"), "dind"));
        assert!(
            crate::host::script::is_ours(&script(Path::new("/x"), "dind"))
                && !crate::host::script::is_ours("#!/bin/sh\nexec \"$@\"\n")
        );
    }
}
