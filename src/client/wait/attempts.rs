//! The loop of `wait`: one attempt after another, without a busy moment.
//!
//! Each attempt reads everything anew (sockets, certificates, names), so that whatever appears
//! while we wait is used. An attempt that reaches an open socket simply blocks: our PID 1 opens
//! its sockets first, and the first call is answered when dockerd is ready.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use super::WaitError;
use crate::base::environment::Environment;
use crate::client::credentials::{Credentials, CredentialsError};
use crate::client::duration;
use crate::client::ping::{self, PingError, TlsReason};
use crate::endpoint::{Endpoint, Security, Surroundings, Wanted};
use crate::files;
use crate::net::deadline::{Deadline, Halt};
use crate::net::http::{self, Head};
use crate::net::resolve::{ResolveError, Resolver, dns};

/// Pauses between attempts double from the first to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_millis(250);
/// One attempt holds on so long; then it starts anew, because the address behind the name may
/// have changed and a connection to a dead machine says nothing.
const ATTEMPT: Duration = Duration::from_secs(10);
/// An attempt that had less time than this, and used all of it, found nothing out.
const BRIEF: Duration = Duration::from_secs(1);
/// So many attempts on the same endpoint with the same files must fail for good before that is
/// believed: the other container may be replacing them at this moment.
const SETTLED: u32 = 3;

#[derive(Debug, Clone, Default)]
pub struct Target {
    /// Which daemon, as the flags say.
    pub wanted: Wanted,
    /// Files that must exist first.
    pub files: Vec<PathBuf>,
    /// Where names are looked up.
    pub resolver: Resolver,
}

/// A daemon that answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ready {
    pub endpoint: Endpoint,
    /// The head of its answer.
    pub head: Head,
}

impl Ready {
    /// The line for people: `ready after 0.59s: docker 28.5.2 api 1.51 at tcp://docker:2376 (TLS)`.
    #[must_use]
    pub fn line(&self, elapsed: Duration) -> String {
        format!(
            "ready after {}: {} at {}",
            duration::show(elapsed),
            self.head.engine(),
            self.endpoint
        )
    }
}

/// Tries until the daemon is ready, the time is over, or waiting cannot help.
///
/// # Errors
/// [`WaitError`].
pub fn until_ready(
    target: &Target,
    env: &Environment,
    deadline: &mut Deadline<'_>,
) -> Result<Ready, WaitError> {
    let limit = deadline.limit();
    let mut pauses = Pauses::default();
    let mut settling = Settling::default();
    // Found out before anything is waited for: a mistake in the words does not cure itself.
    Endpoint::resolve(&target.wanted, env, &Surroundings::look(env))?;

    while let Some(path) = target.files.iter().find(|path| !files::exists(path)) {
        deadline.doing(format!("file {}", path.display()));
        if deadline.is_over() {
            return Err(WaitError::MissingFile {
                path: path.clone(),
                limit,
            });
        }
        pause(deadline, pauses.next())?;
    }
    pauses = Pauses::default();
    let mut earlier = None;
    loop {
        let endpoint = Endpoint::resolve(&target.wanted, env, &Surroundings::look(env))?;
        deadline.begin_attempt(ATTEMPT);
        let brief = deadline.left() < BRIEF;
        let (outcome, credentials) = attempt(&endpoint, &target.resolver, deadline);
        let failure = match outcome {
            Ok(head) => return Ok(Ready { endpoint, head }),
            // Cut off by the end of everything: what came before says more.
            Err(failure) if brief && failure.is_cut_off() => earlier.unwrap_or(failure),
            Err(failure) => failure,
        };
        if let PingError::Stopped { .. } = failure {
            return Err(WaitError::Stopped);
        }
        let outlook = Outlook::of(&failure);
        let same = settling.count(outlook, &endpoint, credentials);
        if outlook == Outlook::Permanent || (outlook == Outlook::Settling && same >= SETTLED) {
            return Err(WaitError::Permanent(Box::new(failure)));
        }
        if deadline.is_over() {
            return Err(WaitError::TimedOut {
                limit,
                source: Box::new(failure),
            });
        }
        deadline.doing(told(&endpoint, &failure));
        let length = match outlook {
            Outlook::Settling => LONGEST_PAUSE,
            Outlook::Retryable | Outlook::Permanent => pauses.next(),
        };
        pause(deadline, length)?;
        if deadline.is_over() {
            return Err(WaitError::TimedOut {
                limit,
                source: Box::new(failure),
            });
        }
        earlier = Some(failure);
    }
}

/// One exchange, and the credentials that it was made with.
fn attempt(
    endpoint: &Endpoint,
    resolver: &Resolver,
    deadline: &mut Deadline<'_>,
) -> (Result<Head, PingError>, Option<Credentials>) {
    let credentials = match &endpoint.security {
        Security::Plain => None,
        Security::Tls(files) => match Credentials::load(files) {
            Ok(credentials) => Some(credentials),
            Err(error) => return (Err(error.into()), None),
        },
    };
    let outcome = ping::exchange(endpoint, credentials.as_ref(), resolver, deadline);
    (outcome, credentials)
}

/// What the notice says: where, and why not yet; most failures say the first themselves.
fn told(endpoint: &Endpoint, failure: &PingError) -> String {
    let (at, failure) = (endpoint.to_string(), failure.to_string());
    if failure.contains(&at) {
        failure
    } else {
        format!("{at}: {failure}")
    }
}

fn pause(deadline: &mut Deadline<'_>, length: Duration) -> Result<(), WaitError> {
    // poll(2) without a descriptor of its own fails for want of memory only: the next attempt
    // will say so better.
    match deadline.pause(length) {
        Err(error) if Halt::of(&error) == Some(Halt::Stopped) => Err(WaitError::Stopped),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Whether waiting can help.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outlook {
    /// It can: services, names and files come and go.
    Retryable,
    /// It cannot.
    Permanent,
    /// It can as long as something changes: at this very moment the other side may replace files,
    /// or give a socket to its group.
    Settling,
}

impl Outlook {
    /// Every failure has its place here; a new one does not compile without.
    fn of(failure: &PingError) -> Self {
        match failure {
            PingError::Tls { source, .. } => Self::of_tls(&source.reason),
            PingError::Credentials(error) => Self::of_credentials(error),
            PingError::Proxy { source, .. } => Self::of(source),
            PingError::Denied { .. } | PingError::NotHttp { .. } => Self::Settling,
            PingError::Status { code, message, .. } => match code {
                // dockerd answers so to plain HTTP on its TLS port; the rest is of proxies and of
                // authorization plugins.
                // It also refuses a version of the API so.
                400 if message.contains("HTTPS") || http::is_about_version(message) => {
                    Self::Settling
                }
                401 | 403 | 405 | 407 => Self::Settling,
                _ => Self::Retryable,
            },
            PingError::Io { source, .. } | PingError::Unreachable { source, .. } => {
                match source.kind() {
                    // A path that is too long for a socket, an address of no kind.
                    io::ErrorKind::InvalidInput | io::ErrorKind::InvalidFilename => Self::Permanent,
                    _ => Self::Retryable,
                }
            }
            PingError::Unresolved(ResolveError::NoSuchName { host, .. }) if !dns::is_name(host) => {
                Self::Settling // but for /etc/hosts
            }
            PingError::Busy { .. }
            | PingError::ClosedEarly { .. }
            | PingError::NoSocket { .. }
            | PingError::Refused { .. }
            | PingError::Silent { .. }
            | PingError::Stopped { .. }
            | PingError::Unresolved(_) => Self::Retryable,
        }
    }

    fn of_tls(reason: &TlsReason) -> Self {
        match reason {
            TlsReason::NameMismatch { .. } => Self::Permanent,
            TlsReason::ClientRefused { .. }
            | TlsReason::Distrusted(_)
            | TlsReason::Expired
            | TlsReason::NotTls
            | TlsReason::NothingInCommon
            | TlsReason::Other(_)
            | TlsReason::UnknownAuthority => Self::Settling,
            // Clocks in virtual machines are set some seconds after the start.
            TlsReason::NotYetValid => Self::Retryable,
        }
    }

    fn of_credentials(error: &CredentialsError) -> Self {
        match error {
            CredentialsError::Encrypted { .. } | CredentialsError::Unusable { .. } => {
                Self::Settling
            }
            CredentialsError::Unreadable { source, .. }
                if source.kind() == io::ErrorKind::PermissionDenied =>
            {
                Self::Settling
            }
            // Half written, of two starts, or not there yet.
            CredentialsError::Incomplete { .. }
            | CredentialsError::Mismatch { .. }
            | CredentialsError::Unreadable { .. } => Self::Retryable,
        }
    }
}

/// How often in a row the same endpoint and files led to a failure that may be final.
#[derive(Default)]
struct Settling {
    last: Option<(Endpoint, Option<Credentials>)>,
    count: u32,
}

impl Settling {
    fn count(
        &mut self,
        outlook: Outlook,
        endpoint: &Endpoint,
        credentials: Option<Credentials>,
    ) -> u32 {
        let same = self.last.as_ref().is_some_and(|(at, last)| {
            at == endpoint
                && match (last, &credentials) {
                    (Some(last), Some(now)) => last.same_files(now),
                    (None, None) => true,
                    (None, Some(_)) | (Some(_), None) => false,
                }
        });
        self.count = match outlook {
            Outlook::Settling if same => self.count + 1,
            Outlook::Settling => 1,
            Outlook::Retryable | Outlook::Permanent => 0,
        };
        self.last = Some((endpoint.clone(), credentials));
        self.count
    }
}

/// 10, 20, 40, … 250 ms.
struct Pauses(Duration);

impl Default for Pauses {
    fn default() -> Self {
        Self(FIRST_PAUSE)
    }
}

impl Pauses {
    fn next(&mut self) -> Duration {
        let now = self.0;
        self.0 = (now * 2).min(LONGEST_PAUSE);
        now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_quarter_of_a_second() {
        let mut pauses = Pauses::default();
        let list: Vec<_> = (0..8).map(|_| pauses.next().as_millis()).collect();
        assert_eq!(list, [10, 20, 40, 80, 160, 250, 250, 250]);
    }

    #[test]
    fn only_a_wrong_name_is_final_at_once() {
        let tls = |error: rustls::Error| {
            Outlook::of(&PingError::Tls {
                at: "x".into(),
                source: Box::new(error.into()),
            })
        };
        use rustls::CertificateError as C;
        for (error, want) in [
            (C::NotValidForName, Outlook::Permanent),
            (C::UnknownIssuer, Outlook::Settling),
            (C::BadSignature, Outlook::Settling),
            (C::Expired, Outlook::Settling),
            (C::NotValidYet, Outlook::Retryable),
        ] {
            assert_eq!(tls(error.clone().into()), want, "{error:?}");
        }
        for alert in [
            rustls::AlertDescription::UnknownCA,
            rustls::AlertDescription::HandshakeFailure,
        ] {
            let error = rustls::Error::AlertReceived(alert);
            assert_eq!(tls(error), Outlook::Settling);
        }
    }

    #[test]
    fn what_does_not_cure_itself_is_told_from_what_may() {
        let at = || "x".to_owned();
        let status = |code, message: &str| PingError::Status {
            at: at(),
            code,
            message: message.into(),
        };
        let denied = || io::Error::from(io::ErrorKind::PermissionDenied);
        let unreadable = |kind: io::ErrorKind| {
            PingError::from(CredentialsError::Unreadable {
                path: "/k".into(),
                source: kind.into(),
            })
        };
        let name = |host: &str| {
            PingError::from(ResolveError::NoSuchName {
                host: host.into(),
                tried: vec![],
                servers: vec![],
            })
        };
        let io = |kind: io::ErrorKind| PingError::Io {
            at: at(),
            source: kind.into(),
        };
        use Outlook::{Permanent, Retryable, Settling};
        for (failure, want) in [
            (PingError::Refused { at: at() }, Retryable),
            (
                PingError::Denied {
                    at: at(),
                    source: denied(),
                },
                Settling,
            ),
            (
                status(400, "Client sent an HTTP request to an HTTPS server."),
                Settling,
            ),
            (status(407, ""), Settling),
            (status(503, ""), Retryable),
            (unreadable(io::ErrorKind::NotFound), Retryable),
            (unreadable(io::ErrorKind::PermissionDenied), Settling),
            (
                CredentialsError::Encrypted { path: "/k".into() }.into(),
                Settling,
            ),
            (name("docker"), Retryable),
            (name("no..name"), Settling),
            (io(io::ErrorKind::InvalidInput), Permanent),
            (io(io::ErrorKind::ConnectionReset), Retryable),
        ] {
            assert_eq!(Outlook::of(&failure), want, "{failure}");
        }
    }
}
