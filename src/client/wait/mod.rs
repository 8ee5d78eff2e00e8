//! `dind-init wait`: returns when a daemon is ready, or says why it is not.
//!
//! For the containers beside the daemon: it waits for the name, the certificates, the port and
//! the first answer, in whatever order they appear. It exits with 0 when the daemon is ready, 1
//! when it is not within the time or never will be, 2 for bad words, 130 or 143 after a signal;
//! with a command it becomes that command.

mod attempts;
mod error;

use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;
use std::time::{Duration, Instant};

pub use attempts::{Ready, Target, until_ready};
pub use error::WaitError;

use super::duration;
use super::stop::Stop;
use crate::base::explain::Failure;
use crate::base::printable::line;
use crate::client::lookout::Asker;
use crate::endpoint::shell;
use crate::endpoint::{Endpoint, Surroundings, TlsFlag, Wanted};
use crate::net::deadline::Deadline;
use crate::net::resolve::Resolver;
use crate::sys::signal::OriginalMask;

/// A wait longer than this says once what it waits for.
const QUIET_TIME: Duration = Duration::from_secs(2);

/// Where a daemon is, for client commands. Without flags, the environment decides as it does for
/// `docker` in the official images.
#[derive(Debug, Clone, Default, PartialEq, Eq, clap::Args)]
pub struct EndpointArgs {
    /// Address of the daemon [default: DOCKER_HOST, then the sockets and names that the official
    /// docker image tries]
    #[arg(short = 'H', long, value_name = "ADDRESS")]
    pub host: Option<OsString>,
    /// Use TLS with ca.pem, cert.pem and key.pem of this directory [default: DOCKER_CERT_PATH]
    #[arg(long, value_name = "DIR")]
    pub cert_dir: Option<PathBuf>,
    /// Trust only this CA; alone: show no client certificate
    #[arg(long, value_name = "FILE")]
    pub tlscacert: Option<PathBuf>,
    /// Client certificate
    #[arg(long, value_name = "FILE")]
    pub tlscert: Option<PathBuf>,
    /// Private key of the client certificate
    #[arg(long, value_name = "FILE")]
    pub tlskey: Option<PathBuf>,
    /// Use TLS and verify the daemon [default: DOCKER_TLS_VERIFY]
    #[arg(long)]
    pub tlsverify: bool,
    /// Refused with an explanation: TLS without verification is not supported
    #[arg(long, hide = true)]
    pub tls: bool,
}

impl EndpointArgs {
    /// The flags as the pure resolution takes them.
    #[must_use]
    pub fn wanted(&self) -> Wanted {
        Wanted {
            host: self.host.clone(),
            cert_dir: self.cert_dir.clone(),
            ca: self.tlscacert.clone(),
            cert: self.tlscert.clone(),
            key: self.tlskey.clone(),
            tls: match (self.tlsverify, self.tls) {
                (true, _) => Some(TlsFlag::Verified),
                (false, true) => Some(TlsFlag::Unverified),
                (false, false) => None,
            },
        }
    }
}

/// Wait until a daemon answers, then exit with 0 or become COMMAND.
#[derive(Debug, Clone, PartialEq, Eq, clap::Args)]
pub struct WaitArgs {
    /// Which daemon.
    #[command(flatten)]
    pub endpoint: EndpointArgs,
    /// Give up after this time, with exit code 1
    #[arg(long, value_name = "TIME", default_value = "120s", value_parser = duration::parse)]
    pub timeout: Duration,
    /// Also wait for this file to exist; can be given more than once
    #[arg(long, value_name = "PATH")]
    pub for_file: Vec<PathBuf>,
    /// Print nothing but errors
    #[arg(short, long)]
    pub quiet: bool,
    /// Becomes this command when the daemon is ready, with DOCKER_HOST, DOCKER_TLS_VERIFY and
    /// DOCKER_CERT_PATH set to where it was found
    #[arg(last = true, value_name = "COMMAND")]
    pub command: Vec<OsString>,
}

/// Does it. With a command it returns only on failure.
///
/// # Errors
/// A usage error, a [`WaitError`], or that the command cannot be executed; after a signal the exit
/// code alone.
pub fn run(
    args: &WaitArgs,
    asker: &Asker,
    mask: OriginalMask,
    stderr: &mut dyn Write,
) -> Result<u8, Failure> {
    let env = asker.env();
    let stop = Stop::install().map_err(WaitError::Signals)?;
    // A signal that came while everything was blocked is delivered here, to our handlers.
    mask.restore().map_err(WaitError::Signals)?;
    let begin = Instant::now();
    let target = Target {
        wanted: args.endpoint.wanted(),
        files: args.for_file.clone(),
        resolver: Resolver::default(),
    };
    let ready = {
        let mut deadline = Deadline::new(args.timeout).with_stop(stop.fd());
        if !args.quiet {
            let told = &mut *stderr;
            deadline = deadline.with_notice(QUIET_TIME, move |activity| {
                // A closed stderr is no reason not to wait.
                let _ = writeln!(told, "waiting for {}", line(activity));
            });
        }
        until_ready(&target, env, &mut deadline)
    };
    let ready = match (ready, stop.code()) {
        (Ok(ready), _) => ready,
        (Err(WaitError::Stopped), Some(code)) => return Ok(code),
        (Err(error), _) => return Err(error.into()),
    };
    if !args.quiet {
        let _ = writeln!(stderr, "{}", line(&ready.line(begin.elapsed())));
    }
    if args.command.is_empty() {
        return Ok(0);
    }
    let env = shell::environment(&ready.endpoint, env);
    if let Some(code) = stop.end_listening() {
        return Ok(code);
    }
    Err(crate::process::program::replace(&args.command, &env, mask).into())
}

/// The endpoint that flags and environment mean at this moment, for commands that only name it.
///
/// # Errors
/// A usage error.
pub fn endpoint_now(args: &EndpointArgs, asker: &Asker) -> Result<Endpoint, Failure> {
    let env = asker.env();
    Ok(Endpoint::resolve(
        &args.wanted(),
        env,
        &Surroundings::look(env),
    )?)
}
