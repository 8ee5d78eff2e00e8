//! From a started dockerd to the supervisor that follows it.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use super::{Request, Started};
use crate::apply::listen::HeldSockets;
use crate::base::environment::Environment;
use crate::base::explain::{Advice, Explain, samples};
use crate::commands::Caller;
use crate::endpoint::shell;
use crate::host::stale::Places;
use crate::plan::client;
use crate::plan::listen::{ListenPlan, PlannedSocket};
use crate::process::companion::Companion;
use crate::supervise::Supervisor;
use crate::supervise::budget::{self, Said};
use crate::supervise::exit_when::ExitWatch;
use crate::supervise::idle::Served;
use crate::supervise::launch::MainCommand;
use crate::supervise::machine::{Command, Machine, Millis, Rules};
use crate::supervise::mounts::Roots;
use crate::supervise::notify::Outer;
use crate::supervise::reserve::MemoryReserve;
use crate::supervise::status::{STATUS_FILE, STATUS_SOCKET, Status, StatusFile};
use crate::supervise::status_socket::StatusSocket;
use crate::supervise::timeline::Timeline;

/// Everything that the start made.
pub(super) struct Service {
    pub(super) request: Request,
    pub(super) sockets: HeldSockets,
    pub(super) timeline: Timeline,
    pub(super) started: Started,
    pub(super) command: Option<Vec<OsString>>,
}

impl Service {
    /// Stays until dockerd is gone; returns our exit code.
    pub(super) fn run(self, caller: &Caller) -> u8 {
        let Self {
            request,
            sockets,
            timeline,
            started,
            command,
        } = self;
        let private_dir = started.private_dir;
        let ping_path = request.listen.first_unix();
        let status = Status {
            state: "starting".into(),
            pid: std::process::id(),
            dockerd: started.mode.dockerd(started.dockerd),
            socket: ping_path.clone(),
            endpoints: endpoints(&request.listen),
            client: client::variables(&request.config, &request.listen),
            warnings: started.warnings,
            choices: started.choices,
            ..Status::default()
        };
        let mut status = StatusFile::new(private_dir.join(STATUS_FILE), status);
        status.write("starting", &timeline);
        let said = said(&request);
        let lifetime = &request.config.lifetime;
        let millis = |time: Duration| Millis::try_from(time.as_millis()).ok();
        let limit = budget::budget(&said, None).limit.and_then(millis);
        let waiting = if command.is_some() {
            Command::Waiting
        } else {
            Command::None
        };
        let status_socket = StatusSocket::bind(&private_dir.join(STATUS_SOCKET));
        let supervisor = Supervisor {
            machine: Machine::new(limit, waiting),
            rules: Rules {
                can_ping: ping_path.is_some(),
                restart: lifetime.restart,
                drain: lifetime.drain.is_some(),
                drain_most: lifetime
                    .drain
                    .as_ref()
                    .and_then(|d| d.most)
                    .and_then(millis),
            },
            mode: started.mode,
            dockerd: Some(started.dockerd),
            sockets,
            companions: started
                .names
                .into_iter()
                .map(|names| Box::new(names) as Box<dyn Companion>)
                .collect(),
            notify: started.notify,
            outer: Outer::new(caller.env.get("NOTIFY_SOCKET")),
            status,
            status_socket: match status_socket {
                Ok(socket) => Some(socket),
                Err(error) => {
                    tracing::warn!("{}", crate::base::explain::one_line(&error));
                    None
                }
            },
            ready_file: lifetime.ready_file.clone(),
            reserve: started.keep.map(MemoryReserve::watch),
            termination_log: lifetime.termination_log.clone(),
            sink: crate::log::never_wait(),
            output: started.output,
            timeline,
            said,
            drain: lifetime.drain.clone(),
            exit_when: ExitWatch::new(&lifetime.exit_when, served(&request.listen)),
            command: command.map(|argv| MainCommand {
                argv,
                env: command_environment(caller, &request),
                mask: caller.mask,
                oom_scores: started.oom_scores,
            }),
            ping_path,
            roots: roots(&request),
            places: places(&request),
        };
        crate::sys::memory::forget_code();
        supervisor.run(&started.signals)
    }
}

/// A setting of dockerd's: the flag wins over the file.
fn setting(request: &Request, names: &[&str]) -> Option<String> {
    let flag = names
        .iter()
        .find_map(|name| request.config.daemon.value(name));
    let file = || names.iter().find_map(|name| request.file.text(name));
    flag.or_else(file).map(str::to_owned)
}

/// A number of seconds, likewise.
fn seconds(request: &Request, name: &str) -> Option<i64> {
    let flag = request.config.daemon.value(name);
    let flag = flag.and_then(|value| value.parse().ok());
    flag.or_else(|| request.file.get(name)?.as_i64())
}

fn said(request: &Request) -> Said {
    Said {
        setting: request.config.lifetime.stop_timeout,
        kubernetes: request.config.env.get("KUBERNETES_SERVICE_HOST").is_some(),
        shutdown_timeout: seconds(request, "shutdown-timeout"),
        default_stop_timeout: seconds(request, "default-stop-timeout"),
    }
}

fn roots(request: &Request) -> Roots {
    let path =
        |names: &[&str], default: PathBuf| setting(request, names).map_or(default, PathBuf::from);
    let (data, exec) = match &request.rootless {
        Some(rootless) => (rootless.places.data.clone(), places(request).exec_root),
        None => ("/var/lib/docker".into(), "/var/run/docker".into()),
    };
    Roots {
        data: path(&["data-root", "graph"], data),
        exec: path(&["exec-root"], exec),
    }
}

fn places(request: &Request) -> Places {
    let places = Places::of(&request.config);
    Places {
        pidfile: setting(request, &["pidfile"]).map(PathBuf::from),
        exec_root: setting(request, &["exec-root"]).map_or(places.exec_root, PathBuf::from),
        ..places
    }
}

fn served(listen: &ListenPlan) -> Served {
    let mut served = Served::default();
    for socket in &listen.sockets {
        match socket {
            PlannedSocket::Unix { path, .. } => served.paths.push(path.display().to_string()),
            PlannedSocket::Tcp { address, .. } => served.ports.push(address.port()),
            PlannedSocket::Inherited { .. } => {}
        }
    }
    served
}

/// A docker client in our command means our daemon, whatever the environment says: `DOCKER_HOST`
/// and its kin are the client's elsewhere (CI systems set them for every container, and the client
/// entrypoint guesses one before it starts us).
fn command_environment(caller: &Caller, request: &Request) -> Environment {
    let env = caller.env.clone().without_service_manager();
    match client::own(&request.config, &request.listen) {
        Some(endpoint) => shell::environment(&endpoint, &env),
        None => env,
    }
}

/// A plan was asked for where the daemon runs already.
#[derive(Debug, thiserror::Error)]
#[error("dind-init runs here already, as process {pid}: there is nothing to plan")]
pub struct AlreadyRuns {
    pub pid: u32,
    /// What the plan ended in.
    pub reason: String,
}

impl Explain for AlreadyRuns {
    fn advice(&self) -> Advice {
        Advice::new(
            format!(
                "what it has made is in the way of a second one: {}",
                self.reason
            ),
            "dind-init status shows the running daemon, what was chosen for it and why, and \
             --timeline its start; for a plan use a container whose daemon does not run: \
             docker run --rm --privileged IMAGE dind-init plan",
        )
    }
}

samples! { AlreadyRuns: AlreadyRuns { pid: 1, reason: "what the plan ended in".into() } }

fn endpoints(listen: &ListenPlan) -> Vec<String> {
    let held = listen.sockets.iter().map(|socket| match socket {
        PlannedSocket::Unix { path, .. } => format!("unix://{}", path.display()),
        PlannedSocket::Tcp {
            address, security, ..
        } => format!("tcp://{address} ({security})"),
        PlannedSocket::Inherited { fd, name } => format!("fd://{fd} ({name})"),
    });
    held.chain(listen.left_to_dockerd.iter().cloned()).collect()
}
