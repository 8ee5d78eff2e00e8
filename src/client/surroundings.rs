//! What the rules for the default daemon look at on the machine.

use std::path::Path;

use super::own;
use crate::base::environment::Environment;
use crate::config::lifetime::runtime_dir;
use crate::endpoint::context;
use crate::endpoint::defaults::{Surroundings, client_directory, is_socket};
use crate::endpoint::host::STANDARD_SOCKET;
use crate::files;

impl Surroundings {
    /// Looks at the machine.
    #[must_use]
    pub fn look(env: &Environment) -> Self {
        let uid = rustix::process::geteuid().as_raw();
        let runtime_socket = runtime_dir(env, uid).join("docker.sock");
        Self {
            standard_socket: is_socket(Path::new(STANDARD_SOCKET)),
            runtime_socket: is_socket(&runtime_socket),
            client_certificates: client_directory(env).is_some_and(|dir| {
                ["ca.pem", "cert.pem", "key.pem"].iter().all(|name| {
                    files::read(&dir.join(name), files::MOST).is_ok_and(|b| !b.is_empty())
                })
            }),
            uid,
            own: own::host(env),
            context: context::look(env),
        }
    }
}
