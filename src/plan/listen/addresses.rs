//! The addresses on which dockerd would have listened without us.

use crate::config::address::{Address, DEFAULT_UNIX, TcpHost};
use crate::config::{CommandForm, Config};
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
    let parse = |text: &str, empty: &Address| {
        Address::parse(text, empty).map_err(|source| ListenRefusal::BadHost {
            text: text.to_owned(),
            source,
        })
    };
    let default = Address::Unix(DEFAULT_UNIX.into());
    let unix_default = parse(&config.default_unix_host(), &default)?;
    let empty = match security(config, file) {
        TcpSecurity::Plain => default,
        TcpSecurity::Encrypted | TcpSecurity::Verified => Address::Tcp {
            host: TcpHost::Name("localhost".into()),
            port: 2376,
        },
    };
    let mut wanted = Vec::new();
    if config.form == CommandForm::Default {
        wanted.push(unix_default.clone());
        wanted.push(config.default_tcp_host());
    } else if given.is_empty() {
        wanted.push(unix_default);
    }
    let paths = config.socket_paths.iter();
    let paths = paths.map(|path| format!("unix://{}", path.display()));
    for text in given.into_iter().map(str::to_owned).chain(paths) {
        wanted.push(parse(&text, &empty)?);
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
