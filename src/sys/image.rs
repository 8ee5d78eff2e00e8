//! A program that is ready to be executed: what allocates has been done.

use std::ffi::{CString, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// NUL-terminated strings with the pointer array that execve wants.
struct Words {
    strings: Vec<Vec<u8>>,
    pointers: Vec<*const libc::c_char>,
}

impl Words {
    fn new<'w>(words: impl IntoIterator<Item = &'w [u8]>) -> Option<Self> {
        let strings = words
            .into_iter()
            .map(|word| CString::new(word).ok().map(CString::into_bytes_with_nul))
            .collect::<Option<Vec<_>>>()?;
        let mut pointers: Vec<_> = strings.iter().map(|s| s.as_ptr().cast()).collect();
        pointers.push(std::ptr::null());
        Some(Self { strings, pointers })
    }
}

pub(super) struct Image {
    path: CString,
    argv: Words,
    /// argv for running the path by `/bin/sh`: the shell, the path, the arguments.
    shell: Words,
    env: Words,
}

impl Image {
    /// `None` where a word holds a NUL byte.
    pub(super) fn new(program: &Path, argv: &[OsString], env: &[OsString]) -> Option<Self> {
        let path = program.as_os_str().as_bytes();
        let arguments = argv.iter().skip(1).map(|word| word.as_bytes());
        Some(Self {
            path: CString::new(path).ok()?,
            argv: Words::new(argv.iter().map(|word| word.as_bytes()))?,
            shell: Words::new([b"/bin/sh".as_slice(), path].into_iter().chain(arguments))?,
            env: Words::new(env.iter().map(|word| word.as_bytes()))?,
        })
    }

    /// The variable that begins so, with its final NUL, to be changed in place.
    pub(super) fn variable(&mut self, name: &[u8]) -> Option<&mut [u8]> {
        let mut words = self.env.strings.iter_mut();
        Some(words.find(|word| word.starts_with(name))?.as_mut_slice())
    }

    /// Replaces this process by the program; says why that failed.
    pub(super) fn execute(&self) -> io::Error {
        // SAFETY: both arrays end in a null pointer and point to NUL-terminated strings that live
        // in `self`; what was changed in them was changed in place.
        unsafe {
            libc::execve(
                self.path.as_ptr(),
                self.argv.pointers.as_ptr(),
                self.env.pointers.as_ptr(),
            )
        };
        io::Error::last_os_error()
    }

    /// As [`Image::execute`]; a script without an interpreter line is run by the shell, as
    /// `execvp(3)` does, whose error is the shell's then.
    pub(super) fn execute_or_interpret(&self) -> io::Error {
        let error = self.execute();
        if error.raw_os_error() != Some(libc::ENOEXEC) {
            return error;
        }
        // SAFETY: as in `execute`.
        unsafe {
            libc::execve(
                c"/bin/sh".as_ptr(),
                self.shell.pointers.as_ptr(),
                self.env.pointers.as_ptr(),
            )
        };
        io::Error::last_os_error()
    }
}
