//! PID 1 at work: one poll loop that feeds events to [`machine`] and carries its actions out.
//!
//! The border: nothing below may end the process but the machine's own decision. Failures are
//! logged, and the loop goes on.

mod actions;
pub mod budget;
mod containers;
mod death;
mod ending;
pub mod exit_when;
mod greeting;
pub mod idle;
pub mod launch;
mod leaving;
pub mod machine;
pub mod mode;
pub mod mounts;
pub mod names;
pub mod notify;
pub mod output;
pub mod ping;
mod processes;
pub mod reserve;
mod restart;
mod script;
pub mod status;
pub mod status_socket;
mod table;
pub mod timeline;

use std::os::fd::AsFd;
use std::path::PathBuf;
use std::time::Duration;

use nix::sys::signalfd::SignalFd;
use rustix::process::Pid;

use self::death::OomCounter;
use self::ending::Killing;
use self::exit_when::{ExitWatch, Now};
use self::launch::MainCommand;
use self::leaving::Leaving;
use self::machine::{Event, Machine, Millis, Rules, State};
use self::mode::Mode;
use self::mounts::Roots;
use self::notify::{NotifySocket, Outer};
use self::output::Output;
use self::ping::Ping;
use self::reserve::MemoryReserve;
use self::status::StatusFile;
use self::status_socket::StatusSocket;
use self::table::Table;
use self::timeline::Timeline;
use crate::apply::listen::HeldSockets;
use crate::base::explain::{Explain as _, one_line};
use crate::config::lifetime::Drain;
use crate::host::stale::Places;
use crate::log::sink::Sink;
use crate::process::Outcome;
use crate::process::companion::Companion;
use crate::process::rounds::{self, Sources};
use crate::sys::signal;
use crate::sys::watchdog::{self, Doing};
use crate::userns::parent::ParentEvent;

/// Everything that lives while dockerd runs.
pub struct Supervisor {
    pub mode: Mode,
    /// What was started and lives: dockerd, or what holds its namespaces.
    pub dockerd: Option<Pid>,
    /// The API sockets.
    pub sockets: HeldSockets,
    /// The unix socket that we ping.
    pub ping_path: Option<PathBuf>,
    /// Where dockerd speaks to us.
    pub notify: NotifySocket,
    /// What lives beside dockerd and is started again: the forwarder for names.
    pub companions: Vec<Box<dyn Companion>>,
    /// Whoever started us.
    pub outer: Outer,
    /// What `dind-init status` reads.
    pub status: StatusFile,
    /// Who asks for the status while we live.
    pub status_socket: Option<StatusSocket>,
    /// The file that exists while the API answers.
    pub ready_file: PathBuf,
    /// What is kept of our memory for dockerd and what is beside it.
    pub reserve: Option<MemoryReserve>,
    /// Where the reason of our end is left.
    pub termination_log: PathBuf,
    /// The way to standard error.
    pub sink: &'static Sink,
    /// dockerd's standard error, where it is not simply ours.
    pub output: Option<Output>,
    /// The phases of the start.
    pub timeline: Timeline,
    pub machine: Machine,
    /// The machine's rules.
    pub rules: Rules,
    /// What the user said about the time of a stop.
    pub said: budget::Said,
    /// What a stop waits for.
    pub drain: Option<Drain>,
    /// What ends us from outside.
    pub exit_when: ExitWatch,
    /// Our own command.
    pub command: Option<MainCommand>,
    /// Where dockerd works.
    pub roots: Roots,
    /// Where dockerd leaves things.
    pub places: Places,
}

/// What comes and goes while the loop runs.
#[derive(Debug, Default)]
struct Passing {
    ping: Option<Ping>,
    command: Option<Pid>,
    oom: Option<OomCounter>,
    leaving: Leaving,
    /// What lives inside nested containers is being killed.
    killing: Option<Killing>,
    /// When dockerd's containerd must be gone before dockerd is started again.
    start_by: Option<Millis>,
    /// When the drain was last spoken of.
    drain_told: Option<Millis>,
    /// What actions led to.
    events: Vec<Event>,
}

impl Supervisor {
    /// Runs until dockerd is gone; returns our exit code.
    pub fn run(mut self, signals: &SignalFd) -> u8 {
        let mut passing = Passing {
            oom: self.dockerd.map(OomCounter::of),
            ..Passing::default()
        };
        watchdog::answer_on(self.status_socket.as_ref().map(AsFd::as_fd));
        watchdog::log_to(self.sink.as_fd());
        loop {
            for event in self.wait(signals, &mut passing) {
                self.step(event, &mut passing);
            }
            // Last: what happened may have moved it.
            if self
                .machine
                .deadline()
                .is_some_and(|until| until <= self.now())
            {
                self.step(Event::Deadline, &mut passing);
            }
            if let State::Ended { code } = self.machine.state {
                watchdog::turn(Doing::CleanUp);
                self.clean_up(code, &mut passing);
                return code;
            }
        }
    }

    fn step(&mut self, event: Event, passing: &mut Passing) {
        let before = self.machine.state;
        let (machine, actions) = self.machine.clone().step(&self.rules, event, self.now());
        tracing::debug!("{before:?} + {event:?} → {:?} {actions:?}", machine.state);
        self.machine = machine;
        for action in actions {
            watchdog::doing(Doing::Actions);
            self.act(action, passing);
        }
    }

    fn companions(&self) -> impl Iterator<Item = &dyn Companion> {
        let companions = self.companions.iter().map(AsRef::as_ref);
        companions.chain(self.mode.companion())
    }

    fn companions_mut(&mut self) -> impl Iterator<Item = &mut dyn Companion> {
        let companions = self.companions.iter_mut();
        companions
            .map(|one| &mut **one as &mut dyn Companion)
            .chain(self.mode.companion_mut())
    }

    fn now(&self) -> Millis {
        u64::try_from(self.timeline.start().elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Sleeps until something happens, and collects it. Notices come before deaths: dockerd's last
    /// words are older than its end.
    fn wait(&mut self, signals: &SignalFd, passing: &mut Passing) -> Vec<Event> {
        self.sleep(signals, passing);
        if let Some(output) = &mut self.output {
            output.pump();
        }
        if let Some(reserve) = &mut self.reserve {
            watchdog::doing(Doing::Memory);
            reserve.look();
        }
        watchdog::doing(Doing::Status);
        if let Some(socket) = &self.status_socket {
            socket.answer(self.status.reply());
        }
        watchdog::doing(Doing::Notices);
        let mut events: Vec<Event> = std::mem::take(&mut passing.events);
        let notices = self.notify.drain(|sender| {
            let started = self.dockerd;
            started.is_some_and(|started| self.mode.is_dockerd(started, sender))
        });
        events.extend(notices.into_iter().map(Event::Notice));
        if let Some(verdict) = passing.ping.as_mut().and_then(Ping::read) {
            passing.ping = None;
            events.push(match verdict {
                true => Event::PingAnswered,
                false => Event::PingFailed,
            });
        }
        watchdog::doing(Doing::Signals);
        events.extend(signal::forwardable(signals).map(Event::Signal));
        watchdog::doing(Doing::Namespaces);
        self.hear(passing, &mut events);
        watchdog::doing(Doing::Signals);
        self.reap(passing, &mut events);
        watchdog::doing(Doing::Containers);
        events.extend(self.containers_read(passing));
        self.go_on_killing(passing);
        events.extend(self.left(passing));
        self.start_when_possible(passing);
        let now = Now {
            at: self.now(),
            ready: self.machine.state == State::Ready,
            dockerd: self.dockerd,
        };
        if !matches!(
            self.machine.state,
            State::Leaving { .. } | State::Stopping { .. }
        ) && let Some(reason) = self.exit_when.look(now)
        {
            tracing::info!("DIND_EXIT_WHEN: {reason}");
            events.push(Event::ExitWhen);
        }
        events
    }

    fn sleep(&self, signals: &SignalFd, passing: &Passing) {
        let soon = |needed: bool| needed.then(|| self.now() + 50);
        let at = [
            self.machine.deadline(),
            self.exit_when.look_at(),
            passing.killing.as_ref().map(Killing::look_at),
            soon(passing.leaving.must_look_again() || passing.start_by.is_some()),
            (!passing.events.is_empty() || passing.leaving.is_fresh()).then_some(0),
        ];
        let mut sources = Sources::new(signals);
        for at in at.into_iter().flatten() {
            let after = Duration::from_millis(at);
            sources.until(self.timeline.start().checked_add(after));
        }
        sources.until(self.reserve.as_ref().map(MemoryReserve::deadline));
        sources.read([self.notify.as_fd()]);
        sources.read(passing.ping.iter().map(AsFd::as_fd));
        sources.read(self.status_socket.iter().map(AsFd::as_fd));
        sources.read(self.output.iter().filter_map(Output::reader));
        sources.read(passing.leaving.fds());
        sources.read(passing.killing.iter().flat_map(Killing::fds));
        sources.read(self.exit_when.fds());
        sources.look_after(self.companions());
        sources.sleep(Doing::Output);
    }

    /// Companions do their work, and one of them may know what became of dockerd.
    fn hear(&mut self, passing: &mut Passing, events: &mut Vec<Event>) {
        for companion in self.companions_mut() {
            companion.work();
        }
        for news in self.mode.news() {
            match news {
                ParentEvent::Running(dockerd) => self.runs_again(dockerd),
                ParentEvent::Ended(outcome) if self.dockerd.take().is_some() => {
                    events.push(self.ended(outcome, passing));
                }
                ParentEvent::Ended(_) => {}
                ParentEvent::NotStarted(error) => {
                    self.dockerd = None;
                    tracing::error!("{}", one_line(&error));
                    events.push(Event::StartFailed(error.exit_code()));
                }
            }
        }
    }

    fn ended(&mut self, outcome: Outcome, passing: &mut Passing) -> Event {
        passing.ping = None;
        self.status.status.dockerd = None;
        let transient = self.tell_death(outcome, passing);
        Event::DockerdEnded { outcome, transient }
    }

    /// Reaps everything that is dead; says so when dockerd or our command is among it.
    fn reap(&mut self, passing: &mut Passing, events: &mut Vec<Event>) {
        for (pid, status) in rounds::reap(self.companions_mut()) {
            if Some(pid) == passing.command {
                passing.command = None;
                events.push(Event::CommandEnded(Outcome::from(status).exit_code()));
            }
            if Some(pid) == self.dockerd {
                self.dockerd = None;
                events.push(self.ended(status.into(), passing));
            }
        }
    }

    fn clean_up(&mut self, code: u8, passing: &mut Passing) {
        if let Some(killing) = passing.killing.take() {
            killing.end().tell();
        }
        if let Some(left) = passing.leaving.survivors() {
            tracing::error!("processes cannot be ended and are left behind: {left}");
        }
        self.sockets.unlink();
        self.remove_ready_file();
        for companion in self.companions_mut() {
            companion.stop();
        }
        if Table::read().is_empty_inside() {
            mounts::remove(&self.roots);
        }
        launch::remove_stale(&self.places);
        self.notify.remove();
        watchdog::answer_on(None);
        if let Some(socket) = &self.status_socket {
            socket.remove();
        }
        self.set_status("ended");
        if let Some(output) = &mut self.output {
            output.finish();
        }
        if code != 0 {
            self.leave_message();
        }
        tracing::info!("dockerd is gone; exit code {code}");
        self.sink.finish();
    }
}
