//! Whether the docker CLI goes through an HTTP proxy to a daemon. Pure.
//!
//! The rules are those of Go's net/http: `HTTP_PROXY` for plain TCP and `HTTPS_PROXY` for TLS, in
//! either case of letters, unless `NO_PROXY` names the daemon; never for loopback, never for unix
//! sockets. A job with a proxy and no `NO_PROXY` is common, and the proxy knows no `docker`.

use std::fmt;
use std::net::IpAddr;

use crate::base::environment::Environment;

/// An HTTP proxy.
#[derive(Clone, PartialEq, Eq)]
pub struct Proxy {
    /// The variable that names it.
    pub variable: &'static str,
    /// Name or address, without brackets.
    pub host: String,
    pub port: u16,
    /// `user:password`, as they are.
    credentials: Option<Vec<u8>>,
}

/// What stands between the docker CLI and a daemon.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Way {
    /// Nothing.
    #[default]
    Direct,
    Through(Proxy),
    /// A proxy that we cannot use, so that nothing can be said about the daemon.
    Unknown {
        /// The variable that names it.
        variable: &'static str,
        /// What cannot be used about it.
        reason: &'static str,
    },
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Proxy({self}, [redacted])")
    }
}

impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", authority(&self.host, self.port))
    }
}

/// `name:port`, with brackets where a colon is in the name.
fn authority(host: &str, port: u16) -> String {
    if host.contains(':') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    }
}

impl Proxy {
    /// The value of `Proxy-Authorization`.
    #[must_use]
    pub fn authorization(&self) -> Option<String> {
        let credentials = self.credentials.as_ref()?;
        Some(format!("Basic {}", crate::tls::base64(credentials)))
    }
}

/// The way of the docker CLI to a TCP daemon.
#[must_use]
pub fn way(env: &Environment, host: &str, port: u16, secure: bool) -> Way {
    let first = |names: [&'static str; 2]| {
        names.into_iter().find_map(|name| {
            let value = env.non_empty(name)?;
            Some((name, value.to_string_lossy().into_owned()))
        })
    };
    let exceptions = first(["NO_PROXY", "no_proxy"]).map(|(_, value)| value);
    if is_excepted(&exceptions.unwrap_or_default(), host, port) {
        return Way::Direct;
    }
    let names = if secure {
        ["HTTPS_PROXY", "https_proxy"]
    } else {
        ["HTTP_PROXY", "http_proxy"]
    };
    if let Some((variable, url)) = first(names) {
        return parse(variable, &url);
    }
    match first(["ALL_PROXY", "all_proxy"]) {
        Some((variable, _)) => Way::Unknown {
            variable,
            reason: "the docker CLI takes SOCKS proxies there, which are not supported here, and \
                     fails with any other",
        },
        None => Way::Direct,
    }
}

/// Reads a proxy's URL; without a scheme it is HTTP.
fn parse(variable: &'static str, url: &str) -> Way {
    let unknown = |reason| Way::Unknown { variable, reason };
    let rest = match url.split_once("://") {
        None => url,
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => rest,
        Some(_) => return unknown("only http:// proxies are supported here"),
    };
    let rest = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let (credentials, place) = match rest.rsplit_once('@') {
        Some((credentials, place)) => (Some(credentials), place),
        None => (None, rest),
    };
    let (host, port) = match place
        .strip_prefix('[')
        .and_then(|rest| rest.split_once(']'))
    {
        Some((host, "")) => (host, None),
        Some((host, port)) => (host, port.strip_prefix(':')),
        None => match place.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (place, None),
        },
    };
    let port = match port {
        None | Some("") => Some(80),
        Some(port) => port.parse().ok().filter(|port| *port != 0),
    };
    match port {
        Some(port) if !host.is_empty() && host.bytes().all(|b| b.is_ascii_graphic()) => {
            Way::Through(Proxy {
                variable,
                host: host.to_owned(),
                port,
                credentials: credentials.map(unescaped),
            })
        }
        _ => unknown("it is not of the form http://NAME:PORT"),
    }
}

/// `%40` and its kin as the bytes that they mean.
fn unescaped(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let code = after.get(..2).and_then(|two| {
            let two = std::str::from_utf8(two).ok()?;
            u8::from_str_radix(two, 16).ok()
        });
        match code.filter(|_| first == b'%') {
            Some(byte) => {
                bytes.push(byte);
                rest = after.get(2..).unwrap_or_default();
            }
            None => {
                bytes.push(first);
                rest = after;
            }
        }
    }
    bytes
}

/// Whether a daemon is reached without a proxy, by these exceptions or because it is here.
fn is_excepted(exceptions: &str, host: &str, port: u16) -> bool {
    let host = host.to_ascii_lowercase();
    let host = host.as_str();
    let ip = host.parse().ok().map(|ip: IpAddr| ip.to_canonical());
    if host == "localhost" || ip.is_some_and(|ip| ip.is_loopback()) {
        return true;
    }
    exceptions
        .split(',')
        .map(|rule| rule.trim().to_ascii_lowercase())
        .any(|rule| matches_rule(&rule, host, ip, port))
}

fn matches_rule(rule: &str, host: &str, ip: Option<IpAddr>, port: u16) -> bool {
    if rule.is_empty() {
        return false;
    }
    if rule == "*" {
        return true;
    }
    if let Some(found) = in_network(rule, ip) {
        return found;
    }
    let (name, only) = with_port(rule);
    if only.is_some_and(|only| only != port.to_string()) || name.is_empty() {
        return false;
    }
    if let Ok(named) = name.parse::<IpAddr>() {
        return ip == Some(named.to_canonical());
    }
    // An address is in no domain, whatever its digits end with.
    if ip.is_some() {
        return false;
    }
    let name = name
        .strip_prefix('*')
        .filter(|rest| rest.starts_with('.'))
        .unwrap_or(name);
    match name.strip_prefix('.') {
        // A leading dot names what is below, and not the name itself.
        Some(_) => host.ends_with(name),
        None => {
            host == name
                || host
                    .strip_suffix(name)
                    .is_some_and(|rest| rest.ends_with('.'))
        }
    }
}

/// `None` when the rule is no network.
fn in_network(rule: &str, ip: Option<IpAddr>) -> Option<bool> {
    let (base, length) = rule.split_once('/')?;
    let base: IpAddr = base.parse().ok()?;
    let length: u32 = length.parse().ok()?;
    let most = if base.is_ipv4() { 32 } else { 128 };
    if length > most {
        return None;
    }
    let bits = |ip: IpAddr| match ip {
        IpAddr::V4(ip) => u128::from(u32::from(ip)) << 96,
        IpAddr::V6(ip) => u128::from(ip),
    };
    let mask = u128::MAX.checked_shl(128 - length).unwrap_or(0);
    Some(
        ip.is_some_and(|ip| ip.is_ipv4() == base.is_ipv4() && bits(ip) & mask == bits(base) & mask),
    )
}

/// A rule's name, and the port that it is for.
fn with_port(rule: &str) -> (&str, Option<&str>) {
    if let Some((host, rest)) = rule.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        // Go takes brackets off where a port follows, and nowhere else.
        return match rest.strip_prefix(':') {
            Some(port) => (host, Some(port)),
            None => (rule, None),
        };
    }
    match rule.split_once(':') {
        // More colons: an IPv6 address.
        Some((host, port)) if !port.contains(':') => (host, Some(port)),
        _ => (rule, None),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::base::changes::from_text;

    fn way_to(env: &str, host: &str, secure: bool) -> String {
        match way(&from_text(env), host, 2375, secure) {
            Way::Direct => "direct".into(),
            Way::Through(proxy) => format!("{proxy}"),
            Way::Unknown { variable, .. } => format!("unknown {variable}"),
        }
    }

    /// Each was tried with the docker CLI 28.5, 26.1 and 20.10, but for the passwords.
    #[test]
    fn the_cli_goes_the_same_way() {
        let proxy = "HTTP_PROXY=http://127.0.0.1:1";
        for (env, host, secure, want) in [
            ("", "dind", false, "direct"),
            (proxy, "dind", false, "127.0.0.1:1"),
            (
                "http_proxy=http://127.0.0.1:1",
                "dind",
                false,
                "127.0.0.1:1",
            ),
            (proxy, "dind", true, "direct"),
            ("HTTPS_PROXY=http://127.0.0.1:1", "dind", false, "direct"),
            (
                "HTTPS_PROXY=http://127.0.0.1:1",
                "dind",
                true,
                "127.0.0.1:1",
            ),
            (proxy, "localhost", false, "direct"),
            (proxy, "127.0.0.1", false, "direct"),
            (proxy, "::1", false, "direct"),
            (proxy, "10.214.0.2", false, "127.0.0.1:1"),
            ("HTTP_PROXY=127.0.0.1:1", "dind", false, "127.0.0.1:1"),
            ("HTTP_PROXY=proxy", "dind", false, "proxy:80"),
            (
                "HTTP_PROXY=http://u:p%40@[::2]:3/",
                "dind",
                false,
                "[::2]:3",
            ),
            (
                "HTTP_PROXY=socks5://x:1",
                "dind",
                false,
                "unknown HTTP_PROXY",
            ),
            (
                "HTTP_PROXY=http://x:no",
                "dind",
                false,
                "unknown HTTP_PROXY",
            ),
            ("ALL_PROXY=socks5://x:1", "dind", true, "unknown ALL_PROXY"),
            (
                "ALL_PROXY=socks5://x:1 NO_PROXY=dind",
                "dind",
                true,
                "direct",
            ),
        ] {
            assert_eq!(way_to(env, host, secure), want, "{env} {host}");
        }
        for (exceptions, host, direct) in [
            ("dind", "dind", true),
            ("DIND", "dind", true),
            ("localhost,dind:2375", "dind", true),
            ("dind:2376", "dind", false),
            ("*", "dind", true),
            (".dind", "dind", false),
            ("*.dind", "a.dind", true),
            ("dind", "a.dind", true),
            ("dind", "notdind", false),
            ("172.16.0.0/12,10.0.0.0/8", "10.214.0.2", true),
            ("10.0.0.0/8", "11.0.0.1", false),
            ("10.0.0.0/8", "dind", false),
            ("10.214.0.2", "10.214.0.2", true),
            ("fd00::/8", "fd00::2", true),
            ("[fd00::2]:2375", "fd00::2", true),
            ("[fd00::2]", "fd00::2", false),
            ("*.0.2", "10.214.0.2", false),
            ("10.214.0.2", "::ffff:10.214.0.2", true),
            ("0.0.0.0/0", "fd00::2", false),
            ("", "dind", false),
        ] {
            let env = format!("{proxy} NO_PROXY={exceptions}");
            let found = way_to(&env, host, false) == "direct";
            assert_eq!(found, direct, "{exceptions} {host}");
        }
    }

    #[test]
    fn a_password_is_sent_and_never_shown() {
        let Way::Through(proxy) = parse("HTTP_PROXY", "http://user:p%40ss@proxy:3128") else {
            panic!("no proxy")
        };
        assert_eq!(proxy.authorization().unwrap(), "Basic dXNlcjpwQHNz");
        assert!(!format!("{proxy} {proxy:?}").contains("ss@"));
    }

    proptest! {
        #[test]
        fn never_panics(url in "\\PC{0,30}", rules in "[a-z0-9.:/*,\\[\\]%]{0,30}", host in "[a-z0-9.:]{0,12}") {
            let env: Environment = [("HTTP_PROXY", url), ("NO_PROXY", rules)].into_iter().collect();
            let _ = way(&env, &host, 1, false);
        }
    }
}
