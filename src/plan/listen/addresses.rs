//! The addresses on which dockerd would have listened without us.

use crate::config::address::{Address, BadAddress, DEFAULT_UNIX, TcpHost, wildcard};
use crate::config::{CommandForm, Config, TlsOption};
use crate::host::daemon_json::DaemonFile;
use crate::plan::listen_refusal::ListenRefusal;
use crate::plan::tls_mode::{TcpSecurity, security};

/// The addresses that dockerd would listen on, in order and without repetition, and whether
/// `daemon.json` decides instead.
///
/// # Errors
/// A value that dockerd would refuse, or hosts given in two places.
pub fn addresses(config: &Config, file: &DaemonFile) -> Result<Vec<Address>, ListenRefusal> {
    let given = config.daemon.values("host");
    if file.get("hosts").is_some() {
        return match given.first() {
            None => Ok(Vec::new()),
            Some(_) => Err(ListenRefusal::HostsTwice {
                file: file.path.clone(),
            }),
        };
    }
    let unix_default = default_unix(config)?;
    let empty = match security(config, file) {
        TcpSecurity::Plain => Address::Unix(DEFAULT_UNIX.into()),
        TcpSecurity::Encrypted | TcpSecurity::Verified => Address::Tcp {
            host: TcpHost::Name("localhost".into()),
            port: 2376,
        },
    };
    let mut wanted = Vec::new();
    if config.form == CommandForm::Default {
        wanted.push(unix_default.clone());
        wanted.push(wildcard(
            if matches!(config.tls, TlsOption::Directory { .. }) {
                2376
            } else {
                2375
            },
        ));
    } else if given.is_empty() {
        wanted.push(unix_default);
    }
    for text in given {
        let refused = |reason: BadAddress| ListenRefusal::BadHost {
            text: text.to_owned(),
            source: reason,
        };
        wanted.push(Address::parse(text, &empty).map_err(refused)?);
    }
    for path in &config.socket_paths {
        let text = format!("unix://{}", path.display());
        let refused = |source: BadAddress| ListenRefusal::BadHost {
            text: text.clone(),
            source,
        };
        wanted.push(Address::parse(&text, &empty).map_err(refused)?);
    }
    let mut unique: Vec<Address> = Vec::new();
    for address in wanted {
        let address = address.below(&config.directory);
        if !unique.contains(&address) {
            unique.push(address);
        }
    }
    let all = unique.clone();
    unique.retain(|address| !all.iter().any(|other| covers(other, address)));
    Ok(unique)
}

fn default_unix(config: &Config) -> Result<Address, ListenRefusal> {
    let text = config.default_unix_host();
    let default = Address::Unix(DEFAULT_UNIX.into());
    Address::parse(&text, &default).map_err(|source| ListenRefusal::BadHost { text, source })
}

/// Whether a wildcard address already serves another one on the same port; the kernel would not
/// let both listen.
fn covers(one: &Address, other: &Address) -> bool {
    match (one, other) {
        (
            Address::Tcp {
                host: TcpHost::Wildcard,
                port: a,
            },
            Address::Tcp {
                host: TcpHost::Ip(_) | TcpHost::Name(_),
                port: b,
            },
        ) => a == b,
        _ => false,
    }
}
