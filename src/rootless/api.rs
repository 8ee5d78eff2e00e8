//! The least of rootlesskit's API without which dockerd does not start: `GET /v1/info`, without a
//! port driver. The port driver's own API takes its place.
#![expect(
    clippy::disallowed_methods,
    reason = "effects of the launch live in rootless/"
)]

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::time::Duration;

use super::error::LaunchError;
use super::plan::RootlessPlan;

/// Nobody has more to say, or more time to say it.
const LONGEST: u64 = 8 * 1024;
const PATIENCE: Duration = Duration::from_secs(10);

/// Listens, for nobody but us.
///
/// # Errors
/// What `bind(2)` says.
pub(super) fn listen(path: &Path) -> Result<UnixListener, LaunchError> {
    let failed =
        |error| LaunchError::new(format!("could not listen on {}", path.display()), &error);
    let listener = UnixListener::bind(path).map_err(failed)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).map_err(failed)?;
    Ok(listener)
}

/// Answers until the process is killed; for a process of its own.
pub(super) fn serve(listener: &UnixListener, plan: &RootlessPlan, child: u32) {
    let name = plan.net.driver.name();
    let driver = match &plan.net.tap {
        None => serde_json::json!({ "driver": name }),
        Some(tap) => serde_json::json!({
            "driver": name, "dns": [tap.resolver()], "childIP": tap.address(),
        }),
    };
    let info = serde_json::json!({
        "apiVersion": "1.1.1",
        "version": format!("{}+dind-init", env!("CARGO_PKG_VERSION")),
        "stateDir": plan.state,
        "childPID": child,
        "networkDriver": driver,
    });
    for stream in listener.incoming().flatten() {
        // A client that is gone costs its answer only.
        let _ = answer(stream, &info);
    }
}

fn answer(mut stream: UnixStream, info: &serde_json::Value) -> std::io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && (&stream).take(LONGEST).read(&mut byte)? == 1 {
        head.extend(byte);
    }
    let (status, body) = if head.starts_with(b"GET /v1/info ") {
        ("200 OK", info.to_string())
    } else if head.starts_with(b"GET /v1/ports ") || head.starts_with(b"POST /v1/ports ") {
        let message = serde_json::json!({ "message": "no PortDriver is available" });
        ("400 Bad Request", message.to_string())
    } else {
        ("404 Not Found", "404 page not found\n".to_owned())
    };
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n{body}",
        body.len()
    )
}
