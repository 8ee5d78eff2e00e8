//! Kernel modules and settings.

use std::path::Path;

use super::ApplyError;
use crate::files::kernel;

/// Asks the kernel to load modules, without a module directory of our own: the kernel looks for a
/// module when an interface of an unknown name is asked for (`dev_load`), and it is the host's
/// modprobe that it runs. It does not say whether it found one; a probe tells.
///
/// # Errors
/// Only when the kernel cannot be asked at all.
pub fn request(names: &[String]) -> Result<(), ApplyError> {
    for name in names {
        crate::sys::netdev::request_module(name).map_err(|e| {
            ApplyError::new(format!("ask for module {name} by"), Path::new("ioctl"), e)
        })?;
    }
    Ok(())
}

/// Writes a kernel setting.
///
/// # Errors
/// What the kernel says.
pub fn write_setting(path: &Path, value: &str) -> Result<(), ApplyError> {
    kernel::write(path, value).map_err(|e| ApplyError::new(format!("write {value} to"), path, e))
}
