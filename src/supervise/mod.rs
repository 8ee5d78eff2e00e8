//! PID 1 at work: one poll loop that feeds events to [`machine`] and carries its actions out.
//!
//! The border: nothing below may end the process but the machine's own decision. Failures are
//! logged, and the loop goes on.

mod greeting;
pub mod machine;
pub mod names;
pub mod notify;
pub mod ping;
pub mod status;
pub mod timeline;

use std::os::fd::AsFd;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use nix::sys::signalfd::SignalFd;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, WaitOptions};

use self::greeting::greeting;
use self::machine::{Action, Event, Held, Outcome, Rules, State};
use self::names::NameForwarder;
use self::notify::{NotifySocket, Outer};
use self::ping::Ping;
use self::status::StatusFile;
use self::timeline::Timeline;
use crate::apply::{file, listen::HeldSockets};
use crate::host::stale::{self, Places};
use crate::rootless::parent::Parent;

/// Everything that lives while dockerd runs.
#[derive(Debug)]
pub struct Supervisor {
    /// dockerd.
    pub dockerd: Pid,
    /// The API sockets.
    pub sockets: HeldSockets,
    /// The unix socket that we ping.
    pub ping_path: Option<PathBuf>,
    /// Where dockerd speaks to us.
    pub notify: NotifySocket,
    /// The forwarder for names.
    pub names: Option<NameForwarder>,
    /// What stands beside a rootless dockerd.
    pub rootless: Option<Parent>,
    /// Whoever started us.
    pub outer: Outer,
    /// What `dind-init status` reads.
    pub status: StatusFile,
    /// The phases of the start.
    pub timeline: Timeline,
    /// The machine's rules.
    pub rules: Rules,
    /// Where a killed dockerd leaves its pid file.
    pub places: Places,
}

impl Supervisor {
    /// Runs until dockerd is gone; returns our exit code.
    pub fn run(mut self, signals: &SignalFd) -> u8 {
        let mut state = State::Starting {
            held: Held::default(),
        };
        let mut ping = None;
        loop {
            for event in self.wait(state, signals, &mut ping) {
                let now = self.now();
                let (next, actions) = machine::step(self.rules, state, event, now);
                tracing::debug!("{state:?} + {event:?} → {next:?} {actions:?}");
                state = next;
                for action in actions {
                    self.act(action, &mut ping);
                }
            }
            if let State::Ended { code } = state {
                self.clean_up(code);
                return code;
            }
        }
    }

    fn now(&self) -> machine::Millis {
        u64::try_from(self.timeline.start().elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Sleeps until something happens. Notices come before deaths: dockerd's last words are
    /// older than its end.
    fn wait(&mut self, state: State, signals: &SignalFd, ping: &mut Option<Ping>) -> Vec<Event> {
        let own = machine::deadline(state)
            .map(|until| Duration::from_millis(until.saturating_sub(self.now())));
        let besides = self.rootless.as_ref().and_then(Parent::deadline);
        let besides = besides.map(|until| until.saturating_duration_since(Instant::now()));
        let timeout = own.into_iter().chain(besides).min().map(|left| Timespec {
            tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: left.subsec_nanos().into(),
        });
        let mut fds = vec![
            PollFd::new(signals, PollFlags::IN),
            PollFd::new(&self.notify, PollFlags::IN),
        ];
        if let Some(rootless) = &self.rootless {
            let flags = PollFlags::IN;
            let descriptors = rootless.descriptors().into_iter();
            fds.extend(descriptors.map(|fd| PollFd::from_borrowed_fd(fd, flags)));
        }
        if let Some(ping) = ping.as_ref() {
            fds.push(PollFd::from_borrowed_fd(ping.as_fd(), PollFlags::IN));
        }
        let _ = poll(&mut fds, timeout.as_ref());
        drop(fds);
        if let Some(rootless) = &mut self.rootless {
            rootless.work();
        }

        let dockerd = self.dockerd.as_raw_nonzero().get().unsigned_abs();
        let mut events: Vec<Event> = self
            .notify
            .drain(dockerd)
            .into_iter()
            .map(Event::Notice)
            .collect();
        if let Some(verdict) = ping.as_mut().and_then(Ping::read) {
            *ping = None;
            events.push(if verdict {
                Event::PingAnswered
            } else {
                Event::PingFailed
            });
        }
        while let Ok(Some(info)) = signals.read_signal() {
            let number = i32::try_from(info.ssi_signo).unwrap_or(0);
            if forwardable(number) {
                events.push(Event::Signal(number));
            }
        }
        // Always, and not only after SIGCHLD: signals of one kind are merged.
        events.extend(self.reap());
        if machine::deadline(state).is_some_and(|until| until <= self.now()) {
            events.push(Event::Deadline);
        }
        events
    }

    /// Reaps everything that is dead; says so when dockerd is among it.
    fn reap(&mut self) -> Option<Event> {
        let mut ended = None;
        while let Ok(Some((pid, status))) = rustix::process::wait(WaitOptions::NOHANG) {
            if let Some(names) = &mut self.names {
                names.reaped(pid);
            }
            if let Some(rootless) = &mut self.rootless {
                rootless.reaped(pid, status);
            }
            if pid == self.dockerd {
                ended = Some(Event::DockerdEnded(match status.terminating_signal() {
                    Some(signal) => Outcome::Signal(signal),
                    None => {
                        let code = status.exit_status().unwrap_or(0);
                        Outcome::Code(u8::try_from(code).unwrap_or(u8::MAX))
                    }
                }));
            }
        }
        ended
    }

    fn act(&mut self, action: Action, ping: &mut Option<Ping>) {
        match action {
            Action::Forward(signal) => self.send(signal),
            Action::Kill => self.send(libc::SIGKILL),
            Action::CloseListeners => self.sockets.close(),
            Action::Ping => {
                *ping = self
                    .ping_path
                    .as_deref()
                    .and_then(|path| match Ping::send(path) {
                        Ok(ping) => Some(ping),
                        Err(error) => {
                            tracing::warn!("/_ping on {}: {error}", path.display());
                            None
                        }
                    });
            }
            Action::AnnounceReady { confirmed } => {
                self.timeline.mark("ready");
                self.outer.send("READY=1");
                self.status.write("ready", &self.timeline);
                tracing::info!("{}", greeting(&self.status.status));
                if !confirmed && self.ping_path.is_some() {
                    tracing::warn!("dockerd says that it is ready, but /_ping has no answer");
                }
                // What the start needed is not needed any more.
                crate::sys::memory::forget_code();
            }
            Action::AnnounceReloading => {
                self.outer.send("RELOADING=1");
                self.status.write("reloading", &self.timeline);
            }
            Action::AnnounceStopping => {
                self.outer.send("STOPPING=1");
                self.status.write("stopping", &self.timeline);
                tracing::info!(
                    "stopping; dockerd has {:.1} s",
                    self.rules.stop_timeout.as_secs_f64()
                );
            }
            Action::ReportDeath(Outcome::Code(code)) => {
                tracing::error!("dockerd ended by itself with exit code {code}");
            }
            Action::ReportDeath(Outcome::Signal(signal)) => {
                tracing::error!("dockerd was killed by signal {signal}");
            }
            Action::ReportKill => {
                tracing::error!(
                    "dockerd did not stop in time and is killed; its state may be stale"
                );
            }
        }
    }

    fn send(&self, signal: i32) {
        // Real-time signals have no name in rustix; the kernel takes any number.
        if let Err(error) = crate::sys::signal::send(self.dockerd, signal) {
            tracing::warn!("signal {signal} to dockerd: {error}");
        }
    }

    fn clean_up(&mut self, code: u8) {
        self.sockets.unlink();
        // A TERM that comes before dockerd has set its handlers kills it: nobody else removes its
        // pid file then. After a clean end nothing is found. Trees are left to the next start,
        // which looks again.
        for left in stale::find(&self.places).iter().filter(|left| !left.tree) {
            if let Err(error) = file::remove(&left.path) {
                tracing::warn!("{}", crate::explain::one_line(&error));
            }
        }
        if let Some(names) = &mut self.names {
            names.stop();
        }
        if let Some(rootless) = &mut self.rootless {
            rootless.stop();
        }
        self.notify.remove();
        self.status.write("ended", &self.timeline);
        tracing::info!("dockerd is gone; exit code {code}");
    }
}

/// Every signal but those that concern only ourselves (S62).
#[must_use]
pub(crate) fn forwardable(signal: i32) -> bool {
    ![libc::SIGCHLD, libc::SIGTTIN, libc::SIGTTOU].contains(&signal)
}
