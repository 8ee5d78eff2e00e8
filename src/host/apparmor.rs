//! AppArmor: whether the kernel has it, and whether dockerd could use its profile (P3).
//!
//! Engines from 23 on leave AppArmor alone where `container` is set, which it is. 20.10 uses
//! it where securityfs shows it, and then refuses to start containers without its profile.

use std::path::Path;
use std::time::Duration;

use rustix::io::Errno;
use rustix::mount::MountFlags;
use serde::{Deserialize, Serialize};

use super::mounts::DirectoryState;
use crate::files::{self, kernel};
use crate::sys::probe::{ProbeResult, Probes, Ticket, UnshareFlags};

/// Where its files are.
pub const SECURITYFS: &str = "/sys/kernel/security";

/// The profile that dockerd gives to containers.
const PROFILE: &str = "docker-default";

/// The program that dockerd loads it with.
const PARSER: &str = "/sbin/apparmor_parser";

/// Facts about AppArmor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppArmorFacts {
    /// Whether the kernel has it and it is switched on.
    pub enabled: bool,
    /// The profile that confines us.
    pub label: Option<String>,
    /// What can be said of dockerd's profile; tried where AppArmor is on, by root.
    pub profile: Option<ProbeResult<Profile>>,
}

/// What can be said of a profile.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Profile {
    /// The kernel has it.
    Loaded,
    /// It could be loaded from here.
    Loadable,
    /// It could not; this is why.
    Missing(String),
}

impl AppArmorFacts {
    #[must_use]
    pub fn read() -> Self {
        let text = |path: &str| kernel::text(path).ok();
        let enabled = text("/sys/module/apparmor/parameters/enabled");
        let label = [
            "/proc/self/attr/apparmor/current",
            "/proc/self/attr/current",
        ]
        .iter()
        .find_map(|path| text(path));
        Self {
            enabled: enabled.is_some_and(|text| text.starts_with('Y')),
            label: label.map(|text| text.trim_end_matches(['\n', '\0']).to_owned()),
            profile: None,
        }
    }

    /// Looks whether the profile is there, and tries whether it could be loaded.
    #[must_use = "the answer is taken with it"]
    pub fn try_profile(probes: &mut Probes, securityfs: DirectoryState) -> Ticket<Profile> {
        let deadline = Duration::from_secs(2);
        probes.start("AppArmor", UnshareFlags::NEWNS, deadline, move || {
            find_profile(securityfs).unwrap_or_else(Profile::Missing)
        })
    }
}

fn find_profile(securityfs: DirectoryState) -> Result<Profile, String> {
    if securityfs != DirectoryState::MountPoint {
        let flags = MountFlags::empty();
        rustix::mount::mount("securityfs", SECURITYFS, "securityfs", flags, c"")
            .map_err(|errno| format!("mount(securityfs): {errno}"))?;
    }
    let list = format!("{SECURITYFS}/apparmor/profiles");
    let list = kernel::text(&list).map_err(|error| format!("read {list}: {error}"))?;
    if lists(&list, PROFILE) {
        return Ok(Profile::Loaded);
    }
    if !files::is_file(Path::new(PARSER)) {
        return Err(format!("there is no {PARSER}"));
    }
    // The kernel looks at our rights before it looks at the data, and data that is no profile
    // changes nothing.
    let load = format!("{SECURITYFS}/apparmor/.load");
    let file = kernel::open_for_writing(&load).map_err(|error| format!("open {load}: {error}"))?;
    match rustix::io::write(&file, b"no profile") {
        Err(errno @ (Errno::ACCESS | Errno::PERM)) => Err(format!("write {load}: {errno}")),
        Ok(_) | Err(_) => Ok(Profile::Loadable),
    }
}

/// Whether a list of profiles has this one (`docker-default (enforce)`).
fn lists(list: &str, name: &str) -> bool {
    list.lines()
        .filter_map(|line| line.rsplit_once(" ("))
        .any(|(profile, _mode)| profile == name)
}

#[cfg(test)]
mod tests {
    use super::lists;

    #[test]
    fn a_profile_is_found_by_its_whole_name() {
        let list = "/usr/bin/man (enforce)\ndocker-default (complain)\n";
        assert!(lists(list, "docker-default"));
        assert!(!lists(list, "docker"));
        assert!(!lists("", "docker-default"));
    }
}
