//! Whether dockerd starts this program in place of docker-proxy (`commands/docker_proxy`).

/// Our name, which is also the name of a link to us in the state directory.
pub const NAME: &str = "rootlesskit-docker-proxy";

/// Whether dockerd is to start us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// The user has chosen a docker-proxy, or none; or dockerd's command line is not ours to add to.
    No,
    /// dockerd would start docker-proxy.
    Yes,
}
