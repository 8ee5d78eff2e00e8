//! Native rootless mode: dockerd in a user, mount and network namespace that this program makes,
//! without rootlesskit.
//!
//! ```text
//! P  parent, PID 1   outer namespaces   supervises, keeps the network driver, binds ports
//! C  child           new namespaces     mounts, network device, starts dockerd, reaps
//! N  slirp4netns or pasta               moves packets
//! D  dockerd         as C
//! ```
//!
//! P and C are one program; C is made by a plain fork into new namespaces, executes nothing, and
//! so keeps every capability of its user namespace until dockerd is executed. What is wanted
//! ([`options`], [`idmap`], [`netplan`], [`preflight`], [`plan`]) is pure; [`facts`] reads and
//! tries; [`parent`] and `child` act.

pub mod channel;
mod child;
pub mod daemon;
pub mod driver;
pub mod enter;
pub mod error;
pub mod facts;
pub mod flags;
mod follow;
pub mod idmap;
mod keeper;
mod lives;
mod maps;
mod mounts;
pub mod names;
pub mod netplan;
pub mod options;
pub mod parent;
pub mod persona;
pub mod places;
pub mod plan;
pub mod ports;
pub mod preflight;
mod published;
pub mod refusal;
mod rules;
pub mod state;
pub mod trial;
mod wishes;

use std::ffi::OsString;
use std::fs::File;
use std::io::{Read as _, Seek as _};
use std::os::fd::AsFd;
use std::path::Path;

use rustix::fs::{MemfdFlags, memfd_create};
use rustix::process::WaitOptions;

use self::error::LaunchError;
use crate::sys::helper::{self, Helper, Privileges};

/// A place for what a program says, read when it is worth telling: nobody has to drain it.
fn output() -> Result<File, LaunchError> {
    let file = memfd_create("output", MemfdFlags::CLOEXEC)
        .map_err(|error| LaunchError::new("could not make a memory file", &error))?;
    Ok(File::from(file))
}

/// Runs a program to its end; what it said if it succeeded.
fn ask(program: &Path, argv: &[OsString], env: &[OsString]) -> Option<String> {
    let mut output = output().ok()?;
    let pid = helper::start(&Helper {
        program,
        argv,
        env,
        descriptors: &[],
        output: Some(output.as_fd()),
        privileges: Privileges::NoNew,
    })
    .ok()?;
    let (_, status) = rustix::process::waitpid(Some(pid), WaitOptions::empty()).ok()??;
    if status.exit_status() != Some(0) {
        return None;
    }
    let mut text = String::new();
    output.rewind().ok()?;
    output.read_to_string(&mut text).ok()?;
    Some(text)
}
