//! Which program we are: by the name that we were called by, or by subcommand.

mod called;
mod name;

use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

use clap::Parser as _;

use self::name::Persona;
use crate::base::explain::{self, Explain as _, Failure, exit};
use crate::base::printable;
use crate::client::lookout::Asker;
use crate::client::own::{self, Known, Place};
use crate::client::{probe, wait};
use crate::commands::Caller;
use crate::commands::certs::CertsArgs;
use crate::commands::daemon::{self, Words};
use crate::commands::line::{Command, CommandLine, InstallArgs};
use crate::commands::{docker_proxy, rootlesskit};
use crate::config::Identity;
use crate::config::Run;
use crate::config::{CommandForm, Config};
use crate::config::{bad, settings};
use crate::endpoint::shell;
use crate::host::Facts;
use crate::host::daemon_json::{self, DaemonFile};
use crate::host::network::NetworkFacts;
use crate::plan::cgroup::Maker;
use crate::plan::{host, names};
use crate::process::program;
use crate::process::program::is_subcommand;
use crate::userns::enter;
use crate::{apply, init, log};

/// How long PID 1 may take to answer; it answers within a millisecond, or it hangs.
const STATUS_TIMEOUT: Duration = Duration::from_secs(1);

/// Runs what argv names; the exit code is the result of either kind. `executed` is the path that the
/// kernel was given.
///
/// # Errors
/// A failure that is still to be told.
pub(crate) fn run(argv: &[OsString], executed: &Path, caller: &Caller) -> Result<u8, Failure> {
    let called = argv.first().map(|word| called::name(word));
    let called = called.unwrap_or_default();
    let words = argv.get(1..).unwrap_or_default();
    let others = match name::exact(called) {
        Some(_) => Vec::new(),
        None => called::names(executed),
    };
    match name::decide(called, &others, words, is_subcommand) {
        // A script that stands for a name says it as the first word.
        Persona::CommandLine => match words.first().and_then(|word| name::exact(word)) {
            Some(persona) => act(persona, words, executed, caller),
            None => act(Persona::CommandLine, argv, executed, caller),
        },
        persona => act(persona, argv, executed, caller),
    }
}

/// Does a persona's work; argv begins with its name.
fn act(
    persona: Persona,
    argv: &[OsString],
    executed: &Path,
    caller: &Caller,
) -> Result<u8, Failure> {
    let words = argv.get(1..).unwrap_or_default();
    match persona {
        Persona::Entrypoint => entrypoint(words, caller),
        Persona::SetUp => set_up(words, caller),
        Persona::Client => {
            bad::log(&caller.env)?;
            Err(client(words, caller))
        }
        Persona::Init => Ok(init::run(argv, caller.env.pairs(), caller.mask)),
        Persona::Rootlesskit => rootlesskit::run(words, caller),
        Persona::DockerProxy => docker_proxy::run(words, caller),
        // Its options are tini's and not for clap to read.
        Persona::CommandLine if words.first().is_some_and(|word| word == "init") => Ok(init::run(
            &init_words(words),
            caller.env.pairs(),
            caller.mask,
        )),
        Persona::CommandLine => match CommandLine::try_parse_from(argv) {
            Ok(line) => command(line.command, executed, caller),
            Err(error) => {
                let text = error.render().to_string();
                if error.use_stderr() {
                    log::stderr(&text)
                } else {
                    log::stdout(&text)
                }
                Ok(if error.use_stderr() { exit::USAGE } else { 0 })
            }
        },
    }
}

/// tini has no long options but `--version`; as a subcommand it answers `--help` as the others do.
fn init_words(words: &[OsString]) -> Vec<OsString> {
    let mut words = words.to_vec();
    if let Some(word) = words.get_mut(1).filter(|word| *word == "--help") {
        *word = "-h".into();
    }
    words
}

fn command(command: Command, executed: &Path, caller: &Caller) -> Result<u8, Failure> {
    use Command::{ExecWhenReady, Facts as FactsOf, Plan, Run, Setup};
    // The others make no Config, which refuses all that is bad.
    if !matches!(
        command,
        Run { .. } | ExecWhenReady { .. } | Plan { .. } | FactsOf { .. } | Setup { .. }
    ) {
        bad::log(&caller.env)?;
    }
    match command {
        Command::Run { words } => return run_with_command(&words, caller),
        Command::ExecWhenReady { words } => {
            return daemon::run(CommandForm::Default, &[], Some(words), caller);
        }
        Command::Setup { words } => return set_up(&words, caller),
        Command::Plan { json, words } => return plan(&words, json, caller),
        Command::Facts { json: _ } => {
            let config = Config::new(
                CommandForm::Default,
                &[],
                caller.env.clone(),
                Identity::own(),
            )?;
            let file = DaemonFile::read(Path::new(daemon_json::DEFAULT_PATH));
            let questions = crate::plan::questions(&config, &file);
            print_json(&Facts::probe(&config, &file, questions));
        }
        Command::Certs(args) => {
            let set = settings::TLS_CERTDIR.of(&caller.env);
            let dir = set.filter(|dir| !dir.as_os_str().is_empty());
            let san = Some(settings::TLS_SAN.of(&caller.env)).filter(|san| !san.is_empty());
            let args = CertsArgs {
                dir: args.dir.or(dir),
                san: args.san.or(san),
                ..args
            };
            let names = NetworkFacts::read().with_aliases(&caller.env);
            let names = names.certificate_names();
            let (text, code) = crate::commands::certs::run(&args, &names, caller.now)?;
            log::stdout(&text);
            return Ok(code);
        }
        Command::Wait(args) => {
            let asker = Asker::take_place(&caller.env);
            return wait::run(&args, &asker, caller.mask, &mut log::Stderr);
        }
        Command::Probe(args) => {
            let guess = probe::own_socket(&caller.env, Identity::own().uid);
            let places = Place::all(&caller.env);
            return Ok(probe::run(&args, &places, &guess, &mut log::Stdout));
        }
        Command::Client { words } => return Err(client(&words, caller)),
        Command::Env(args) => {
            let asker = Asker::take_place(&caller.env);
            let lines = shell::lines(&wait::endpoint_now(&args, &asker)?)?;
            log::stdout_for_shell(lines.as_encoded_bytes());
        }
        Command::Status { json, timeline } => return Ok(show_status(json, timeline, caller)),
        // For the help text only: `run` deals with the word before clap reads it.
        Command::Init { words } => return Ok(init::run(&words, caller.env.pairs(), caller.mask)),
        Command::ForwardNames { outside, upstream } => {
            if let Err(error) = crate::forwarder::run(&upstream, outside) {
                tracing::error!("forwarder for names: {error}");
                return Ok(exit::STEP_FAILED);
            }
        }
        Command::Install(args) => install(&args, executed)?,
        Command::Version => log::stdout(&format!("dind-init {}\n", env!("CARGO_PKG_VERSION"))),
    }
    Ok(0)
}

/// `run`: what follows `--exec --` is a command that lives as long as the container.
fn run_with_command(words: &[OsString], caller: &Caller) -> Result<u8, Failure> {
    let Some(place) = words.iter().position(|word| word == "--exec") else {
        return entrypoint(words, caller);
    };
    let (before, after) = words.split_at(place);
    let command: Vec<OsString> = after
        .iter()
        .skip(1)
        .skip_while(|word| *word == "--")
        .cloned()
        .collect();
    match daemon::dispatch(before) {
        Words::Daemon(form, arguments) if !command.is_empty() => {
            daemon::run(form, &arguments, Some(command), caller)
        }
        _ => {
            log::stderr("usage: dind-init run [dockerd] [FLAGS] --exec -- COMMAND [ARGUMENTS]\n");
            Ok(exit::USAGE)
        }
    }
}

/// `dockerd-entrypoint.sh`.
fn entrypoint(words: &[OsString], caller: &Caller) -> Result<u8, Failure> {
    match daemon::dispatch(words) {
        Words::Daemon(form, arguments) => daemon::run(form, &arguments, None, caller),
        Words::Other => {
            let name = OsString::from("docker-entrypoint.sh");
            let argv: Vec<_> = [name].into_iter().chain(words.to_vec()).collect();
            Err(program::replace(&argv, &caller.env, caller.mask).into())
        }
    }
}

/// `install`: the official names, in the directory of this binary.
fn install(args: &InstallArgs, executed: &Path) -> Result<(), Failure> {
    let binary = apply::names::absolute(executed)?;
    let shell = crate::files::is_executable(Path::new(names::SHELL));
    let plan = names::plan(&binary, args.dir.as_deref(), args.links || !shell);
    apply::names::make(&plan)?;
    log::stdout(&names::text(&plan));
    Ok(())
}

/// `docker-entrypoint.sh`: returns only when that failed.
fn client(words: &[OsString], caller: &Caller) -> Failure {
    let asker = Asker::take_place(&caller.env);
    crate::client::entrypoint::act::run(words, &asker, caller.mask, &mut log::Stderr)
}

/// `dind`: prepares the container, then becomes the command.
fn set_up(words: &[OsString], caller: &Caller) -> Result<u8, Failure> {
    let config = Config::new(
        CommandForm::Explicit,
        &[],
        caller.env.clone(),
        Identity::own(),
    )?;
    let facts = Facts::of_container(&config);
    let set_up = host::set_up(&config, Maker::Command, &facts);
    for warning in &set_up.warnings {
        tracing::warn!("{warning}");
    }
    apply::steps(&set_up.steps)?;
    if words.is_empty() {
        log::stderr("ERROR: No command specified.\n");
        log::stderr("You probably want to run hack/make.sh, or maybe a shell?\n");
        return Ok(0);
    }
    let env = caller.env.clone().with("container", "docker");
    Err(program::replace(words, &env, caller.mask).into())
}

fn plan(words: &[OsString], json: bool, caller: &Caller) -> Result<u8, Failure> {
    let Words::Daemon(form, arguments) = daemon::dispatch(words) else {
        log::stdout("exec docker-entrypoint.sh: nothing is prepared for this command\n");
        return Ok(0);
    };
    let enter::Entry {
        env,
        part,
        preparation,
    } = enter::daemon(form, &arguments, caller.env.clone(), Run::Dry)?;
    let cgroup = part.map(|part| part.decision);
    let decided = daemon::request(form, &arguments, env, cgroup, preparation)
        .and_then(|request| Ok((daemon::decide(&request, caller.now, Run::Dry)?, request)));
    let planned = match decided {
        Ok((plan, request)) if json => {
            print_json(&serde_json::json!({ "listen": request.listen, "host": plan }));
            Ok(0)
        }
        Ok((plan, request)) => {
            log::stdout(&format!("{}{plan}", request.listen));
            Ok(0)
        }
        // Where our own daemon runs, its sockets and its data root are what is in the way.
        Err(failure) => Err(match own::look(&Place::all(&caller.env), STATUS_TIMEOUT) {
            Known {
                status: Some(status),
                silence: None,
                ..
            } => {
                let reason = explain::chain(failure.as_ref());
                let pid = status.pid;
                daemon::service::AlreadyRuns { pid, reason }.into()
            }
            _ => failure,
        }),
    };
    match planned {
        Ok(code) => Ok(code),
        Err(failure) if json => {
            print_json(&explain::to_json(failure.as_ref()));
            Ok(failure.exit_code())
        }
        Err(failure) => Err(failure),
    }
}

fn show_status(json: bool, timeline: bool, caller: &Caller) -> u8 {
    let known = own::look(&Place::all(&caller.env), STATUS_TIMEOUT);
    match known.status {
        Some(status) if json => print_json(&status),
        Some(status) if timeline => log::stdout(&status.chart()),
        Some(status) => log::stdout(&status.text()),
        None => {}
    }
    match known.silence {
        Some(silence) => {
            // What was printed is what was written last: it may be long over.
            log::stderr(&explain::frame(&silence));
            silence.exit_code()
        }
        None => 0,
    }
}

fn print_json(value: &impl serde::Serialize) {
    log::stdout(&format!("{}\n", printable::json_pretty(value)));
}
