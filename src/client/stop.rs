//! SIGINT and SIGTERM as a readable descriptor, for commands that wait.
//!
//! As PID 1 of a container, a command that has no handler ignores both; so there is one also
//! where the default action would have done.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use signal_hook::SigId;
use signal_hook::consts::{SIGINT, SIGTERM};

use crate::base::explain::exit;

/// Handlers for the two signals, as long as it lives.
#[derive(Debug)]
pub struct Stop {
    reader: UnixStream,
    received: Arc<AtomicUsize>,
    deadly: Arc<AtomicBool>,
    handlers: Vec<SigId>,
}

impl Stop {
    /// Installs the handlers.
    ///
    /// # Errors
    /// What socketpair(2) or sigaction(2) say.
    pub fn install() -> io::Result<Self> {
        let (reader, writer) = UnixStream::pair()?;
        let mut stop = Self {
            reader,
            received: Arc::new(AtomicUsize::new(0)),
            deadly: Arc::new(AtomicBool::new(false)),
            handlers: Vec::new(),
        };
        for signal in [SIGINT, SIGTERM] {
            let code = exit_code(signal);
            // In the order in which they run: end at once if we are past listening, else note
            // which signal it was, then wake.
            let deadly = Arc::clone(&stop.deadly);
            stop.handlers
                .push(signal_hook::flag::register_conditional_shutdown(
                    signal,
                    i32::from(code),
                    deadly,
                )?);
            let received = Arc::clone(&stop.received);
            stop.handlers.push(signal_hook::flag::register_usize(
                signal,
                received,
                usize::from(code),
            )?);
            stop.handlers.push(signal_hook::low_level::pipe::register(
                signal,
                writer.try_clone()?,
            )?);
        }
        Ok(stop)
    }

    /// Becomes readable with the first signal.
    #[must_use]
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.reader.as_fd()
    }

    /// 130 or 143 when one of the signals came.
    #[must_use]
    pub fn code(&self) -> Option<u8> {
        u8::try_from(self.received.load(Ordering::SeqCst))
            .ok()
            .filter(|&code| code != 0)
    }

    /// From here on a signal ends the process in its handler; says whether one came before. Between
    /// this and an exec no signal is lost.
    #[must_use]
    pub fn end_listening(&self) -> Option<u8> {
        self.deadly.store(true, Ordering::SeqCst);
        self.code()
    }
}

impl Drop for Stop {
    fn drop(&mut self) {
        for handler in self.handlers.drain(..) {
            signal_hook::low_level::unregister(handler);
        }
    }
}

fn exit_code(signal: i32) -> u8 {
    u8::try_from(signal).map_or(exit::SIGNAL_BASE, |number| exit::SIGNAL_BASE + number)
}
