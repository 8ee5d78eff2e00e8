//! The main job: from words to a supervised dockerd. This file is the paragraph list; every
//! decision is in [`crate::plan`], every effect in [`crate::apply`] and [`crate::supervise`].

pub mod service;

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use time::OffsetDateTime;

use super::{Caller, rootless};
use crate::apply::listen::HeldSockets;
use crate::apply::{self, file, termination};
use crate::base::environment::Environment;
use crate::base::explain::Failure;
use crate::commands::rootless::RootlessRequest;
use crate::config::Identity;
use crate::config::Run;
use crate::config::lifetime;
use crate::config::{CommandForm, Config};
use crate::forwarder::Sockets;
use crate::host::daemon_json::{self, DaemonFile};
use crate::host::listen::ListenFacts;
use crate::host::{Facts, certs};
use crate::plan::cgroup::{Keep, delegation};
use crate::plan::dockerd::AddedFlag;
use crate::plan::host::{self, HostPlan};
use crate::plan::limits::OomScores;
use crate::plan::listen::{self, ListenPlan};
use crate::plan::mode::ModePlan;
use crate::plan::network::Forwarder;
use crate::plan::network::addresses::Inner;
use crate::plan::step::CertificateStep;
use crate::plan::tls_mode;
use crate::process::program;
use crate::supervise::launch::Launch;
use crate::supervise::mode::Mode;
use crate::supervise::names::NameForwarder;
use crate::supervise::notify::NotifySocket;
use crate::supervise::output::Output;
use crate::supervise::timeline::Timeline;
use crate::sys::watchdog::{self, Doing};
use crate::sys::{process, signal};
use crate::tls;
use crate::userns::cgroup::CgroupDescriptor;
use crate::userns::enter;
use crate::userns::preparation::Preparation;

/// What to do with the words that follow `dockerd-entrypoint.sh`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Words {
    /// Start a daemon.
    Daemon(CommandForm, Vec<OsString>),
    /// Let `docker-entrypoint.sh` deal with it.
    Other,
}

/// Dispatches as the official entrypoint does: only the literal word `dockerd` counts.
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
pub struct Request {
    /// What the user wants.
    pub config: Config,
    /// dockerd's file.
    pub file: DaemonFile,
    /// The sockets.
    pub listen: ListenPlan,
    /// The certificates, where they are our business.
    pub tls: Option<tls::Request>,
    /// What is wanted of a rootless daemon's namespaces, when we are not root.
    pub rootless: Option<RootlessRequest>,
}

/// Reads the few things that the `ListenPlan` needs, and makes it.
///
/// # Errors
/// A bad setting, or an address that cannot be served.
pub fn request(
    form: CommandForm,
    arguments: &[OsString],
    env: Environment,
    cgroup: Option<delegation::Decision>,
    preparation: Preparation,
) -> Result<Request, Failure> {
    // Before the first question about a rootless daemon: all that is bad is told at once.
    let options = Config::new(form, arguments, env.clone(), Identity::own())?.rootless;
    let rootless = rootless::request(options, &env, cgroup, preparation)?;
    let env = rootless
        .as_ref()
        .map_or(env, |request| request.places.env.clone());
    let mut config = Config::new(form, arguments, env, Identity::own())?;
    if let Ok(directory) = std::env::current_dir() {
        config.directory = directory;
    }
    let path = match (config.daemon.value("config-file"), &rootless) {
        (Some(path), _) => PathBuf::from(path),
        (None, Some(request)) => request.places.config.join("daemon.json"),
        (None, None) => PathBuf::from(daemon_json::DEFAULT_PATH),
    };
    let file = DaemonFile::read(&path);
    let addresses = listen::addresses(&config, &file)?;
    let facts = ListenFacts::read(&config, &addresses);
    let listen = listen::plan(&config, &file, &facts)?;
    let tls = tls_mode::certificates(&config, &file)?;
    Ok(Request {
        config,
        file,
        listen,
        tls,
        rootless,
    })
}

/// Looks at the machine and decides.
///
/// # Errors
/// A refusal.
pub fn decide(request: &Request, now: OffsetDateTime, run: Run) -> Result<HostPlan, Failure> {
    let questions = crate::plan::questions(&request.config, &request.file);
    let mut facts = Facts::probe(&request.config, &request.file, questions);
    if let (Run::Dry, Some(wanted)) = (run, &request.rootless) {
        wanted.preparation.foresee(&mut facts, Identity::own().uid);
    }
    let certificates = certificates(request.tls.as_ref(), &facts, now)?;
    let (config, file) = (&request.config, &request.file);
    if let Some(wanted) = &request.rootless {
        let inner = Inner::of(config, file, facts.remembered());
        let proxy = host::proxy_wanted(config, file);
        let rootless =
            rootless::decide(wanted, &request.listen, &facts.uplink, &inner, proxy, run)?;
        let (listen, mode) = (&request.listen, ModePlan::Rootless(Box::new(rootless)));
        return Ok(host::plan(
            config,
            file,
            listen,
            &facts,
            certificates,
            mode,
        )?);
    }
    let decide = |facts: &Facts| {
        let (certificates, mode) = (certificates.clone(), ModePlan::Rootful);
        host::plan(config, file, &request.listen, facts, certificates, mode)
    };
    let mut plan = decide(&facts)?;
    while run == Run::Live
        && let Some(modules) = plan.modules_first()
    {
        // The one step before the others: what it does, only another probe can tell.
        tracing::info!(
            "no packet filter works yet: asking for {}",
            modules.join(" ")
        );
        apply::module::request(modules)?;
        facts.probe_netfilter_again(
            config,
            crate::plan::netfilter::question(config, file),
            modules,
        );
        plan = decide(&facts)?;
    }
    Ok(plan)
}

/// What the certificates need, where they are dind-init's business.
fn certificates(
    request: Option<&tls::Request>,
    facts: &Facts,
    now: OffsetDateTime,
) -> Result<Option<CertificateStep>, Failure> {
    let Some(request) = request.cloned() else {
        return Ok(None);
    };
    let names = facts.network.certificate_names();
    let plan = tls::decide(&request, &names, &certs::read(&request.directory), now)?;
    Ok(Some(CertificateStep {
        request,
        names,
        now,
        lines: plan.lines(),
    }))
}

/// Starts dockerd and stays until it is gone; a command runs as soon as it is ready, and its end
/// is the end of both.
///
/// # Errors
/// Every failure before the border; our sockets are gone again then.
pub fn run(
    form: CommandForm,
    arguments: &[OsString],
    command: Option<Vec<OsString>>,
    caller: &Caller,
) -> Result<u8, Failure> {
    process::set_name(process::SUPERVISOR);
    serve(form, arguments, command, caller).inspect_err(|failure| {
        // A stop that was asked for is no failure.
        if failure.exit_code() == 0 {
            return;
        }
        let text = crate::base::explain::frame(failure.as_ref());
        termination::leave(&lifetime::termination_log(&caller.env), &text);
    })
}

fn serve(
    form: CommandForm,
    arguments: &[OsString],
    command: Option<Vec<OsString>>,
    caller: &Caller,
) -> Result<u8, Failure> {
    let mut timeline = Timeline::new(caller.start);
    watchdog::watch(crate::log::wants_json());
    let enter::Entry {
        env,
        part,
        preparation,
    } = enter::daemon(form, arguments, caller.env.clone(), Run::Live)?;
    let (cgroup, door) = part.map(|part| (part.decision, part.door)).unzip();
    let request = request(form, arguments, env, cgroup, preparation)?;
    if request.config.daemon.only_prints() {
        let words: Vec<_> = [OsString::from("dockerd")]
            .into_iter()
            .chain(arguments.to_vec())
            .collect();
        return Err(program::replace(&words, &caller.env, caller.mask).into());
    }
    if request.rootless.is_some() {
        // Before a socket in it makes it with another mode.
        file::create_directory(&request.config.runtime_dir(), 0o700)?;
    }
    let mut sockets = HeldSockets::bind(&request.listen)?;
    timeline.mark("sockets");
    match start(
        &request,
        caller,
        &mut sockets,
        &mut timeline,
        door.flatten(),
    ) {
        Ok(started) => {
            let service = service::Service {
                request,
                sockets,
                timeline,
                started,
                command,
            };
            Ok(service.run(caller))
        }
        Err(failure) => {
            sockets.unlink();
            Err(failure)
        }
    }
}

/// dockerd and what it takes to follow it.
struct Started {
    dockerd: rustix::process::Pid,
    mode: Mode,
    output: Option<Output>,
    notify: NotifySocket,
    signals: nix::sys::signalfd::SignalFd,
    names: Option<NameForwarder>,
    warnings: Vec<String>,
    choices: Vec<String>,
    oom_scores: Option<OomScores>,
    keep: Option<Keep>,
    private_dir: PathBuf,
}

fn start(
    request: &Request,
    caller: &Caller,
    sockets: &mut HeldSockets,
    timeline: &mut Timeline,
    door: Option<CgroupDescriptor>,
) -> Result<Started, Failure> {
    watchdog::turn(Doing::Plan);
    let plan = decide(request, caller.now, Run::Live)?;
    timeline.mark("plan");
    watchdog::turn(Doing::Steps);
    let mut warnings = request.listen.notes.clone();
    warnings.extend(request.listen.exposure());
    warnings.extend(plan.warnings.iter().cloned());
    for warning in &warnings {
        tracing::warn!("{warning}");
    }
    tracing::info!("{}", plan.summary);
    for choice in plan.choices() {
        tracing::info!("{choice}");
    }
    apply::steps(&plan.steps)?;
    let names = name_forwarder(plan.forwarder)?;
    timeline.mark("apply");

    if std::process::id() != 1 {
        // As PID 1 orphans are ours anyway; elsewhere we ask for them.
        let _ = rustix::process::set_child_subreaper(rustix::process::getpid().into());
    }
    let notify = NotifySocket::bind(&plan.daemon.notify_socket)?;
    let signals = signal::signal_fd()
        .map_err(|e| apply::ApplyError::new("make a signalfd in", Path::new("/proc/self"), e))?;
    let launch = Launch {
        daemon: plan.daemon,
        mask: caller.mask,
    };
    let output = Output::new(crate::log::never_wait());
    let begun = match &plan.mode {
        ModePlan::Rootless(plan) => rootless::begin(plan, &launch, sockets, output.as_ref(), door)
            .map(|parent| (parent.child, Mode::Rootless(Box::new(parent)))),
        ModePlan::Rootful => launch
            .start(sockets, output.as_ref())
            .map(|dockerd| (dockerd, Mode::Rootful(launch)))
            .map_err(Failure::from),
    };
    let (dockerd, mode) = begun.inspect_err(|_| notify.remove())?;
    timeline.mark("exec");
    let choice = |flag: &AddedFlag| format!("{}={} ({})", flag.name, flag.value, flag.why);
    Ok(Started {
        dockerd,
        mode,
        output,
        notify,
        signals,
        names,
        warnings,
        choices: plan.flags.iter().map(choice).collect(),
        oom_scores: plan.oom_scores,
        keep: plan.keep,
        private_dir: plan.private_dir,
    })
}

/// Binds the forwarder's sockets; its process starts beside dockerd.
fn name_forwarder(wanted: Option<Forwarder>) -> Result<Option<NameForwarder>, Failure> {
    let Some(wanted) = wanted else {
        return Ok(None);
    };
    let sockets = Sockets::bind(wanted.address).map_err(|error| {
        let place = PathBuf::from(format!("{}:53", wanted.address));
        apply::ApplyError::new("bind the forwarder for names to", &place, error).with_help(
            "something took port 53 meanwhile",
            "set --dns for dockerd, or DIND_DNS=skip",
        )
    })?;
    Ok(Some(NameForwarder::new(sockets, wanted)))
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
