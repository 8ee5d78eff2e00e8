//! C: root of the new user namespace. Prepares the namespaces in the order that the parent's half
//! of the hand-shake expects, starts the command, and follows it.

use std::io;
use std::path::Path;

use nix::sys::signalfd::SignalFd;
use rustix::process::{Pid, Signal};

use super::channel::Channel;
use super::command::{self, CommandFollower, NotifyRelay};
use super::error::LaunchError;
use super::parent::{Job, ToChild, ToParent};
use super::port_driver::PortDriverProcess;
use super::state::StateDir;
use super::{cgroup, mounts};
use crate::base::explain::{Explain as _, exit};
use crate::files::{self, kernel};
use crate::plan::rootless::names;
use crate::plan::rootless::net::{NetPlan, Tap};
use crate::plan::rootless::{RootlessPlan, has_network};
use crate::ports::bind::BindClient;
use crate::sys::{signal, tap, userns, watchdog};

/// Everything that happens in the child; returns its exit code.
pub(super) fn run(
    plan: &RootlessPlan,
    state: &StateDir,
    job: &mut Job<'_>,
    channel: &Channel,
    binds: Option<BindClient>,
    parent: Pid,
) -> u8 {
    if let Some(log) = crate::log::queue() {
        log.forget(); // it is the parent's to write
    }
    watchdog::watch_again();
    match start(plan, state, job, channel, binds, parent) {
        Ok((mut standing, signals)) => {
            crate::sys::memory::forget_code();
            standing.live(job, &signals)
        }
        Err(error) => {
            let code = error.exit_code();
            if channel.send(&ToParent::Failed(error)).is_err() {
                return exit::STEP_FAILED; // nobody is left to hear it
            }
            code
        }
    }
}

type Started<'a> = (CommandFollower<'a>, SignalFd);

fn start<'a>(
    plan: &RootlessPlan,
    state: &StateDir,
    job: &mut Job<'_>,
    channel: &'a Channel,
    binds: Option<BindClient>,
    parent: Pid,
) -> Result<Started<'a>, LaunchError> {
    let failed = |what: &'static str| move |error: io::Error| LaunchError::new(what, &error);
    // A group of its own: Ctrl-C on the terminal is for the parent, who asks us to stop.
    let _ = rustix::process::setpgid(None, None);
    let outer = job.notify.as_deref().map(command::connect).transpose()?;
    let pid = mapped(channel)?;
    userns::become_inner_root().map_err(failed("could not become root of the user namespace"))?;
    die_with(parent, plan.options.more.pid)?;
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))
        .map_err(|e| failed("could not become a subreaper")(e.into()))?;

    mounts::propagation(plan.options.propagation)?;
    if plan.options.more.pid {
        mounts::proc()?;
    }
    if has_network(&plan.net) {
        network(&plan.net)?;
        channel
            .send(&ToParent::Network)
            .map_err(failed("could not speak to the parent"))?;
    }
    // The parent starts the network driver meanwhile.
    prepare_mounts(plan, state, job.dockerd)?;
    for (path, gid) in &plan.socket_groups {
        if let Err(error) = files::socket::give_to_group(path, *gid) {
            tracing::warn!("{} keeps its group: {error}", path.display());
        }
    }
    let relay = outer
        .map(|outer| NotifyRelay::bind(state, outer))
        .transpose()?;
    if relay.is_some() {
        let path = state.join("notify.sock");
        job.env = job.env.clone().with("NOTIFY_SOCKET", path);
    }
    // dockerd does not start without its API, whoever starts dockerd.
    let published = match binds.filter(|_| has_network(&plan.net)) {
        Some(binds) => Some(PortDriverProcess::start(plan, state, pid, binds, &job.env)?),
        None => None,
    };
    let signals = signal::signal_fd().map_err(failed("could not make a signalfd"))?;
    connected(channel)?;

    let command = command::spawn(job, &job.sockets.sockets(), job.sockets.names())?;
    // A socket that we kept would queue clients whom nobody serves.
    job.sockets.close();
    let mut standing = CommandFollower {
        channel,
        command: Some(command),
        own_process_table: plan.options.more.pid,
        relay,
        published,
        again: None,
        parent_is_gone: false,
    };
    standing
        .announce()
        .map_err(failed("could not speak to the parent"))?;
    Ok((standing, signals))
}

/// Waits for the maps; our process id outside comes with them.
fn mapped(channel: &Channel) -> Result<u32, LaunchError> {
    match order(channel)? {
        ToChild::Mapped(pid) => Ok(pid),
        other => Err(out_of_step(&other)),
    }
}

fn connected(channel: &Channel) -> Result<(), LaunchError> {
    match order(channel)? {
        ToChild::Connected => Ok(()),
        other => Err(out_of_step(&other)),
    }
}

fn out_of_step(order: &ToChild) -> LaunchError {
    LaunchError::plain(format!("the parent is out of step: {order:?}"))
}

fn order(channel: &Channel) -> Result<ToChild, LaunchError> {
    match channel.receive::<ToChild>() {
        Ok(Some((order, _))) => Ok(order),
        Ok(None) => Err(LaunchError::plain("the parent is gone")),
        Err(error) => Err(LaunchError::new("could not hear the parent", &error)),
    }
}

/// We end when the parent does. Any change of ids clears the setting, so it comes after; and the
/// parent may have ended before it.
fn die_with(parent: Pid, own_process_table: bool) -> Result<(), LaunchError> {
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))
        .map_err(|error| LaunchError::new("could not bind its end to the parent's", &error))?;
    // In a pid namespace of our own the parent is outside, and cannot be seen.
    if !own_process_table && rustix::process::getppid() != Some(parent) {
        return Err(LaunchError::plain("the parent is gone"));
    }
    Ok(())
}

fn network(net: &NetPlan) -> Result<(), LaunchError> {
    let failed = |what: &'static str| {
        move |error: tap::DeviceError| {
            LaunchError::new(what, &error).with_help(
                "the network namespace has only what dind-init makes in it",
                "--device /dev/net/tun, and --security-opt seccomp=unconfined; or --privileged",
            )
        }
    };
    tap::up("lo").map_err(failed("could not bring loopback up"))?;
    let Some(tap) = &net.tap else { return Ok(()) };
    tap::make(&tap.name).map_err(failed("could not make the tap device"))?;
    tap::configure(
        &tap.name,
        tap.mtu,
        tap.address(),
        tap.network.mask(),
        tap.gateway(),
    )
    .map_err(failed("could not configure the tap device"))?;
    for net in &net.outer {
        tap::lead(&tap.name, net.host(0), net.mask(), tap.gateway())
            .map_err(failed("could not make a route to the outer network"))?;
    }
    if tap.ipv6 {
        tap::configure6(&tap.name, Tap::address6(), 64, Tap::gateway6())
            .map_err(failed("could not configure IPv6 on the tap device"))?;
    }
    // dockerd turns IPv4 forwarding on itself, but not with nftables.
    // The relay serves published ports on loopback inside, as whoever it is.
    for (name, value) in [
        ("ipv4/ip_forward", "1"),
        ("ipv6/conf/all/forwarding", "1"),
        ("ipv4/ip_unprivileged_port_start", "0"),
    ] {
        if let Err(error) = kernel::write(Path::new("/proc/sys/net").join(name), value) {
            // Where the outer /proc/sys is read-only, dockerd tries and tells as well.
            tracing::debug!("net/{name}: {error}");
        }
    }
    Ok(())
}

fn prepare_mounts(plan: &RootlessPlan, state: &StateDir, dockerd: bool) -> Result<(), LaunchError> {
    let etc = Path::new("/etc");
    let outer_resolv = files::text(Path::new("/etc/resolv.conf")).unwrap_or_default();
    let outer_hosts = files::text(Path::new("/etc/hosts")).unwrap_or_default();
    for dir in &plan.options.copy_up {
        mounts::copy_up(dir)?;
    }
    if has_network(&plan.net)
        && let Err(error) = mounts::sysfs(plan.hand_over().is_none())
    {
        // The preflight has said what it costs.
        tracing::debug!("{}", crate::base::explain::one_line(&error));
    }
    if let Some(handed) = plan.hand_over() {
        cgroup::enter(handed)?;
    }
    if plan.net.tap.is_some() {
        let copied = plan.options.copy_up.iter().any(|dir| dir == etc);
        let resolv = names::resolv_conf(&outer_resolv, &plan.net.resolvers());
        let hosts = names::hosts(&outer_hosts, &plan.host);
        for (name, text) in [("resolv.conf", resolv), ("hosts", hosts)] {
            mounts::replace_file(&etc.join(name), &text, copied, &state.join(name))?;
        }
    }
    if dockerd {
        mounts::forget_outer_daemons();
        if let Some(api) = &plan.api {
            mounts::standard_socket(api);
        }
        for path in ["/etc/cdi", "/run/cdi", "/etc/ssl"] {
            mounts::real_directory(Path::new(path));
        }
    }
    Ok(())
}
