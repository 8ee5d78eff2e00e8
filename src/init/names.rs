//! Signal names, both ways. Pure.

/// Every signal that has a name of its own.
const NAMES: [(&str, i32); 31] = [
    ("SIGABRT", libc::SIGABRT),
    ("SIGALRM", libc::SIGALRM),
    ("SIGBUS", libc::SIGBUS),
    ("SIGCHLD", libc::SIGCHLD),
    ("SIGCONT", libc::SIGCONT),
    ("SIGFPE", libc::SIGFPE),
    ("SIGHUP", libc::SIGHUP),
    ("SIGILL", libc::SIGILL),
    ("SIGINT", libc::SIGINT),
    ("SIGIO", libc::SIGIO),
    ("SIGKILL", libc::SIGKILL),
    ("SIGPIPE", libc::SIGPIPE),
    ("SIGPROF", libc::SIGPROF),
    ("SIGPWR", libc::SIGPWR),
    ("SIGQUIT", libc::SIGQUIT),
    ("SIGSEGV", libc::SIGSEGV),
    ("SIGSTKFLT", libc::SIGSTKFLT),
    ("SIGSTOP", libc::SIGSTOP),
    ("SIGSYS", libc::SIGSYS),
    ("SIGTERM", libc::SIGTERM),
    ("SIGTRAP", libc::SIGTRAP),
    ("SIGTSTP", libc::SIGTSTP),
    ("SIGTTIN", libc::SIGTTIN),
    ("SIGTTOU", libc::SIGTTOU),
    ("SIGURG", libc::SIGURG),
    ("SIGUSR1", libc::SIGUSR1),
    ("SIGUSR2", libc::SIGUSR2),
    ("SIGVTALRM", libc::SIGVTALRM),
    ("SIGWINCH", libc::SIGWINCH),
    ("SIGXCPU", libc::SIGXCPU),
    ("SIGXFSZ", libc::SIGXFSZ),
];

/// `SIGRTMIN` as dockerd, bash and systemd count: glibc keeps 32 and 33 for itself.
const RTMIN: i32 = 34;
const RTMAX: i32 = crate::sys::signal::LAST;

/// The number of a signal given by name, with or without `SIG`, in any case, or by number.
#[must_use]
pub fn number(text: &str) -> Option<i32> {
    if let Ok(number) = text.parse::<i32>() {
        return (1..=RTMAX).contains(&number).then_some(number);
    }
    let upper = text.to_ascii_uppercase();
    let short = upper.strip_prefix("SIG").unwrap_or(&upper);
    if let Some(offset) = short.strip_prefix("RTMIN") {
        return real_time(RTMIN, offset);
    }
    if let Some(offset) = short.strip_prefix("RTMAX") {
        return real_time(RTMAX, offset);
    }
    NAMES
        .iter()
        .find(|(name, _)| name.strip_prefix("SIG") == Some(short))
        .map(|(_, number)| *number)
}

/// `RTMIN+3`, `RTMAX-1`: base and offset.
fn real_time(base: i32, offset: &str) -> Option<i32> {
    let offset = match offset {
        "" => 0,
        _ => offset
            .parse::<i32>()
            .ok()
            .filter(|_| offset.starts_with(['+', '-']))?,
    };
    let number = base.checked_add(offset)?;
    (RTMIN..=RTMAX).contains(&number).then_some(number)
}

/// The name of a signal, as [`number`] reads it.
#[must_use]
pub fn name(number: i32) -> String {
    if let Some((name, _)) = NAMES.iter().find(|(_, known)| *known == number) {
        return (*name).to_owned();
    }
    match number - RTMIN {
        0 => "SIGRTMIN".to_owned(),
        offset @ 1..=30 => format!("SIGRTMIN+{offset}"),
        _ => number.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_signal_reads_back_from_its_name() {
        for signal in 1..=RTMAX {
            let long = name(signal);
            assert_eq!(number(&long), Some(signal), "{long}");
            assert_eq!(number(long.trim_start_matches("SIG")), Some(signal));
            assert_eq!(number(&long.to_lowercase()), Some(signal));
            assert_eq!(number(&signal.to_string()), Some(signal));
        }
    }

    #[test]
    fn what_is_no_signal_is_refused() {
        for text in [
            "",
            "SIG",
            "0",
            "65",
            "-1",
            "SIGFOO",
            "SIGSIGTERM",
            "RTMIN3",
            "RTMIN+31",
            "RTMAX+1",
            "RTMIN-1",
            "RTMIN+",
            "15 ",
            "SIGTERM\0",
            "RTMIN+99999999999",
        ] {
            assert_eq!(number(text), None, "{text:?}");
        }
    }
}
