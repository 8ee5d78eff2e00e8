//! `rootlesskit [flags] COMMAND`: the same namespaces for any command, for the scripts of others
//! (Debian's `dockerd-rootless.sh`).

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;

use crate::apply::listen::HeldSockets;
use crate::base::environment::Environment;
use crate::base::explain::{Failure, exit};
use crate::commands::Caller;
use crate::config::Identity;
use crate::config::rootless::Options;
use crate::config::rootless::flags::{Flags, ROOTLESSKIT};
use crate::config::rootless::places::Places;
use crate::config::settings::rootless::PREFIX;
use crate::config::{CommandForm, Config};
use crate::host::listen::ListenFacts;
use crate::host::rootless::RootlessFacts;
use crate::host::uplink::UplinkFacts;
use crate::log;
use crate::plan::listen::{ListenPlan, PlannedSocket};
use crate::plan::network::addresses::Inner;
use crate::plan::rootless;
use crate::process::companion::Companion as _;
use crate::process::follow;
use crate::process::program;
use crate::sys::signal;
use crate::sys::spawn::ProcessGroup;
use crate::userns::enter;
use crate::userns::error::LaunchError;
use crate::userns::parent::{self, Job};
use crate::userns::state::{self, StateDir};

/// The version whose command line this is; what came later is not here (detached network
/// namespaces), and scripts ask before they use it.
const LEVEL: [(&str, &str); 3] = [("major", "1"), ("minor", "1"), ("patch", "1")];

const USAGE: &str = "usage: rootlesskit [flags] COMMAND [arguments]\n\
                     The flags are those of rootlesskit; dind-init makes the namespaces.\n";

/// Runs the command and returns its exit code.
///
/// # Errors
/// A flag that cannot be honoured, a refusal, or a step that failed.
pub fn run(words: &[OsString], caller: &Caller) -> Result<u8, Failure> {
    let (flags, command) = ROOTLESSKIT.read(words).map_err(|bad| {
        LaunchError::plain(format!("rootlesskit flags: {bad}"))
            .with_help(
                "a flag that is passed over would be a silent surprise",
                "change or remove it",
            )
            .with_code(exit::REFUSED)
    })?;
    if let Some(text) = printed(&flags) {
        log::stdout(&text);
        return Ok(0);
    }
    if command.is_empty() {
        log::stderr(USAGE);
        return Ok(exit::USAGE);
    }
    let options = Options::for_persona(&flags)?;
    let env = enter::become_user(caller.env.clone())?;
    if rustix::process::geteuid().is_root() {
        return Err(LaunchError::plain("rootlesskit was started by root")
            .with_help(
                "it is for users: root would get nothing that it has not",
                "start it as another user, or set DIND_ROOTLESS=1 to become that of the image",
            )
            .with_code(exit::REFUSED)
            .into());
    }
    let mut job_env = env.clone().without_activation();
    let plan = decide(options, &env)?;
    for warning in &plan.warnings {
        tracing::warn!("{warning}");
    }
    let name = command.first().cloned().unwrap_or_default();
    let program = program::find(&name, &env)?;
    let mut sockets = HeldSockets::bind(&activation(&env)?)?;
    let signals = signal::signal_fd()
        .map_err(|error: io::Error| LaunchError::new("could not make a signalfd", &error))?;
    if std::process::id() != 1 {
        // As PID 1 orphans are ours anyway; pasta's daemon is one.
        let _ = rustix::process::set_child_subreaper(Some(rustix::process::getpid()));
    }
    job_env = plan.environment(job_env);
    let state = StateDir::take(&plan.state)?;
    let job = Job {
        program,
        argv: command.to_vec(),
        env: job_env,
        mask: caller.mask,
        group: ProcessGroup::Foreground,
        sockets: &mut sockets,
        stderr: None,
        notify: None,
        dockerd: false,
        door: None,
    };
    let launched = parent::launch(&plan, state, job);
    let outcome = launched.map(|mut parent| {
        sockets.close();
        crate::sys::memory::forget_code();
        let outcome = follow::follow(parent.child, &signals, &mut parent);
        parent.stop();
        outcome
    });
    if !flags.has("state-dir") {
        state::remove(&plan.state);
    }
    Ok(outcome?.exit_code())
}

/// What is printed instead of running a command.
fn printed(flags: &Flags) -> Option<String> {
    if flags.switch("version") == Some(true) {
        return Some(format!(
            "rootlesskit version {}+dind-init\n",
            env!("CARGO_PKG_VERSION")
        ));
    }
    if let Some(part) = flags.value("print-semver") {
        let number = LEVEL.iter().find(|(name, _)| *name == part)?.1;
        return Some(format!("{number}\n"));
    }
    (flags.switch("help") == Some(true)).then(|| USAGE.to_owned())
}

fn decide(options: Options, env: &Environment) -> Result<rootless::RootlessPlan, Failure> {
    // A directory of its own for each run, as rootlesskit has it, unless one is named.
    let own = format!("/tmp/rootlesskit{}", std::process::id());
    let runtime = options.state_dir.clone().unwrap_or_else(|| own.into());
    let places = Places {
        env: env.clone(),
        data: PathBuf::from("/"),
        config: PathBuf::from("/"),
        keep: runtime.clone(),
        runtime: runtime.clone(),
        notes: Vec::new(),
    };
    let options = Options {
        state_dir: Some(runtime),
        ..options
    };
    let facts = RootlessFacts::probe(env, &options);
    let mut plan = rootless::plan(
        options,
        &places,
        &facts,
        &UplinkFacts::read(),
        &Inner::default(),
        // The command is somebody's script, and dockerd's words are its own.
        rootless::proxy::Wanted::No,
    )?;
    // Only what the command needs: it may never mount a process table or a data root.
    let needed = |refusal: &crate::plan::rootless::refusal::RootlessRefusal| {
        !matches!(
            refusal,
            crate::plan::rootless::refusal::RootlessRefusal::MaskedProc(_)
        )
    };
    let refusals = std::mem::take(&mut plan.refusals);
    match refusals.into_iter().find(needed) {
        Some(refusal) => Err(refusal.into()),
        None => Ok(plan),
    }
}

/// Sockets that were passed to us are the command's.
fn activation(env: &Environment) -> Result<ListenPlan, Failure> {
    // The variables of dockerd-rootless.sh are its own: what it makes of them are our flags.
    let ours = |name: &std::ffi::OsStr| name.as_encoded_bytes().starts_with(PREFIX.as_bytes());
    let env = env.clone().without(ours);
    let config = Config::new(CommandForm::Explicit, &[], env, Identity::own())?;
    let passed = ListenFacts::read(&config, &[]).activation;
    let sockets = passed.iter().filter(|socket| socket.listening);
    Ok(ListenPlan {
        passed: sockets.map(|socket| socket.fd).collect(),
        sockets: passed
            .into_iter()
            .map(|socket| PlannedSocket::Inherited {
                fd: socket.fd,
                name: socket.name,
            })
            .collect(),
        ..ListenPlan::default()
    })
}
