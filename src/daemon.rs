//! The main job: from words to a supervised dockerd. This file is the paragraph list; every
//! decision is in [`crate::plan`], every effect in [`crate::apply`] and [`crate::supervise`].

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use time::OffsetDateTime;

use crate::apply::listen::HeldSockets;
use crate::apply::{self, certificate, file};
use crate::cli::config::{CommandForm, Config, Identity};
use crate::cli::environment::Environment;
use crate::explain::Failure;
use crate::forwarder::Sockets;
use crate::host::daemon_json::{self, DaemonFile};
use crate::host::listen::ListenFacts;
use crate::host::stale::Places;
use crate::host::{Facts, certs};
use crate::plan::client;
use crate::plan::host::{self, DaemonCommand, HostPlan};
use crate::plan::listen::{self, ListenPlan, PlannedSocket};
use crate::plan::network::Forwarder;
use crate::plan::tls_mode;
use crate::program::{self, ProgramError};
use crate::rootless::daemon::RootlessWishes;
use crate::rootless::parent::Parent;
use crate::rootless::plan::RootlessPlan;
use crate::rootless::{self, enter};
use crate::supervise::Supervisor;
use crate::supervise::machine::Rules;
use crate::supervise::names::NameForwarder;
use crate::supervise::notify::{NotifySocket, Outer};
use crate::supervise::status::{Status, StatusFile};
use crate::supervise::timeline::Timeline;
use crate::sys::signal::{self, OriginalMask};
use crate::sys::spawn::{self, ProcessGroup, Spawn};
use crate::tls::{self, Names};

/// What the process was started with.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The environment.
    pub env: Environment,
    /// The signal mask, for children.
    pub mask: OriginalMask,
    /// When `main` began.
    pub start: Instant,
    /// The same moment by the clock on the wall.
    pub now: OffsetDateTime,
}

impl Caller {
    /// Our ids.
    #[must_use]
    pub fn identity() -> Identity {
        Identity {
            pid: std::process::id(),
            uid: rustix::process::geteuid().as_raw(),
            gid: rustix::process::getegid().as_raw(),
        }
    }
}

/// What to do with the words that follow `dockerd-entrypoint.sh` (S1–S8).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Words {
    /// Start a daemon.
    Daemon(CommandForm, Vec<OsString>),
    /// Let `docker-entrypoint.sh` deal with it.
    Other,
}

/// Dispatches as the official entrypoint does: only the literal word `dockerd` counts (S6).
#[must_use]
pub fn dispatch(words: &[OsString]) -> Words {
    match words.split_first() {
        Some((first, rest)) if first == "dockerd" => {
            Words::Daemon(CommandForm::Explicit, rest.to_vec())
        }
        Some((first, _)) if !first.as_encoded_bytes().starts_with(b"-") => Words::Other,
        _ => Words::Daemon(CommandForm::Default, words.to_vec()),
    }
}

/// Everything that is decided before the machine is looked at closely.
#[derive(Debug)]
pub struct Wishes {
    /// What the user wants.
    pub config: Config,
    /// dockerd's file.
    pub file: DaemonFile,
    /// The sockets.
    pub listen: ListenPlan,
    /// The certificates, where they are our business.
    pub tls: Option<tls::Wish>,
    /// What is wanted of a rootless daemon's namespaces, when we are not root.
    pub rootless: Option<RootlessWishes>,
}

/// Reads the few things that the `ListenPlan` needs, and makes it.
///
/// # Errors
/// A bad setting, or an address that cannot be served.
pub fn wishes(
    form: CommandForm,
    arguments: &[OsString],
    env: Environment,
) -> Result<Wishes, Failure> {
    let rootless = rootless::daemon::wishes(&env)?;
    let env = rootless
        .as_ref()
        .map_or(env, |wishes| wishes.places.env.clone());
    let config = Config::new(form, arguments, env, Caller::identity())?;
    let path = match (config.daemon.value("config-file"), &rootless) {
        (Some(path), _) => PathBuf::from(path),
        (None, Some(wishes)) => wishes.places.config.join("daemon.json"),
        (None, None) => PathBuf::from(daemon_json::DEFAULT_PATH),
    };
    let file = DaemonFile::read(&path);
    let addresses = listen::addresses(&config, &file)?;
    let facts = ListenFacts::read(&config, &addresses);
    let listen = listen::plan(&config, &file, &facts)?;
    let tls = tls_mode::certificates(&config, &file)?;
    Ok(Wishes {
        config,
        file,
        listen,
        tls,
        rootless,
    })
}

/// What was decided about the machine.
#[derive(Debug)]
pub struct Decision {
    /// The steps, and dockerd's command.
    pub plan: HostPlan,
    /// The names that the server certificate carries.
    pub names: Names,
}

/// Looks at the machine and decides.
///
/// # Errors
/// A refusal.
pub fn decide(wishes: &Wishes, now: OffsetDateTime) -> Result<Decision, Failure> {
    let facts = Facts::probe(&wishes.config);
    let names = facts.network.certificate_names();
    let certificates = match &wishes.tls {
        None => None,
        Some(wish) => Some(tls::decide(
            wish,
            &names,
            &certs::read(&wish.directory),
            now,
        )?),
    };
    let lines = certificates.map(|plan| plan.lines());
    let rootless = wishes
        .rootless
        .as_ref()
        .map(|wanted| rootless::daemon::decide(wanted, &wishes.listen, &facts.uplink))
        .transpose()?;
    let plan = host::plan(
        &wishes.config,
        &wishes.file,
        &wishes.listen,
        &facts,
        lines,
        rootless,
    )?;
    Ok(Decision { plan, names })
}

/// Checks the TLS material and makes what is missing; what was written is made durable beside
/// dockerd's start.
fn certificates(
    wish: Option<&tls::Wish>,
    names: &Names,
    now: OffsetDateTime,
) -> Result<(), Failure> {
    let Some(wish) = wish else { return Ok(()) };
    let outcome = certificate::apply(wish, names, now)?;
    for note in &outcome.notes {
        tracing::warn!("{note}");
    }
    for line in outcome.verified() {
        tracing::info!("{line}");
    }
    if !outcome.written.is_empty() {
        spawn::aside(|| certificate::make_durable(&wish.directory, &outcome.written));
    }
    Ok(())
}

/// Starts dockerd and stays until it is gone.
///
/// # Errors
/// Every failure before the border; our sockets are gone again then.
pub fn run(form: CommandForm, arguments: &[OsString], caller: &Caller) -> Result<u8, Failure> {
    let mut timeline = Timeline::new(caller.start);
    let env = enter::become_user(caller.env.clone())?;
    let wishes = wishes(form, arguments, env)?;
    if wishes.config.daemon.only_prints() {
        let words: Vec<_> = [OsString::from("dockerd")]
            .into_iter()
            .chain(arguments.to_vec())
            .collect();
        return Err(program::replace(&words, &caller.env, caller.mask).into());
    }
    if wishes.rootless.is_some() {
        // Before a socket in it makes it with another mode.
        file::create_directory(&wishes.config.runtime_dir(), 0o700)?;
    }
    let mut sockets = HeldSockets::bind(&wishes.listen)?;
    timeline.mark("sockets");
    match start(&wishes, caller, &mut sockets, &mut timeline) {
        Ok(started) => Ok(supervise(wishes, caller, sockets, timeline, started)),
        Err(failure) => {
            sockets.unlink();
            Err(failure)
        }
    }
}

/// dockerd and what it takes to follow it.
struct Started {
    dockerd: rustix::process::Pid,
    notify: NotifySocket,
    signals: nix::sys::signalfd::SignalFd,
    names: Option<NameForwarder>,
    rootless: Option<Parent>,
    warnings: Vec<String>,
}

fn start(
    wishes: &Wishes,
    caller: &Caller,
    sockets: &mut HeldSockets,
    timeline: &mut Timeline,
) -> Result<Started, Failure> {
    let Decision {
        plan,
        names: certificate_names,
    } = decide(wishes, caller.now)?;
    timeline.mark("plan");
    let mut warnings = wishes.listen.notes.clone();
    warnings.extend(wishes.listen.exposure());
    warnings.extend(plan.warnings.iter().cloned());
    for warning in &warnings {
        tracing::warn!("{warning}");
    }
    tracing::info!("{}", plan.summary);
    apply::steps(&plan.steps, &mut || {
        certificates(wishes.tls.as_ref(), &certificate_names, caller.now)
    })?;
    let names = name_forwarder(plan.forwarder)?;
    timeline.mark("apply");

    if std::process::id() != 1 {
        // As PID 1 orphans are ours anyway; elsewhere we ask for them.
        let _ = rustix::process::set_child_subreaper(rustix::process::getpid().into());
    }
    let notify = NotifySocket::bind(&plan.daemon.notify_socket)?;
    let signals = signal::signal_fd()
        .map_err(|e| apply::ApplyError::new("make a signalfd in", Path::new("/proc/self"), e))?;
    let begun = begin(plan.daemon, plan.rootless.as_ref(), caller, sockets);
    let (dockerd, rootless) = begun.inspect_err(|_| notify.remove())?;
    timeline.mark("exec");
    let names = names.map(|mut forwarder| {
        if let Err(error) = forwarder.start() {
            tracing::error!("the forwarder for names cannot be started: {error}");
        }
        forwarder
    });
    Ok(Started {
        dockerd,
        notify,
        signals,
        names,
        rootless,
        warnings,
    })
}

/// Starts dockerd, in namespaces of its own where it is rootless; the process that stands for it
/// gets its signals and ends with its code.
fn begin(
    daemon: DaemonCommand,
    rootless: Option<&RootlessPlan>,
    caller: &Caller,
    sockets: &mut HeldSockets,
) -> Result<(rustix::process::Pid, Option<Parent>), Failure> {
    if let Some(plan) = rootless {
        let parent = rootless::daemon::begin(plan, daemon, caller.mask, sockets)?;
        return Ok((parent.child, Some(parent)));
    }
    let spawned = spawn::spawn(&Spawn {
        program: &daemon.program,
        argv: &daemon.argv,
        env: &daemon.env.words(),
        mask: caller.mask,
        group: ProcessGroup::Own,
        listeners: &sockets.sockets(),
        listener_names: sockets.names(),
        bound: spawn::Bound::No,
    });
    let dockerd = spawned.map_err(|source| ProgramError::Exec {
        name: daemon.program.into_os_string(),
        source,
    })?;
    Ok((dockerd, None))
}

fn supervise(
    wishes: Wishes,
    caller: &Caller,
    sockets: HeldSockets,
    timeline: Timeline,
    started: Started,
) -> u8 {
    let ping_path = wishes.listen.first_unix();
    let status = Status {
        state: "starting".into(),
        pid: std::process::id(),
        dockerd: match &started.rootless {
            Some(parent) => parent.command,
            None => started.dockerd.as_raw_nonzero().get().unsigned_abs(),
        },
        socket: ping_path.clone(),
        endpoints: endpoints(&wishes.listen),
        client: client::variables(&wishes.config, &wishes.listen),
        warnings: started.warnings,
        phases: Vec::new(),
    };
    let mut status = StatusFile {
        path: host::runtime_dir(&wishes.config).join("status.json"),
        status,
    };
    status.write("starting", &timeline);
    let supervisor = Supervisor {
        dockerd: started.dockerd,
        sockets,
        rules: Rules {
            stop_timeout: stop_timeout(&wishes.config),
            can_ping: ping_path.is_some(),
        },
        places: Places::of(&wishes.config),
        ping_path,
        names: started.names,
        rootless: started.rootless,
        notify: started.notify,
        outer: Outer::new(caller.env.get("NOTIFY_SOCKET")),
        status,
        timeline,
    };
    crate::sys::memory::forget_code();
    supervisor.run(&started.signals)
}

/// Binds the forwarder's sockets; its process starts beside dockerd.
fn name_forwarder(wanted: Option<Forwarder>) -> Result<Option<NameForwarder>, Failure> {
    let Some(Forwarder { address, upstream }) = wanted else {
        return Ok(None);
    };
    let sockets = Sockets::bind(address).map_err(|error| {
        let place = PathBuf::from(format!("{address}:53"));
        apply::ApplyError::new("bind the forwarder for names to", &place, error).because(
            "something took port 53 meanwhile",
            "set --dns for dockerd, or DIND_DNS=skip",
        )
    })?;
    Ok(Some(NameForwarder::new(sockets, upstream)))
}

/// One second less than `docker stop` grants; two less than a pod's grace period.
fn stop_timeout(config: &Config) -> Duration {
    config.stop_timeout.unwrap_or_else(|| {
        let kubernetes = config.env.get("KUBERNETES_SERVICE_HOST").is_some();
        Duration::from_secs(if kubernetes { 28 } else { 9 })
    })
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_literal_word_dockerd_and_flags_start_a_daemon() {
        let words = |list: &[&str]| list.iter().map(OsString::from).collect::<Vec<_>>();
        let daemon = |form, list: &[&str]| Words::Daemon(form, words(list));
        assert_eq!(dispatch(&[]), daemon(CommandForm::Default, &[]));
        assert_eq!(
            dispatch(&words(&["-D"])),
            daemon(CommandForm::Default, &["-D"])
        );
        assert_eq!(
            dispatch(&words(&["dockerd", "-D"])),
            daemon(CommandForm::Explicit, &["-D"])
        );
        for other in ["/usr/local/bin/dockerd", "", "sh", "docker"] {
            assert_eq!(dispatch(&words(&[other])), Words::Other, "{other:?}");
        }
    }
}
