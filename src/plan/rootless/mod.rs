//! What will be done for a rootless dockerd: the decisions of this module in one value. Pure.

pub mod driver;
pub mod idmap;
pub mod names;
pub mod net;
pub mod preflight;
pub mod proxy;
pub mod refusal;
pub mod source_rules;

use std::fmt;
use std::path::PathBuf;

use serde::Serialize;

use self::idmap::{MapPlan, Writer};
use self::net::NetPlan;
use self::proxy::Wanted;
use self::refusal::RootlessRefusal;
use crate::base::environment::Environment;
use crate::base::printable::line;
use crate::config::rootless::ChildSide;
use crate::config::rootless::places::{self, Places};
use crate::config::rootless::port::PortSpec;
use crate::config::rootless::{NetDriver, Options, PortDriver};
use crate::config::settings;
use crate::config::{Config, FirewallOption};
use crate::host::rootless::Filter;
use crate::host::rootless::RootlessFacts;
use crate::host::uplink::UplinkFacts;
use crate::plan::cgroup::delegation::{self, Decision, Delegation};
use crate::plan::dockerd::AddedFlag;
use crate::plan::network::addresses::Inner;
use crate::plan::step::Step;

/// Everything that the launcher needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RootlessPlan {
    /// The user's request.
    pub options: Options,
    /// The id maps.
    pub maps: MapPlan,
    /// The network.
    pub net: NetPlan,
    /// The program of the network driver.
    pub driver: Option<PathBuf>,
    /// The state directory.
    pub state: PathBuf,
    /// The cgroup of dockerd's half; nothing where nobody asked.
    pub cgroup: Option<Decision>,
    /// What root did, or would do, for us before it became this user.
    pub preparation: Vec<Step>,
    /// Ports that are published from the start.
    pub publish: Vec<PortSpec>,
    /// Unix sockets, and the groups that they get inside.
    pub socket_groups: Vec<(PathBuf, u32)>,
    /// The API's socket, to which the standard path leads inside, where nothing else is there.
    pub api: Option<PathBuf>,
    /// Where dockerd is to map ports to; nothing without a port driver of ours.
    pub child_side: Option<ChildSide>,
    /// Our program, where dockerd is to start it as its docker-proxy.
    pub own_proxy: Option<PathBuf>,
    /// The packet filter that keeps client addresses; nothing where they are not kept.
    pub source_filter: Option<Filter>,
    /// Our ids outside.
    pub ids: (u32, u32),
    /// Our host name, for /etc/hosts inside.
    pub host: String,
    /// Every certain failure ahead, worst first.
    pub refusals: Vec<RootlessRefusal>,
    /// What the user should know.
    pub warnings: Vec<String>,
}

/// Decides.
///
/// # Errors
/// There is nothing to plan with: no ids, or no network driver. Every other failure ahead is in
/// [`RootlessPlan::refusals`].
pub fn plan(
    options: Options,
    places: &Places,
    facts: &RootlessFacts,
    uplink: &UplinkFacts,
    inner: &Inner,
    proxy: Wanted,
) -> Result<RootlessPlan, RootlessRefusal> {
    let maps = idmap::plan(&facts.ids, options.single_id)
        .map_err(|none| RootlessRefusal::no_map(none, facts))?;
    let has = |driver| facts.driver(driver).is_some();
    let net =
        net::plan(&options, uplink, inner, has).map_err(|none| RootlessRefusal::NoDriver {
            wanted: none.wanted,
        })?;
    let mut warnings = options.warnings.clone();
    warnings.extend(places.notes.iter().cloned());
    warnings.extend(maps.notes.iter().cloned());
    warnings.extend(net.notes.iter().cloned());
    let driver = facts.driver(net.driver).cloned();
    let own_proxy = own_proxy(proxy, &net, facts);
    let child_side = child_side(&options, &net, facts, own_proxy.is_some());
    let source_filter = facts
        .filter
        .filter(|_| child_side.is_some() && options.source_address && net.tap.is_some());
    if child_side == Some(ChildSide::Loopback)
        && options.child_side.is_none()
        && net.tap.is_some()
        && own_proxy.is_none()
    {
        warnings.push(
            "published ports serve IPv6 by itself here, and no docker-proxy of dind-init's tells \
             which containers they lead to: behind another one, and over UDP, services do not see \
             the addresses of their clients; DIND_ROOTLESS_PORTS=tap keeps those of IPv4 and TCP"
                .into(),
        );
    }
    let state = options.state_dir.clone();
    Ok(RootlessPlan {
        state: state.unwrap_or_else(|| places::default_state(&places.keep)),
        ids: (facts.ids.uid, facts.ids.gid),
        host: facts.host.clone(),
        cgroup: None,
        preparation: Vec::new(),
        publish: options.publish.clone(),
        socket_groups: Vec::new(),
        api: None,
        child_side,
        own_proxy,
        source_filter,
        refusals: preflight::refusals(facts, &maps),
        options,
        maps,
        net,
        driver,
        warnings,
    })
}

/// docker-proxy can tell which container it stands for where dockerd may start ours, which becomes
/// the real one.
fn own_proxy(wanted: Wanted, net: &NetPlan, facts: &RootlessFacts) -> Option<PathBuf> {
    let real = facts.docker_proxy.is_some();
    let wanted = wanted == Wanted::Yes && net.port_driver == PortDriver::Builtin && real;
    facts.own_program.clone().filter(|_| wanted)
}

/// IPv6 can be published by itself only on loopback, which docker-proxy serves, so that clients'
/// addresses are lost unless it tells us of the container (`told`). On the tap device's address
/// dockerd's own rule takes connections there.
fn child_side(
    options: &Options,
    net: &NetPlan,
    facts: &RootlessFacts,
    told: bool,
) -> Option<ChildSide> {
    if net.port_driver != PortDriver::Builtin {
        return None;
    }
    Some(match options.child_side {
        _ if net.tap.is_none() => ChildSide::Loopback,
        Some(side) => side,
        None if told || facts.outer_ipv6 || options.ipv6 => ChildSide::Loopback,
        None => ChildSide::Tap,
    })
}

impl RootlessPlan {
    /// The cgroup that is handed over, where one is.
    #[must_use]
    pub fn hand_over(&self) -> Option<&Delegation> {
        self.cgroup.as_ref()?.as_ref().ok()
    }

    /// What holds for limits, in one line.
    #[must_use]
    pub fn limits(&self) -> Option<String> {
        self.cgroup.as_ref().map(delegation::line)
    }

    /// Flags for dockerd.
    #[must_use]
    pub fn flags(&self) -> Vec<AddedFlag> {
        let flag = |_| AddedFlag {
            name: "userland-proxy-path",
            value: self.state.join(proxy::NAME).display().to_string(),
            why: "it tells which container a published port leads to, for the sake of clients' \
                  addresses"
                .to_owned(),
        };
        self.own_proxy.iter().map(flag).collect()
    }

    /// dockerd's environment: what it and its users expect to find of rootlesskit.
    #[must_use]
    pub fn environment(&self, env: Environment) -> Environment {
        let (uid, gid) = self.ids;
        env.with("ROOTLESSKIT_STATE_DIR", self.state.as_os_str())
            .with("ROOTLESSKIT_PARENT_EUID", uid.to_string())
            .with("ROOTLESSKIT_PARENT_EGID", gid.to_string())
            .without(|name| name == settings::ROOTLESS.name || name == settings::ROOTLESS_USER.name)
    }
}

impl fmt::Display for RootlessPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let by = match self.maps.writer {
            Writer::Direct => "written by dind-init",
            Writer::Helpers => "written by newuidmap and newgidmap",
            Writer::Single => "a single id",
        };
        let words = MapPlan::words(&self.maps.uids).join(" ");
        writeln!(f, "   ids    {words} ({by})")?;
        match &self.net.tap {
            Some(tap) => writeln!(
                f,
                "   net    {} on {}, {}/{}, mtu {}",
                self.net.driver.name(),
                tap.name,
                tap.address(),
                tap.network.length(),
                tap.mtu
            )?,
            None => writeln!(f, "   net    {}", self.net.driver.name())?,
        }
        for net in &self.net.outer {
            writeln!(
                f,
                "   route  {net} outside, for dockerd to keep clear of it"
            )?;
        }
        let ports = match self.child_side {
            Some(ChildSide::Tap) => "relayed to the tap device's address",
            Some(ChildSide::Loopback) => "relayed to loopback",
            None => "not relayed by dind-init",
        };
        let source = match self.source_filter {
            Some(Filter::Nft) => ", with client addresses (nft)",
            Some(Filter::Iptables) => ", with client addresses (iptables)",
            None => "",
        };
        writeln!(f, "   ports  {ports}{source}")?;
        let parts = self.hand_over().into_iter().flat_map(|part| &part.steps);
        for step in parts.chain(&self.preparation) {
            let (action, why) = (step.action.to_string(), line(&step.why));
            writeln!(f, "   first  {}: {why}", line(&action))?;
        }
        writeln!(f, "   state  {}", self.state.display())
    }
}

impl Serialize for RootlessPlan {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct View<'a> {
            maps: &'a MapPlan,
            net: &'a NetPlan,
            #[serde(skip_serializing_if = "Option::is_none")]
            hand_over: Option<&'a Delegation>,
            #[serde(skip_serializing_if = "<[Step]>::is_empty")]
            preparation: &'a [Step],
            #[serde(skip_serializing_if = "Option::is_none")]
            limits: Option<String>,
            state: &'a PathBuf,
            warnings: &'a [String],
        }
        View {
            maps: &self.maps,
            net: &self.net,
            hand_over: self.hand_over(),
            preparation: &self.preparation,
            limits: self.limits(),
            state: &self.state,
            warnings: &self.warnings,
        }
        .serialize(serializer)
    }
}

/// Whether a network namespace is made.
#[must_use]
pub fn has_network(net: &NetPlan) -> bool {
    net.driver != NetDriver::Host
}

/// Request that only a rootful daemon's probes could honour.
#[must_use]
pub fn without_effect(config: &Config) -> Option<String> {
    (config.firewall != FirewallOption::Auto).then(|| {
        "DIND_FIREWALL has no effect in rootless mode: give dockerd --firewall-backend instead"
            .to_owned()
    })
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
