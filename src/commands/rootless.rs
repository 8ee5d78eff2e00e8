//! The rootless half of the main job ([`crate::commands::daemon`]): request, decision, start.

use std::path::PathBuf;

use crate::apply::listen::HeldSockets;
use crate::base::environment::Environment;
use crate::base::explain::Failure;
use crate::config::Run;
use crate::config::rootless::Options;
use crate::config::rootless::places::Places;
use crate::config::rootless::port::PortSpec;
use crate::host::rootless::RootlessFacts;
use crate::host::uplink::UplinkFacts;
use crate::plan::cgroup::delegation::Decision;
use crate::plan::host_refusal::HostRefusal;
use crate::plan::listen::{ListenPlan, PlannedSocket};
use crate::plan::network::addresses::Inner;
use crate::plan::rootless::preflight;
use crate::plan::rootless::proxy::{self, Wanted};
use crate::plan::rootless::{self, RootlessPlan};
use crate::supervise::launch::Launch;
use crate::supervise::output::Output;
use crate::sys::spawn::ProcessGroup;
use crate::userns::cgroup::CgroupDescriptor;
use crate::userns::enter;
use crate::userns::error::LaunchError;
use crate::userns::parent::{self, Job, Parent};
use crate::userns::preparation::Preparation;
use crate::userns::state::StateDir;

/// What is wanted of the namespaces.
#[derive(Debug)]
pub struct RootlessRequest {
    /// Flags and variables.
    pub options: Options,
    /// Where things are.
    pub places: Places,
    /// What was decided about cgroups, while we were who we were.
    pub cgroup: Option<Decision>,
    /// What root gives to us, who were that root.
    pub preparation: Preparation,
}

/// The request, when we are not root.
///
/// # Errors
/// Directories that cannot be written.
pub fn request(
    options: Option<Options>,
    env: &Environment,
    cgroup: Option<Decision>,
    preparation: Preparation,
) -> Result<Option<RootlessRequest>, Failure> {
    let Some(options) = options.filter(|_| !rustix::process::geteuid().is_root()) else {
        return Ok(None);
    };
    Ok(Some(RootlessRequest {
        options,
        places: enter::places_with(env.clone(), &preparation)?,
        cgroup,
        preparation,
    }))
}

/// Looks at the machine and decides.
///
/// # Errors
/// There is nothing to plan with; see [`rootless::plan`].
pub fn decide(
    request: &RootlessRequest,
    listen: &ListenPlan,
    uplink: &UplinkFacts,
    inner: &Inner,
    proxy: Wanted,
    run: Run,
) -> Result<RootlessPlan, HostRefusal> {
    let RootlessRequest {
        options,
        places,
        cgroup,
        preparation,
    } = request;
    let mut facts = RootlessFacts::probe(&places.env, options);
    if run == Run::Dry {
        preparation.foresee_rootless(&mut facts);
    }
    let mut plan = rootless::plan(options.clone(), places, &facts, uplink, inner, proxy)?;
    plan.warnings.extend(preflight::warnings(&facts, &plan.net));
    plan.publish.extend(api_ports(listen));
    plan.socket_groups = socket_groups(listen);
    plan.api = listen.first_unix();
    plan.cgroup.clone_from(cgroup);
    plan.preparation.clone_from(&preparation.steps);
    Ok(plan)
}

/// Ports of the API that dockerd binds itself (`DIND_SOCKETS=dockerd`): inside, so that they must
/// be published, as the official script does.
fn api_ports(listen: &ListenPlan) -> Vec<PortSpec> {
    let port = |host: &String| host.strip_prefix("tcp://0.0.0.0:")?.parse::<u16>().ok();
    let ports = listen.left_to_dockerd.iter().filter_map(port);
    let specs = ports.map(|port| PortSpec::parse_list(&format!("0.0.0.0:{port}:{port}/tcp")));
    specs.flat_map(Result::unwrap_or_default).collect()
}

fn socket_groups(listen: &ListenPlan) -> Vec<(PathBuf, u32)> {
    let path = |socket: &PlannedSocket| match socket {
        PlannedSocket::Unix { path, .. } => Some((path.clone(), listen.inner_gid?)),
        PlannedSocket::Tcp { .. } | PlannedSocket::Inherited { .. } => None,
    };
    listen.sockets.iter().filter_map(path).collect()
}

/// Starts dockerd in its namespaces.
///
/// # Errors
/// Another run has the state directory, or a step that failed.
pub fn begin(
    plan: &RootlessPlan,
    launch: &Launch,
    sockets: &mut HeldSockets,
    output: Option<&Output>,
    door: Option<CgroupDescriptor>,
) -> Result<Parent, Failure> {
    let state = StateDir::take(&plan.state)?;
    if let Some(target) = &plan.own_proxy {
        state.link(proxy::NAME, target).map_err(|error| {
            let path = state.join(proxy::NAME);
            LaunchError::new(
                format!("could not make the link {}", path.display()),
                &error,
            )
        })?;
    }
    let daemon = launch.daemon.clone();
    let job = Job {
        program: daemon.program,
        argv: daemon.argv,
        env: daemon.env,
        mask: launch.mask,
        group: ProcessGroup::Own,
        sockets,
        stderr: output.map(Output::for_dockerd),
        notify: Some(daemon.notify_socket),
        dockerd: true,
        door,
    };
    Ok(parent::launch(plan, state, job)?)
}
