//! AppArmor: whether the kernel has it, and whether dockerd could load a profile from here (P3).

use std::path::Path;
use std::time::Duration;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::MountFlags;
use serde::{Deserialize, Serialize};

use super::mounts::DirectoryState;
use crate::sys::trial::{Ticket, Trials, Tried, UnshareFlags};

/// Where its files are.
pub const SECURITYFS: &str = "/sys/kernel/security";

/// Facts about AppArmor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppArmorFacts {
    /// Whether the kernel has it and it is switched on.
    pub enabled: bool,
    /// Whether the image has the program that dockerd loads profiles with; without it dockerd
    /// leaves AppArmor alone (containerd `pkg/apparmor`, `HostSupports`).
    pub parser: bool,
    /// The profile that confines us.
    pub label: Option<String>,
    /// Whether a profile can be loaded from here; tried where dockerd would load one.
    pub load: Option<Tried<Result<(), String>>>,
}

impl AppArmorFacts {
    /// Reads them.
    #[must_use]
    pub fn read() -> Self {
        let text = |path: &str| std::fs::read_to_string(path).ok();
        let enabled = text("/sys/module/apparmor/parameters/enabled");
        let label = [
            "/proc/self/attr/apparmor/current",
            "/proc/self/attr/current",
        ]
        .iter()
        .find_map(|path| text(path));
        Self {
            enabled: enabled.is_some_and(|text| text.starts_with('Y')),
            parser: Path::new("/sbin/apparmor_parser").exists(),
            label: label.map(|text| text.trim_end_matches(['\n', '\0']).to_owned()),
            load: None,
        }
    }

    /// Whether dockerd would load a profile.
    #[must_use]
    pub fn matters(&self) -> bool {
        self.enabled && self.parser
    }

    /// Tries to load what is no profile: the kernel looks at our rights before it looks at the
    /// data, and data that it cannot read changes nothing.
    #[must_use = "the answer is taken with it"]
    pub fn try_load(trials: &mut Trials, securityfs: DirectoryState) -> Ticket<Result<(), String>> {
        trials.start(
            "AppArmor profile",
            UnshareFlags::NEWNS,
            Duration::from_secs(2),
            move || {
                if securityfs != DirectoryState::MountPoint {
                    let flags = MountFlags::empty();
                    rustix::mount::mount("securityfs", SECURITYFS, "securityfs", flags, c"")
                        .map_err(|errno| format!("mount(securityfs): {errno}"))?;
                }
                let path = format!("{SECURITYFS}/apparmor/.load");
                let file = rustix::fs::open(&path, OFlags::WRONLY, Mode::empty())
                    .map_err(|errno| format!("open {path}: {errno}"))?;
                match rustix::io::write(&file, b"no profile") {
                    Err(errno @ (Errno::ACCESS | Errno::PERM)) => {
                        Err(format!("write {path}: {errno}"))
                    }
                    Ok(_) | Err(_) => Ok(()),
                }
            },
        )
    }
}
