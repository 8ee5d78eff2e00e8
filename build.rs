//! What the linker is told about the program. Nothing is generated.
#![expect(
    clippy::disallowed_methods,
    reason = "cargo hands its build scripts variables, and reads what they print"
)]

use std::env;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=link");
    println!("cargo::rerun-if-env-changed=PROFILE");
    if env::var("PROFILE").as_deref() != Ok("release") {
        return;
    }
    let root = env::var("CARGO_MANIFEST_DIR").unwrap_or_default();
    // A release ends at a panic without unwinding, and has no symbols that a backtrace could name:
    // the tables for both are 0.4 MiB that nobody reads.
    for argument in [
        "--no-eh-frame-hdr",
        &format!("--script={root}/link/without-unwinding.ld"),
    ] {
        println!("cargo::rustc-link-arg-bins=-Wl,{argument}");
    }
    // Relocations in 5 KB instead of 150. The C library applies them to a static program: an old
    // one does not know this form, and the program would end before its first line.
    if glibc().is_some_and(|version| version >= (2, 36)) {
        println!("cargo::rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
    }
}

/// The version of the GNU C library that the program is linked with; it is this machine's, since
/// `.cargo/config.toml` builds for the host.
fn glibc() -> Option<(u32, u32)> {
    let variable = |name| env::var(name).unwrap_or_default();
    if variable("CARGO_CFG_TARGET_ENV") != "gnu" || variable("TARGET") != variable("HOST") {
        return None;
    }
    let output = Command::new("getconf")
        .arg("GNU_LIBC_VERSION")
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let (major, minor) = text.trim().strip_prefix("glibc ")?.split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}
