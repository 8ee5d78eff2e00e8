//! The iptables programs of the image, and which kernel interface each of them speaks.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::files;
use crate::files::find_program;

/// Directory with the names of the legacy tools, as the official image lays it out.
pub const LEGACY_FARM: &str = "/usr/local/sbin/.iptables-legacy";

/// A way to program the packet filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Backend {
    /// iptables on nf_tables.
    Nft,
    /// iptables on the tables of old.
    Legacy,
    /// nf_tables by `nft`, without iptables: engine 29.
    Nftables,
}

impl Backend {
    /// As people call it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Nft => "iptables-nft",
            Self::Legacy => "iptables-legacy",
            Self::Nftables => "nftables",
        }
    }
}

/// How dockerd comes to use the tools: it looks for `iptables` in PATH.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reach {
    /// They are what PATH finds.
    Path,
    /// A directory that must come first in PATH.
    Directory(PathBuf),
    /// They have other names: links to them are needed.
    Links,
}

/// The tools of one backend.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tools {
    /// What they speak.
    pub backend: Backend,
    /// How dockerd comes to use them.
    pub reach: Reach,
    /// `iptables`.
    pub iptables: PathBuf,
    /// `ip6tables`.
    pub ip6tables: Option<PathBuf>,
    /// `iptables-restore`, if it belongs to the same program.
    pub restore: Option<PathBuf>,
    /// `ip6tables-restore`, likewise.
    pub restore6: Option<PathBuf>,
}

/// What `iptables` of PATH speaks, by the name of the executable that it leads to; nothing when
/// that is neither of the known programs.
#[must_use]
pub fn variant(iptables: &Path) -> Option<Backend> {
    let real = files::real(iptables).ok()?;
    let name = real.file_name()?.to_str()?;
    match name {
        "xtables-multi" => Some(Backend::Legacy), // before 1.8 there was no other
        name if name.contains("nft") => Some(Backend::Nft),
        name if name.contains("legacy") => Some(Backend::Legacy),
        _ => None,
    }
}

/// What `iptables --version` says: `iptables v1.8.13 (nf_tables)`.
#[must_use]
pub fn variant_by_version(text: &str) -> Option<Backend> {
    match text {
        text if text.contains("(nf_tables)") => Some(Backend::Nft),
        text if text.starts_with("iptables v") => Some(Backend::Legacy),
        _ => None,
    }
}

/// The tools of each backend, where there are any: those that PATH finds come before others.
/// `default` is what `iptables` of PATH speaks.
#[must_use]
pub fn find(path: Option<&OsStr>, default: Option<Backend>) -> Vec<Tools> {
    find_with_farm(path, default, Path::new(LEGACY_FARM))
}

fn find_with_farm(path: Option<&OsStr>, default: Option<Backend>, farm: &Path) -> Vec<Tools> {
    let mut found = Vec::new();
    let named = |backend, reach, infix: &str| {
        let find = |family: &str, suffix: &str| {
            find_program(format!("{family}{infix}{suffix}").as_ref(), path)
        };
        tools(backend, reach, find)
    };
    found.extend(default.and_then(|backend| named(backend, Reach::Path, "")));
    if default != Some(Backend::Nft) {
        found.extend(named(Backend::Nft, Reach::Links, "-nft"));
    }
    if default != Some(Backend::Legacy) {
        let in_farm = |family: &str, suffix: &str| {
            let program = farm.join(format!("{family}{suffix}"));
            files::is_file(&program).then_some(program)
        };
        let reach = Reach::Directory(farm.to_owned());
        let legacy = tools(Backend::Legacy, reach, in_farm);
        found.extend(legacy.or_else(|| named(Backend::Legacy, Reach::Links, "-legacy")));
    }
    found
}

fn tools(
    backend: Backend,
    reach: Reach,
    find: impl Fn(&str, &str) -> Option<PathBuf>,
) -> Option<Tools> {
    let iptables = find("iptables", "")?;
    let ip6tables = find("ip6tables", "");
    // A restore program of another version, or of the other backend, would prove nothing.
    let same = |restore: Option<PathBuf>, tool: &Path| {
        let real = |path: &Path| files::real(path).ok();
        restore.filter(|restore| real(restore).is_some() && real(restore) == real(tool))
    };
    Some(Tools {
        backend,
        reach,
        restore: same(find("iptables", "-restore"), &iptables),
        restore6: ip6tables
            .as_ref()
            .and_then(|tool| same(find("ip6tables", "-restore"), tool)),
        iptables,
        ip6tables,
    })
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a test makes its own files")]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    /// A directory with programs, and links to them.
    fn bin(programs: &[&str], links: &[(&str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for name in programs {
            let path = dir.path().join(name);
            std::fs::write(&path, "").unwrap();
            std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
        }
        for (name, target) in links {
            symlink(target, dir.path().join(name)).unwrap();
        }
        dir
    }

    fn found(dir: &Path, farm: &Path) -> Vec<String> {
        let default = variant(&dir.join("iptables"));
        let tools = find_with_farm(Some(dir.as_os_str()), default, farm);
        tools
            .iter()
            .map(|tools| {
                let reach = match &tools.reach {
                    Reach::Path => "path",
                    Reach::Directory(_) => "farm",
                    Reach::Links => "links",
                };
                let restore = if tools.restore.is_some() { "+" } else { "" };
                format!("{}:{reach}{restore}", tools.backend.name())
            })
            .collect()
    }

    const DEBIAN: &[(&str, &str)] = &[
        ("iptables", "xtables-nft-multi"),
        ("iptables-restore", "xtables-nft-multi"),
        ("iptables-legacy", "xtables-legacy-multi"),
        ("iptables-legacy-restore", "xtables-legacy-multi"),
    ];

    #[test]
    fn both_backends_of_a_debian_image_are_found() {
        let dir = bin(&["xtables-nft-multi", "xtables-legacy-multi"], DEBIAN);
        let none = Path::new("/nowhere");
        assert_eq!(
            found(dir.path(), none),
            ["iptables-nft:path+", "iptables-legacy:links+"]
        );
    }

    #[test]
    fn the_farm_of_the_official_image_comes_before_other_names() {
        let dir = bin(&["xtables-nft-multi", "xtables-legacy-multi"], DEBIAN);
        let legacy = dir.path().join("xtables-legacy-multi");
        let farm = bin(&[], &[("iptables", legacy.to_str().unwrap())]);
        assert_eq!(
            found(dir.path(), farm.path()),
            ["iptables-nft:path+", "iptables-legacy:farm"]
        );
    }

    #[test]
    fn a_legacy_default_and_a_restore_of_the_other_backend_are_told() {
        let links = [
            ("iptables", "xtables-legacy-multi"),
            ("iptables-restore", "xtables-nft-multi"),
            ("iptables-nft", "xtables-nft-multi"),
        ];
        let dir = bin(&["xtables-nft-multi", "xtables-legacy-multi"], &links);
        let none = Path::new("/nowhere");
        assert_eq!(
            found(dir.path(), none),
            ["iptables-legacy:path", "iptables-nft:links"]
        );
        assert!(found(bin(&[], &[]).path(), none).is_empty());
    }

    #[test]
    fn versions_tell_the_backend_where_names_do_not() {
        assert_eq!(
            variant_by_version("iptables v1.8.13 (nf_tables)\n"),
            Some(Backend::Nft)
        );
        assert_eq!(
            variant_by_version("iptables v1.8.4 (legacy)\n"),
            Some(Backend::Legacy)
        );
        assert_eq!(
            variant_by_version("iptables v1.6.1\n"),
            Some(Backend::Legacy)
        );
        assert_eq!(variant_by_version("sh: not found"), None);
    }
}
