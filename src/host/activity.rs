//! What a process is doing right now, as /proc tells it to whoever may look. It needs nothing of
//! the process itself: it is for one that does not answer.

use std::fmt;

use crate::base::printable::line;
use crate::files::kernel;
use crate::sys::call::CallName;

/// One look at a process.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Activity {
    /// The letter of `proc_pid_stat(5)`; none when there is no such process.
    pub state: Option<char>,
    /// The function of the kernel that it sleeps in, where that may be seen.
    pub waits_in: Option<String>,
    /// The number of its system call, where that may be seen.
    pub call: Option<i64>,
}

impl Activity {
    /// Looks at a process.
    #[must_use]
    pub fn read(pid: u32) -> Self {
        let file = |name: &str| kernel::read(format!("/proc/{pid}/{name}")).ok();
        let text = |name: &str| {
            let bytes = file(name)?;
            Some(String::from_utf8_lossy(&bytes).trim().to_owned())
        };
        Self {
            state: file("stat").as_deref().and_then(state),
            // "0": it runs, or we may not know.
            waits_in: text("wchan").filter(|name| !name.is_empty() && name != "0"),
            call: text("syscall").as_deref().and_then(call),
        }
    }
}

/// The third field; the name before it may hold anything but its end is the last parenthesis.
fn state(stat: &[u8]) -> Option<char> {
    let end = stat.iter().rposition(|byte| *byte == b')')?;
    stat.get(end + 2).map(|byte| char::from(*byte))
}

/// `running`, or the number of a call (-1: none) and its arguments.
fn call(text: &str) -> Option<i64> {
    let number: i64 = text.split(' ').next()?.parse().ok()?;
    (number >= 0).then_some(number)
}

impl fmt::Display for Activity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.state {
            None => return f.write_str("there is no such process any more"),
            Some('R') => f.write_str("it is running")?,
            Some('S') => f.write_str("it waits")?,
            Some('D') => f.write_str("it waits and cannot be interrupted (state D)")?,
            Some('T') => f.write_str("it is stopped (state T, as SIGSTOP does it)")?,
            Some('t') => f.write_str("it is stopped by a debugger (state t)")?,
            Some('Z' | 'X') => f.write_str("it is dead")?,
            Some(other) => write!(f, "its state is {}", line(&other.to_string()))?,
        }
        if let Some(number) = self.call {
            write!(f, " in {}", CallName(number))?;
        }
        if let Some(name) = &self.waits_in {
            write!(f, " (kernel: {})", line(name).at_most(80))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_comes_after_a_name_that_may_hold_anything() {
        assert_eq!(state(b"1 (a) S (\xff) T 0 1 1"), Some('T'));
        assert_eq!(state(b"1 (a"), None);
        assert_eq!(call("257 0xffffff9c 0x7f 0x0"), Some(libc::SYS_openat));
        assert_eq!(
            (call("running"), call("-1 0x7f 0x0"), call("")),
            (None, None, None)
        );
    }

    #[test]
    fn it_is_told_in_words() {
        let stuck = Activity {
            state: Some('S'),
            waits_in: Some("wait_for_partner".into()),
            call: Some(libc::SYS_openat),
        };
        assert_eq!(
            stuck.to_string(),
            "it waits in openat (kernel: wait_for_partner)"
        );
        assert_eq!(CallName(-7).to_string(), "system call -7");
        let own = Activity::read(std::process::id());
        assert!(own.to_string().starts_with("it "), "{own}");
        assert_eq!(
            Activity::read(u32::MAX).to_string(),
            "there is no such process any more"
        );
    }
}
