//! Which addresses dockerd's networks may have: clear of what is outside, of resolvers, and of the
//! networks that its data root remembers. Pure.

use std::net::{IpAddr, Ipv4Addr};

use crate::base::net4::Net4;
use crate::config::Config;
use crate::host::daemon_json::DaemonFile;
use crate::host::storage::bridges::Bridge;
use crate::host::uplink::UplinkFacts;
use crate::plan::dockerd::{AddedFlag, user_set, user_text};

/// A pool from which dockerd cuts networks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pool {
    /// The whole.
    pub base: Net4,
    /// The length of the networks that are cut from it.
    pub length: u32,
}

impl Pool {
    /// Every network of it, in dockerd's order.
    fn networks(self) -> impl Iterator<Item = Net4> {
        let length = self.length.clamp(self.base.length(), 32);
        let count = 1_u64 << (length - self.base.length());
        let size = 1_u64 << (32 - length);
        (0..count).filter_map(move |index| {
            let offset = u32::try_from(index * size).ok()?;
            Some(Net4::new(self.base.host(offset), length))
        })
    }
}

/// What dockerd will have inside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inner {
    /// The pools from which it chooses.
    pub pools: Vec<Pool>,
    /// The networks that it makes again, without docker0.
    pub kept: Vec<Net4>,
}

impl Default for Inner {
    /// A dockerd of which nothing is known.
    fn default() -> Self {
        Self {
            pools: default_pools().collect(),
            kept: Vec::new(),
        }
    }
}

impl Inner {
    /// Of a dockerd with this configuration and data root.
    #[must_use]
    pub fn of(config: &Config, file: &DaemonFile, remembered: &[Bridge]) -> Self {
        let others = remembered.iter().filter(|bridge| !bridge.default);
        Self {
            pools: user_pools(config, file).unwrap_or_else(|| default_pools().collect()),
            kept: others.map(|bridge| bridge.network).collect(),
        }
    }

    /// How many networks dockerd can make by itself beside those that are taken.
    #[must_use]
    pub fn left(&self, taken: &[Net4]) -> usize {
        let networks = self.pools.iter().flat_map(|pool| pool.networks());
        networks
            .take(MOST)
            .filter(|net| is_free(*net, taken))
            .count()
    }
}

/// Of a very large pool so many networks are looked at.
const MOST: usize = 1 << 16;

/// dockerd's default pools (libnetwork `ipamutils`, local scope).
fn default_pools() -> impl Iterator<Item = Pool> {
    let pool = |base, length, size| Pool {
        base: Net4::new(base, length),
        length: size,
    };
    let large = (17..=31).map(move |second| pool(Ipv4Addr::new(172, second, 0, 0), 16, 16));
    large.chain([pool(Ipv4Addr::new(192, 168, 0, 0), 16, 20)])
}

/// The pools that the user has given, as far as they can be read.
fn user_pools(config: &Config, file: &DaemonFile) -> Option<Vec<Pool>> {
    let flags = config.daemon.values("default-address-pool");
    let mut pools: Vec<Pool> = flags.into_iter().filter_map(pool_of_flag).collect();
    let listed = file
        .get("default-address-pools")
        .and_then(|pools| pools.as_array());
    pools.extend(listed.into_iter().flatten().filter_map(|pool| {
        Some(Pool {
            base: pool.get("base")?.as_str()?.parse().ok()?,
            length: u32::try_from(pool.get("size")?.as_u64()?).ok()?,
        })
    }));
    (!pools.is_empty()).then_some(pools)
}

/// `base=10.99.0.0/16,size=24`
fn pool_of_flag(text: &str) -> Option<Pool> {
    let field = |name| text.split(',').find_map(|part| part.strip_prefix(name));
    Some(Pool {
        base: field("base=")?.parse().ok()?,
        length: field("size=")?.parse().ok()?,
    })
}

fn is_free(net: Net4, taken: &[Net4]) -> bool {
    !taken.iter().any(|other| other.overlaps(net))
}

/// The question where docker0 and new networks may be.
#[derive(Debug)]
pub(super) struct Addresses {
    inner: Inner,
    of_user: bool,
    /// Networks of our links that are not docker0's own.
    on_link: Vec<Net4>,
    /// The networks that docker0 had.
    docker0: Vec<Net4>,
    /// Our networks and every resolver.
    reserved: Vec<Net4>,
    /// Resolvers that lie beyond our own networks: dockerd sees addresses and routes by itself,
    /// and in old versions does not look at these.
    resolvers: Vec<Net4>,
    /// `--fixed-cidr`: docker0's network must hold it.
    fixed: Option<Net4>,
    /// `--default-gateway`, likewise.
    gateway: Option<Net4>,
}

impl Addresses {
    pub(super) fn new(
        config: &Config,
        file: &DaemonFile,
        facts: &UplinkFacts,
        remembered: &[Bridge],
    ) -> Self {
        // A docker0 that is there is no network outside.
        let own = facts.docker0.map(|docker0| docker0.network);
        let outside = |nets: &[Net4]| -> Vec<Net4> {
            let nets = nets.iter().copied();
            nets.filter(|net| Some(*net) != own).collect()
        };
        let routes = outside(&facts.routes);
        let resolvers: Vec<Net4> = facts
            .resolvers
            .iter()
            .filter_map(host)
            .filter(|net| is_free(*net, &routes))
            .collect();
        let gateway =
            user_text(config, file, "default-gateway").and_then(|text| host(&text.parse().ok()?));
        let default = remembered.iter().filter(|bridge| bridge.default);
        Self {
            inner: Inner::of(config, file, remembered),
            of_user: user_set(
                config,
                file,
                "default-address-pool",
                &["default-address-pools"],
            ),
            on_link: outside(&facts.on_link),
            docker0: default.map(|bridge| bridge.network).collect(),
            reserved: [&*routes, &*resolvers].concat(),
            resolvers,
            fixed: user_text(config, file, "fixed-cidr").and_then(|text| text.parse().ok()),
            gateway,
        }
    }

    /// Whether a network that dockerd may choose holds a resolver.
    pub(super) fn hide_a_resolver(&self) -> bool {
        let holds = |net: &Net4| default_pools().any(|pool| pool.base.overlaps(*net));
        self.resolvers.iter().any(holds)
    }

    /// The network of a docker0 that dockerd would make again, and the network of our links that
    /// has come in its way: docker0 would have the address of our own gateway.
    pub(super) fn overtaken(&self) -> Option<(Net4, Net4)> {
        self.docker0.iter().find_map(|inner| {
            let outer = self.on_link.iter().find(|outer| outer.overlaps(*inner))?;
            Some((*inner, *outer))
        })
    }

    /// A network for docker0: the first of dockerd's own order, then one of 10.0.0.0/8, then
    /// `--fixed-cidr` itself.
    pub(super) fn free(&self) -> Option<Net4> {
        let taken = [&*self.reserved, &*self.inner.kept].concat();
        let own = self.inner.pools.iter().flat_map(|pool| pool.networks());
        let tens = (200..=255).map(|second| Net4::new(Ipv4Addr::new(10, second, 0, 0), 16));
        let tens = tens.filter(|_| !self.of_user);
        let held = [self.fixed, self.gateway];
        let holds = |net: Net4| held.iter().flatten().all(|inner| net.holds(*inner));
        own.take(MOST)
            .chain(tens)
            .chain(self.fixed)
            .find(|net| is_free(*net, &taken) && holds(*net))
    }

    pub(super) fn pools_are_the_users(&self) -> bool {
        self.of_user
    }

    /// Flags for pools in which nothing is reserved.
    pub(super) fn pools(&self) -> Vec<AddedFlag> {
        let flag = |pool: Pool| AddedFlag {
            name: "default-address-pool",
            value: format!("base={},size={}", pool.base, pool.length),
            why: "free of this container's resolvers and networks".into(),
        };
        let free = |pool: &Pool| is_free(pool.base, &self.reserved);
        default_pools().filter(free).map(flag).collect()
    }
}

/// The network of one IPv4 address that others than we can reach.
fn host(ip: &IpAddr) -> Option<Net4> {
    match ip {
        IpAddr::V4(ip) if !ip.is_loopback() => Some(Net4::new(*ip, 32)),
        IpAddr::V4(_) | IpAddr::V6(_) => None,
    }
}
