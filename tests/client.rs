//! The client side against daemons that answer late, badly, or not at all.
//!
//! Nothing here sleeps, and no test depends on how long something takes: servers act when the
//! client has come to a certain point, which it says by its notice or by connecting.
#![expect(
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "tests make files, threads and processes of their own, and may panic"
)]

#[path = "client/authority.rs"]
mod authority;
#[path = "client/names.rs"]
mod names;
#[path = "client/ping.rs"]
mod ping;
#[path = "client/probe.rs"]
mod probe;
#[path = "client/process.rs"]
mod process;
#[path = "client/server.rs"]
mod server;
#[path = "client/trust.rs"]
mod trust;
#[path = "client/wait.rs"]
mod wait;

use std::ffi::OsStr;
use std::path::Path;
use std::time::Duration;

use dind_init::endpoint::{Address, Endpoint, Security, TlsFiles};
use dind_init::net::deadline::Deadline;

/// Long enough to mean "never" in a test that succeeds.
const LONG: Duration = Duration::from_secs(60);
/// For tests whose subject is that nothing comes.
const SHORT: Duration = Duration::from_millis(200);

fn deadline() -> Deadline<'static> {
    Deadline::new(LONG)
}

fn plain(host: &str) -> Endpoint {
    Endpoint::direct(Address::parse(OsStr::new(host)).unwrap(), Security::Plain)
}

fn secure(host: &str, certificates: &Path) -> Endpoint {
    let security = Security::Tls(TlsFiles::in_directory(certificates));
    Endpoint::direct(Address::parse(OsStr::new(host)).unwrap(), security)
}
