//! Subject alternative names: the value of `DOCKER_TLS_SAN`, and the set a server needs.

use std::collections::{BTreeSet, HashSet};
use std::fmt;
use std::net::IpAddr;

use serde::{Serialize, Serializer};

use super::refusal::{SanError, SanProblem};
use super::{Names, Request};

/// One subject alternative name. The order of the variants is the order in a certificate.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum San {
    /// A host name in lower case, perhaps with a leading `*.`.
    Dns(String),
    /// An IPv4 or IPv6 address.
    Address(IpAddr),
    /// A mailbox.
    Email(String),
    Uri(String),
}

impl fmt::Display for San {
    /// Short form for people: names and addresses without a prefix.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dns(name) => f.write_str(name),
            Self::Address(address) => write!(f, "{address}"),
            Self::Email(mailbox) => write!(f, "email:{mailbox}"),
            Self::Uri(uri) => write!(f, "URI:{uri}"),
        }
    }
}

impl Serialize for San {
    /// The form that `DOCKER_TLS_SAN` takes, so that output can be used as input.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Dns(name) => serializer.collect_str(&format_args!("DNS:{name}")),
            Self::Address(address) => serializer.collect_str(&format_args!("IP:{address}")),
            Self::Email(_) | Self::Uri(_) => serializer.collect_str(self),
        }
    }
}

/// What `DOCKER_TLS_SAN` holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sans {
    /// What can stand in a certificate.
    pub good: Vec<San>,
    /// What cannot, where there is something that can.
    pub skipped: Vec<SanError>,
}

impl From<Vec<San>> for Sans {
    fn from(good: Vec<San>) -> Self {
        Self {
            good,
            skipped: Vec::new(),
        }
    }
}

/// Parses the value of `DOCKER_TLS_SAN`: elements separated by commas, spaces and quotes around
/// them ignored. Prefixes are optional for names and addresses, and may be numbered, as in a
/// configuration of openssl (`DNS.1:dind`, `IP.2 = 192.0.2.1`). Empty elements do no harm.
///
/// # Errors
/// The first element that cannot be put into a certificate, where no other one can.
pub fn parse_sans(text: &str) -> Result<Sans, SanError> {
    let noise = |c: char| c.is_whitespace() || c == '"' || c == '\'';
    let (mut sans, mut seen) = (Sans::default(), HashSet::new());
    for element in text.split(',').map(|element| element.trim_matches(noise)) {
        // How openssl marks a whole extension as critical; it is no name.
        if element.is_empty() || element.eq_ignore_ascii_case("critical") {
            continue;
        }
        match parse_one(element, noise) {
            Ok(san) if !seen.insert(san.clone()) => {}
            Ok(san) => sans.good.push(san),
            Err(problem) => sans.skipped.push(SanError {
                element: element.to_owned(),
                problem,
            }),
        }
    }
    match sans.skipped.first() {
        Some(first) if sans.good.is_empty() => Err(first.clone()),
        _ => Ok(sans),
    }
}

fn parse_one(element: &str, noise: impl Fn(char) -> bool) -> Result<San, SanProblem> {
    // A bare IPv6 address has colons, too, so it comes before the prefixes.
    if let Some(address) = parse_address(element) {
        return Ok(San::Address(address));
    }
    let Some((prefix, value)) = element.split_once([':', '=']) else {
        return parse_dns(element).map(San::Dns).ok_or(SanProblem::NotAName);
    };
    let value = value.trim_matches(noise);
    let prefix = prefix.trim_end().to_ascii_lowercase();
    // openssl takes what is behind a dot for a number of the user's, whatever it is.
    let kind = prefix.split('.').next().unwrap_or_default();
    match kind {
        "dns" => parse_dns(value).map(San::Dns).ok_or(SanProblem::NotAName),
        "email" => {
            let well_formed = printable(value)
                && value
                    .split_once('@')
                    .is_some_and(|(user, host)| !user.is_empty() && parse_dns(host).is_some());
            well_formed
                .then(|| San::Email(value.to_owned()))
                .ok_or(SanProblem::NotAMailbox)
        }
        // The second is what openssl prints.
        "ip" | "ip address" => parse_address(value)
            .map(San::Address)
            .ok_or(SanProblem::NotAnAddress),
        "uri" => {
            let well_formed = printable(value)
                && value.split_once(':').is_some_and(|(scheme, rest)| {
                    scheme.starts_with(|c: char| c.is_ascii_alphabetic()) && !rest.is_empty()
                });
            well_formed
                .then(|| San::Uri(value.to_owned()))
                .ok_or(SanProblem::NotAUri)
        }
        "rid" | "dirname" | "othername" => Err(SanProblem::NotForServers),
        _ => Err(SanProblem::NotAName),
    }
}

fn printable(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_graphic())
}

fn parse_address(text: &str) -> Option<IpAddr> {
    let bare = text
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .unwrap_or(text);
    bare.parse().ok()
}

/// A host name as certificates carry it. Underscores are not legal in DNS host names, but compose
/// projects and Kubernetes users have them, and Go's verifier accepts them.
fn parse_dns(text: &str) -> Option<String> {
    let name = text.strip_suffix('.').unwrap_or(text);
    let labels = name.strip_prefix("*.").unwrap_or(name);
    let sound = |label: &str| {
        (1..=63).contains(&label.len())
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    (name.len() <= 253 && labels.split('.').all(sound)).then(|| name.to_ascii_lowercase())
}

/// The names a server certificate has to carry.
#[derive(Debug)]
pub(super) struct Wanted {
    /// Asked for by the user.
    pub(super) requested: BTreeSet<San>,
    /// Everything else that clients may use.
    pub(super) automatic: BTreeSet<San>,
    /// What goes into a new certificate and is not missed in an old one.
    welcome: BTreeSet<San>,
    /// Host names that no certificate can carry.
    pub(super) unusable: Vec<String>,
}

impl Wanted {
    pub(super) fn new(request: &Request, names: &Names) -> Self {
        let mut automatic: BTreeSet<San> =
            names.addresses.iter().copied().map(San::Address).collect();
        // A missing host name must not cost the names that every client uses.
        automatic.extend(["docker", "localhost"].map(|name| San::Dns(name.to_owned())));
        let mut unusable = Vec::new();
        for name in &names.dns {
            match parse_dns(name) {
                Some(name) => drop(automatic.insert(San::Dns(name))),
                None => unusable.push(name.clone()),
            }
        }
        Self {
            requested: request.sans.good.iter().cloned().collect(),
            automatic,
            welcome: names.welcome.iter().copied().map(San::Address).collect(),
            unusable,
        }
    }

    /// Everything that goes into a new certificate.
    pub(super) fn all(&self) -> Vec<San> {
        let all: BTreeSet<&San> = [&self.requested, &self.automatic, &self.welcome]
            .into_iter()
            .flatten()
            .collect();
        all.into_iter().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::base::explain::Explain as _;

    fn dns(name: &str) -> San {
        San::Dns(name.into())
    }
    fn address(text: &str) -> San {
        San::Address(text.parse().unwrap())
    }

    #[test]
    fn accepts_every_documented_form() {
        let cases = [
            ("", vec![]),
            (" , ,", vec![]),
            ("dind", vec![dns("dind")]),
            (
                "DNS:dind, IP:192.0.2.1",
                vec![dns("dind"), address("192.0.2.1")],
            ),
            ("a,b ,\n c", vec![dns("a"), dns("b"), dns("c")]),
            ("dns:Dind.Example.", vec![dns("dind.example")]),
            ("my_service", vec![dns("my_service")]),
            ("*.example.org", vec![dns("*.example.org")]),
            (
                "10.0.0.1,::1,[fe80::1]",
                vec![address("10.0.0.1"), address("::1"), address("fe80::1")],
            ),
            ("IP:2001:db8::1", vec![address("2001:db8::1")]),
            ("\"DNS:a,DNS:b\"", vec![dns("a"), dns("b")]),
            ("'DNS:a','IP:1.2.3.4'", vec![dns("a"), address("1.2.3.4")]),
            ("DNS:\"a\"", vec![dns("a")]),
            ("URI:spiffe://x/y", vec![San::Uri("spiffe://x/y".into())]),
            (
                "email:root@example.org",
                vec![San::Email("root@example.org".into())],
            ),
            ("a,DNS:a,A", vec![dns("a")]),
        ];
        for (text, expected) in cases {
            assert_eq!(parse_sans(text), Ok(expected.into()), "{text:?}");
        }
    }

    /// What guides for openssl have, and what openssl prints; the shell entrypoint takes them.
    #[test]
    fn accepts_the_forms_of_openssl() {
        for (text, expected) in [
            ("DNS.1:dind,DNS.2:foo", vec![dns("dind"), dns("foo")]),
            ("IP.2:192.0.2.1", vec![address("192.0.2.1")]),
            (
                "DNS.1 = a, IP.1 = 192.0.2.1",
                vec![dns("a"), address("192.0.2.1")],
            ),
            ("critical,DNS:a", vec![dns("a")]),
            (
                "DNS:a, IP Address:192.0.2.1",
                vec![dns("a"), address("192.0.2.1")],
            ),
            (
                "email.1:a@b,URI.x:spiffe://x",
                vec![San::Email("a@b".into()), San::Uri("spiffe://x".into())],
            ),
        ] {
            assert_eq!(parse_sans(text), Ok(expected.into()), "{text:?}");
        }
    }

    #[test]
    fn what_cannot_be_a_name_is_skipped_beside_others() {
        let sans = parse_sans("good,b@d,RID:1.2.3,10.0.0.0/8,tcp://x:1,email:copy").unwrap();
        assert_eq!(sans.good, [dns("good")]);
        let skipped: Vec<&str> = sans.skipped.iter().map(|e| e.element.as_str()).collect();
        let bad = ["b@d", "RID:1.2.3", "10.0.0.0/8", "tcp://x:1", "email:copy"];
        assert_eq!(skipped, bad);
        assert!(parse_sans("b@d").is_err() && parse_sans(",,").is_ok());
    }

    #[test]
    fn names_the_bad_element() {
        use SanProblem::{NotAMailbox, NotAName, NotAUri, NotAnAddress, NotForServers};
        let long = "x".repeat(64);
        let cases = [
            ("b c", "b c", NotAName),
            ("DNS:", "DNS:", NotAName),
            ("IP:docker", "IP:docker", NotAnAddress),
            ("IP:1.2.3.256", "IP:1.2.3.256", NotAnAddress),
            ("fe80::1%eth0", "fe80::1%eth0", NotAName),
            ("a*b", "a*b", NotAName),
            ("*", "*", NotAName),
            ("x.*.y", "x.*.y", NotAName),
            ("a..b", "a..b", NotAName),
            ("RID:1.2.3", "RID:1.2.3", NotForServers),
            ("https://dind", "https://dind", NotAName),
            ("email:copy", "email:copy", NotAMailbox),
            ("URI:docker", "URI:docker", NotAUri),
            ("münchen", "münchen", NotAName),
            (long.as_str(), long.as_str(), NotAName),
        ];
        for (text, element, problem) in cases {
            let error = parse_sans(text).unwrap_err();
            assert_eq!(
                (error.element.as_str(), error.problem),
                (element, problem),
                "{text:?}"
            );
            assert!(error.to_string().contains(&format!("{element:?}")));
            assert_eq!(error.exit_code(), 78);
        }
    }

    #[test]
    fn wants_docker_and_localhost_whatever_the_host_is_called() {
        let request = Request {
            directory: "/certs".into(),
            sans: vec![dns("b")].into(),
            ..crate::tls::fixtures::request("")
        };
        let names = Names {
            dns: vec!["bad name".into()],
            ..Names::default()
        };
        let wanted = Wanted::new(&request, &names);
        assert_eq!(wanted.all(), [dns("b"), dns("docker"), dns("localhost")]);
        assert_eq!(wanted.unusable, ["bad name"]);
    }

    proptest! {
        #[test]
        fn parsing_never_panics(text in "\\PC*") {
            let _ = parse_sans(&text);
        }

        #[test]
        fn what_is_printed_parses_to_the_same(text in "[a-zA-Z0-9:*.,@'\" /-]{0,40}") {
            if let Ok(sans) = parse_sans(&text) {
                let printed: Vec<String> = sans
                    .good
                    .iter()
                    .map(|san| serde_json::to_value(san).unwrap().as_str().unwrap().to_owned())
                    .collect();
                prop_assert_eq!(parse_sans(&printed.join(",")), Ok(sans.good.into()));
            }
        }
    }
}
