//! What a signal came into, as far as the registers tell. Runs in a signal handler.

use std::fmt::{self, Write as _};

use super::text::Text;
use crate::base::printable;
use crate::sys::call::CallName;

/// The call that the signal came into, as far as the registers tell.
pub(super) struct Interrupted {
    pub(super) call: Option<i64>,
    path: Text<512>,
}

impl Interrupted {
    /// The kernel has prepared the registers so that the call is made once more: they hold its
    /// number and its arguments again, and the next instruction is the call.
    pub(super) fn of(context: *mut libc::c_void) -> Self {
        let mut found = Self {
            call: None,
            path: Text::default(),
        };
        let Some((call, arguments)) = registers(context) else {
            return found;
        };
        found.call = Some(call);
        let argument = match call {
            libc::SYS_openat
            | libc::SYS_openat2
            | libc::SYS_unlinkat
            | libc::SYS_newfstatat
            | libc::SYS_statx
            | libc::SYS_mkdirat
            | libc::SYS_readlinkat
            | libc::SYS_faccessat => arguments[1],
            libc::SYS_statfs | libc::SYS_umount2 => arguments[0],
            _ => return found,
        };
        let path: *const libc::c_char = std::ptr::with_exposed_provenance(argument);
        if path.is_null() {
            return found;
        }
        // SAFETY: it is the path that our own thread has just given to the kernel, which has read
        // it to its end before it began to wait; its owner waits for the call to return.
        let path = unsafe { std::ffi::CStr::from_ptr(path) };
        let _ = write!(
            found.path,
            "{}",
            printable::line(path.to_bytes()).at_most(100)
        );
        found
    }

    pub(super) fn path(&self) -> Option<&str> {
        Some(self.path.as_str()).filter(|path| !path.is_empty())
    }
}

impl fmt::Display for Interrupted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(call) = self.call {
            write!(f, ", in {}", CallName(call))?;
        }
        match self.path() {
            Some(path) => write!(f, " of {path}"),
            None => Ok(()),
        }
    }
}

/// Number and first arguments of the call that will be restarted.
#[cfg(target_arch = "x86_64")]
fn registers(context: *mut libc::c_void) -> Option<(i64, [usize; 2])> {
    /// `syscall`
    const INSTRUCTION: [u8; 2] = [0x0f, 0x05];
    // SAFETY: with SA_SIGINFO the third argument is a ucontext_t that lives as long as the handler.
    let registers = unsafe { (*context.cast::<libc::ucontext_t>()).uc_mcontext.gregs };
    let register = |name: libc::c_int| registers.get(usize::try_from(name).ok()?).copied();
    let address = |name| usize::try_from(register(name)?).ok();
    let next = std::ptr::with_exposed_provenance::<[u8; 2]>(address(libc::REG_RIP)?);
    // SAFETY: the thread is about to execute what is there, so it is mapped; and code of ours can
    // be read. An array of bytes needs no alignment.
    if unsafe { next.read() } != INSTRUCTION {
        return None;
    }
    let arguments = [address(libc::REG_RDI)?, address(libc::REG_RSI)?];
    Some((register(libc::REG_RAX)?, arguments))
}

/// Number and first arguments of the call that will be restarted.
#[cfg(target_arch = "aarch64")]
fn registers(context: *mut libc::c_void) -> Option<(i64, [usize; 2])> {
    /// `svc #0`
    const INSTRUCTION: u32 = 0xd400_0001;
    // SAFETY: with SA_SIGINFO the third argument is a ucontext_t that lives as long as the handler.
    let machine = unsafe { &(*context.cast::<libc::ucontext_t>()).uc_mcontext };
    let next = std::ptr::with_exposed_provenance::<u32>(usize::try_from(machine.pc).ok()?);
    // SAFETY: the thread is about to execute what is there, so it is mapped and aligned; and code
    // of ours can be read.
    if unsafe { next.read() } != INSTRUCTION {
        return None;
    }
    let register = |number: usize| machine.regs.get(number).copied();
    let argument = |number| usize::try_from(register(number)?).ok();
    let call = i64::try_from(register(8)?).ok()?;
    Some((call, [argument(0)?, argument(1)?]))
}

/// Elsewhere nothing is known of it.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn registers(_context: *mut libc::c_void) -> Option<(i64, [usize; 2])> {
    None
}
