//! Where docker-proxy itself is.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use crate::base::environment::Environment;
use crate::files::find_program;

/// Its name.
pub const REAL: &str = "docker-proxy";

/// Where dockerd looks before `PATH` (`lookupBinPath` in moby's `daemon/config/config_linux.go`).
const FIRST: &str = "/usr/local/libexec/docker:/usr/libexec/docker:/usr/local/lib/docker:\
                     /usr/lib/docker:/usr/local/libexec:/usr/libexec";

/// The program that dockerd would start.
#[must_use]
pub fn find(env: &Environment) -> Option<PathBuf> {
    let mut path = OsString::from(FIRST);
    path.push(":");
    path.push(
        env.get("PATH")
            .unwrap_or_else(|| OsStr::new("/bin:/usr/bin")),
    );
    let found = find_program(REAL.as_ref(), Some(&path));
    found.filter(|path| crate::files::is_executable(path))
}
