//! Variables that were probably meant to be a setting of ours.

use super::settings;
use crate::base::environment::Environment;

fn names() -> impl Iterator<Item = &'static str> {
    settings::ALL.iter().map(|row| row.about().name)
}

/// Names that begin like ours, mean nothing to us, and are no mistake: the official image sets the
/// first; the others are what Kubernetes makes of a service, and `docker run --link` of a container,
/// that is called `dind` or `dind-…`.
#[must_use]
fn foreign(name: &str, env: &Environment) -> bool {
    name == "DIND_COMMIT" || is_of_service(name) || is_of_link(name, env)
}

/// `X_SERVICE_HOST`, `X_SERVICE_PORT`, `X_SERVICE_PORT_NAME`, and `X_PORT_2376_TCP` with its parts.
fn is_of_service(name: &str) -> bool {
    let numbered = name.split("_PORT_").skip(1).any(|rest| {
        let (number, protocol) = rest.split_once('_').unwrap_or_default();
        number.parse::<u16>().is_ok()
            && ["TCP", "UDP", "SCTP"]
                .iter()
                .any(|known| protocol.starts_with(known))
    });
    name.ends_with("_SERVICE_HOST")
        || name.ends_with("_SERVICE_PORT")
        || name.contains("_SERVICE_PORT_")
        || numbered
}

/// `X_PORT` with a URL in it, and what a link adds to that: `X_NAME` and `X_ENV_…`.
fn is_of_link(name: &str, env: &Environment) -> bool {
    let is_url = |port: &str| {
        let url = env.get(port).and_then(std::ffi::OsStr::to_str);
        url.is_some_and(|url| url.contains("://"))
    };
    let owner = name
        .strip_suffix("_NAME")
        .or_else(|| name.split_once("_ENV_").map(|(owner, _)| owner));
    (name.ends_with("_PORT") && is_url(name))
        || owner.is_some_and(|owner| is_url(&format!("{owner}_PORT")))
}

/// The setting that an unknown variable of our prefix was probably meant to be.
#[must_use]
pub fn misspelt(name: &str, env: &Environment) -> Option<Option<&'static str>> {
    if !name.starts_with("DIND_") || names().any(|ours| ours == name) || foreign(name, env) {
        return None;
    }
    let nearest = names().map(|ours| (distance(name, ours), ours)).min();
    Some(
        nearest
            .filter(|(distance, _)| *distance <= 3)
            .map(|(_, name)| name),
    )
}

/// Edit distance of two short words.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (cell, y) in row.iter_mut().skip(1).zip(b.bytes()) {
            let best = (diagonal + usize::from(x != y))
                .min(left + 1)
                .min(*cell + 1);
            diagonal = std::mem::replace(cell, best);
            left = best;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_name_is_found_and_foreign_names_are_not() {
        let env: Environment = [
            ("DIND_PORT", "tcp://10.0.0.1:2376"),
            ("DIND_ROOTLESS_PORT", "tap"),
            ("DIND_JOB_PORT", "tcp://10.0.0.2:2376"),
        ]
        .into_iter()
        .collect();
        let misspelt = |name| misspelt(name, &env);
        assert_eq!(misspelt("DIND_SOCKET"), Some(Some("DIND_SOCKETS")));
        assert_eq!(misspelt("DIND_SOKET_GID"), Some(Some("DIND_SOCKET_GID")));
        assert_eq!(misspelt("DIND_SOMETHING_ELSE"), Some(None));
        // No URL: somebody's mistake.
        assert_eq!(
            misspelt("DIND_ROOTLESS_PORT"),
            Some(Some("DIND_ROOTLESS_PORTS"))
        );
        assert_eq!(misspelt("DIND_SOCKETS_NAME"), Some(None));
        for name in [
            "DIND_COMMIT",
            "DIND_TCP",
            "PATH",
            // A service `dind`, one `dind-job`, and a link.
            "DIND_PORT",
            "DIND_PORT_2376_TCP",
            "DIND_SERVICE_HOST",
            "DIND_JOB_SERVICE_HOST",
            "DIND_JOB_SERVICE_PORT",
            "DIND_JOB_SERVICE_PORT_DOCKER",
            "DIND_JOB_PORT",
            "DIND_JOB_PORT_2376_TCP",
            "DIND_JOB_PORT_2376_TCP_PROTO",
            "DIND_JOB_PORT_2376_TCP_PORT",
            "DIND_JOB_PORT_2376_TCP_ADDR",
            "DIND_STORAGE_PORT_53_UDP_ADDR",
            "DIND_NAME",
            "DIND_ENV_DOCKER_VERSION",
        ] {
            assert_eq!(misspelt(name), None, "{name}");
        }
    }
}
