//! What this machine lets a user do: ids, programs, sysctls, and a probe of the namespaces.

pub mod docker_proxy;
pub mod ids;
pub mod probe;
pub mod subids;

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use caps::{CapSet, Capability};
use serde::{Deserialize, Serialize};

use self::ids::IdFacts;
use self::probe::NamespaceProbe;
use self::subids::{OddRow, Rows};
use crate::base::environment::Environment;
use crate::config::rootless::places;
use crate::config::rootless::{NetDriver, Options, SubidSource};
use crate::files::find_program;
use crate::files::{self, kernel};
use crate::sys::probe::{ProbeResult, Probes, UnshareFlags};

/// A hung probe is an unknown fact, never a hung start.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Which program changes the packet filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Filter {
    /// `iptables` and `ip6tables`.
    Iptables,
    /// `nft`.
    Nft,
}

/// Facts for the rootless plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RootlessFacts {
    pub ids: IdFacts,
    /// Our name in /etc/passwd.
    pub user: Option<String>,
    /// Our host name.
    pub host: String,
    /// The program of slirp4netns.
    pub slirp4netns: Option<PathBuf>,
    /// The program of pasta.
    pub pasta: Option<PathBuf>,
    /// The helpers that write maps.
    pub map_helpers: Vec<MapHelper>,
    /// Settings of the kernel that concern namespaces, where they exist.
    pub sysctls: Vec<(String, String)>,
    /// The seccomp mode of this process.
    pub seccomp: Option<u32>,
    /// `no_new_privs`.
    pub no_new_privs: bool,
    /// Bounding set, by name.
    pub bounding: Vec<String>,
    /// The packet filter that can keep client addresses of published ports.
    pub filter: Option<Filter>,
    /// docker-proxy, where it is installed.
    #[serde(default)]
    pub docker_proxy: Option<PathBuf>,
    /// Where this program is, as a path that others can be given.
    #[serde(default)]
    pub own_program: Option<PathBuf>,
    /// Whether the outer namespace has an IPv6 address by which others can reach it.
    pub outer_ipv6: bool,
    pub probe: ProbeResult<NamespaceProbe>,
}

/// `newuidmap` or `newgidmap`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MapHelper {
    pub name: String,
    pub path: Option<PathBuf>,
    /// Whether it has the set-user-ID bit.
    pub setuid: bool,
    /// Whether it has file capabilities.
    pub capabilities: bool,
    /// Whether it lies on a nosuid mount.
    pub nosuid: bool,
}

/// Settings of the kernel that forbid or limit namespaces.
const SYSCTLS: [&str; 6] = [
    "kernel/unprivileged_userns_clone",
    "kernel/apparmor_restrict_unprivileged_userns",
    "user/max_user_namespaces",
    "user/max_mnt_namespaces",
    "user/max_net_namespaces",
    "user/max_pid_namespaces",
];

impl RootlessFacts {
    /// Reads the machine and tries the namespaces.
    #[must_use]
    pub fn probe(env: &Environment, options: &Options) -> Self {
        let mut probes = Probes::new();
        let device = options.net != Some(NetDriver::None);
        let ticket = probes.start(
            "rootless namespaces",
            UnshareFlags::empty(),
            TIMEOUT,
            move || probe::run(device),
        );
        let path = env.get("PATH");
        let find = |name: &str| {
            find_program(name.as_ref(), path).filter(|path| files::is_executable(path))
        };
        let bytes = |path: &str| kernel::read(path).unwrap_or_default();
        // A name in it may be any bytes, our own in /proc/self/status as well.
        let text = |path: &str| String::from_utf8_lossy(&bytes(path)).into_owned();
        let uid = rustix::process::geteuid().as_raw();
        let gid = rustix::process::getegid().as_raw();
        let user = places::passwd(
            &files::text(Path::new("/etc/passwd")).unwrap_or_default(),
            uid,
        )
        .map(|(name, ..)| name);
        let may = |capability| caps::has_cap(None, CapSet::Effective, capability).unwrap_or(false);
        let source = options.subid_source;
        let sub =
            |file: &str, flag: &[&str]| sub_ids(source, file, flag, user.as_deref(), uid, env);
        let (uids, gids) = (sub("/etc/subuid", &[]), sub("/etc/subgid", &["-g"]));
        let status = text("/proc/self/status");
        let bounding = caps::read(None, CapSet::Bounding).unwrap_or_default();
        let sysctl = |name: &&str| {
            let value = kernel::text(Path::new("/proc/sys").join(name)).ok()?;
            Some((name.replace('/', "."), value.trim().to_owned()))
        };
        Self {
            ids: IdFacts {
                uid,
                gid,
                sub_uids: uids.ranges,
                sub_gids: gids.ranges,
                odd_uids: uids.odd,
                odd_gids: gids.odd,
                outer_uids: ids::parse_map(&text("/proc/self/uid_map")),
                outer_gids: ids::parse_map(&text("/proc/self/gid_map")),
                may_write: may(Capability::CAP_SETUID) && may(Capability::CAP_SETGID),
            },
            user,
            host: rustix::system::uname()
                .nodename()
                .to_string_lossy()
                .into_owned(),
            slirp4netns: find(&options.slirp4netns),
            pasta: find(&options.pasta),
            map_helpers: ["newuidmap", "newgidmap"]
                .map(|name| map_helper(name, find(name)))
                .to_vec(),
            sysctls: SYSCTLS.iter().filter_map(sysctl).collect(),
            seccomp: status_field(&status, "Seccomp:"),
            no_new_privs: status_field(&status, "NoNewPrivs:") == Some(1),
            bounding: bounding.iter().map(ToString::to_string).collect(),
            filter: find("ip").and_then(|_| {
                let filters = [("nft", Filter::Nft), ("iptables", Filter::Iptables)];
                let found = filters.into_iter().find(|(name, _)| find(name).is_some())?;
                Some(found.1)
            }),
            docker_proxy: docker_proxy::find(env),
            own_program: kernel::own_program(),
            outer_ipv6: crate::sys::netdev::addresses().iter().any(reached_by6),
            probe: match probes.collect().take(ticket) {
                ProbeResult::Known(Ok(found)) => ProbeResult::Known(found),
                ProbeResult::Known(Err(why)) | ProbeResult::Unknown(why) => {
                    ProbeResult::Unknown(why)
                }
            },
        }
    }

    /// The program of a driver, if it is installed.
    #[must_use]
    pub fn driver(&self, driver: NetDriver) -> Option<&PathBuf> {
        match driver {
            NetDriver::Pasta => self.pasta.as_ref(),
            NetDriver::Slirp4netns => self.slirp4netns.as_ref(),
            NetDriver::Host | NetDriver::None => None,
        }
    }
}

/// Every range of the user: from the file, or, where it has none, from `getsubids`, which also
/// asks directories (SSSD).
fn sub_ids(
    source: SubidSource,
    file: &str,
    flag: &[&str],
    user: Option<&str>,
    uid: u32,
    env: &Environment,
) -> Rows {
    let of_file = match files::text(Path::new(file)) {
        Ok(text) => subids::parse_file(file, &text, user, uid),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Rows::default(),
        // What cannot be read is not empty.
        Err(error) => Rows {
            odd: vec![OddRow::File {
                file: file.to_owned(),
                error: error.to_string(),
            }],
            ..Rows::default()
        },
    };
    match source {
        SubidSource::Static => return of_file,
        SubidSource::Auto if !of_file.ranges.is_empty() => return of_file,
        SubidSource::Auto | SubidSource::Dynamic => {}
    }
    let Some(program) = find_program("getsubids".as_ref(), env.get("PATH")) else {
        return match source {
            SubidSource::Dynamic => Rows::default(),
            SubidSource::Auto | SubidSource::Static => of_file,
        };
    };
    let owner = user.map_or_else(|| uid.to_string(), str::to_owned);
    let words = ["getsubids"].iter().chain(flag).map(ToString::to_string);
    let argv: Vec<_> = words.chain([owner]).map(Into::into).collect();
    let said = crate::process::ask::ask(&program, &argv, &env.words()).unwrap_or_default();
    Rows {
        ranges: subids::parse_getsubids(&said),
        odd: of_file.odd,
    }
}

#[expect(clippy::disallowed_methods, reason = "as execve(2) finds it")]
fn map_helper(name: &str, path: Option<PathBuf>) -> MapHelper {
    let stat = path.as_deref().and_then(|path| rustix::fs::stat(path).ok());
    let mut value = [0u8; 64];
    let capability =
        |path: &Path| rustix::fs::getxattr(path, "security.capability", &mut value[..]).is_ok();
    let nosuid = |path: &Path| {
        let flags = rustix::fs::statvfs(path).map(|stat| stat.f_flag);
        flags.is_ok_and(|flags| flags.contains(rustix::fs::StatVfsMountFlags::NOSUID))
    };
    MapHelper {
        name: name.to_owned(),
        setuid: stat.is_some_and(|stat| stat.st_mode & 0o4000 != 0 && stat.st_uid == 0),
        capabilities: path.as_deref().is_some_and(capability),
        nosuid: path.as_deref().is_some_and(nosuid),
        path,
    }
}

/// Of the IPv6 internet or of a site: neither loopback nor for one link alone.
fn reached_by6(address: &IpAddr) -> bool {
    let IpAddr::V6(ip) = address else {
        return false;
    };
    !(ip.is_loopback() || ip.is_unspecified() || ip.is_unicast_link_local())
}

fn status_field(status: &str, name: &str) -> Option<u32> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_a_site_count_as_those_of_the_internet_do() {
        let reached = |text: &str| reached_by6(&text.parse().unwrap());
        assert!(reached("2001:db8::1") && reached("fd00::2"));
        assert!(
            !["::1", "fe80::1", "::", "192.0.2.1"]
                .into_iter()
                .any(reached)
        );
    }
}
