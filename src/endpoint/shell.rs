//! The environment that makes `docker`, compose and testcontainers mean an endpoint.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use super::{Endpoint, EndpointError, Security, TlsFiles};
use crate::base::changes::{self, Changes};
use crate::base::environment::Environment;

/// The variables of ours that a plain endpoint must not have.
/// The docker CLI wants the files of TLS for a unix socket, too, when one of them is set.
const TLS_VARIABLES: [&str; 3] = ["DOCKER_TLS", "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH"];

/// The variables that mean this endpoint.
///
/// # Errors
/// [`EndpointError::ScatteredFiles`] when the files cannot be named by one directory.
pub fn variables(endpoint: &Endpoint) -> Result<Changes, EndpointError> {
    let mut changes: Changes = vec![("DOCKER_HOST", endpoint.address.docker_host())];
    if let Security::Tls(files) = &endpoint.security {
        let dir = directory(files).ok_or(EndpointError::ScatteredFiles)?;
        changes.push(("DOCKER_TLS_VERIFY", "1".into()));
        changes.push(("DOCKER_CERT_PATH", dir.into()));
    }
    Ok(changes)
}

/// An environment in which every client means this endpoint. Files that no directory names are
/// left out: the program then needs its own flags, as it would without us.
#[must_use]
pub fn environment(endpoint: &Endpoint, env: &Environment) -> Environment {
    match (variables(endpoint), &endpoint.security) {
        (Ok(changes), Security::Plain) => {
            changes::with(&changes::without(env, &TLS_VARIABLES), &changes)
        }
        (Ok(changes), Security::Tls(_)) => changes::with(env, &changes),
        (Err(_), _) => env
            .clone()
            .with("DOCKER_HOST", endpoint.address.docker_host()),
    }
}

/// Lines for `eval` in a POSIX shell: `export NAME=value`, and `unset` for what a plain endpoint
/// must not inherit.
///
/// # Errors
/// As [`variables`].
pub fn lines(endpoint: &Endpoint) -> Result<OsString, EndpointError> {
    let mut text = Vec::new();
    for (name, value) in variables(endpoint)? {
        text.extend_from_slice(format!("export {name}=").as_bytes());
        quote(&value, &mut text);
        text.push(b'\n');
    }
    if endpoint.security == Security::Plain {
        text.extend_from_slice(format!("unset {}\n", TLS_VARIABLES.join(" ")).as_bytes());
    }
    Ok(OsString::from_vec(text))
}

fn directory(files: &TlsFiles) -> Option<PathBuf> {
    let dir = files.ca.parent()?;
    let mut want = TlsFiles::in_directory(dir);
    if files.identity.is_none() {
        want.identity = None;
    }
    let named = if dir.as_os_str().is_empty() {
        Path::new(".")
    } else {
        dir
    };
    (*files == want).then(|| named.to_path_buf())
}

/// Plain words stay as they are; everything else goes between single quotes.
fn quote(word: &OsStr, text: &mut Vec<u8>) {
    let bytes = word.as_bytes();
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"%+,-./:=@_".contains(byte);
    if !bytes.is_empty() && bytes.iter().all(plain) {
        text.extend_from_slice(bytes);
        return;
    }
    text.push(b'\'');
    for &byte in bytes {
        match byte {
            b'\'' => text.extend_from_slice(br"'\''"),
            _ => text.push(byte),
        }
    }
    text.push(b'\'');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::changes::from_text;
    use crate::endpoint::Address;

    fn endpoint(host: &str, security: Security) -> Endpoint {
        Endpoint::direct(Address::parse(OsStr::new(host)).unwrap(), security)
    }

    #[test]
    fn a_tls_endpoint_is_three_exports() {
        let tls = Security::Tls(TlsFiles::in_directory(Path::new("/certs/client")));
        expect_test::expect![[r"
            export DOCKER_HOST=tcp://docker:2376
            export DOCKER_TLS_VERIFY=1
            export DOCKER_CERT_PATH=/certs/client
        "]]
        .assert_eq(
            &lines(&endpoint("tcp://docker:2376", tls))
                .unwrap()
                .to_string_lossy(),
        );
    }

    #[test]
    fn a_plain_endpoint_unsets_what_would_turn_tls_on() {
        expect_test::expect![[r"
            export DOCKER_HOST='unix:///run/it'\''s a/docker.sock'
            unset DOCKER_TLS DOCKER_TLS_VERIFY DOCKER_CERT_PATH
        "]]
        .assert_eq(
            &lines(&endpoint("unix:///run/it's a/docker.sock", Security::Plain))
                .unwrap()
                .to_string_lossy(),
        );
    }

    #[test]
    fn scattered_files_have_no_directory() {
        let mut files = TlsFiles::in_directory(Path::new("/a"));
        files.ca = "/b/ca.pem".into();
        let endpoint = endpoint("tcp://x:1", Security::Tls(files));
        assert_eq!(lines(&endpoint), Err(EndpointError::ScatteredFiles));
        let env = environment(&endpoint, &from_text("A=1"));
        assert_eq!(env, from_text("A=1 DOCKER_HOST=tcp://x:1"));
    }

    #[test]
    fn a_program_for_a_plain_endpoint_loses_the_tls_variables() {
        let env = from_text("DOCKER_TLS_VERIFY=1 DOCKER_CERT_PATH=/x A=1");
        assert_eq!(
            environment(&endpoint("unix:///s", Security::Plain), &env),
            from_text("A=1 DOCKER_HOST=unix:///s")
        );
    }
}
