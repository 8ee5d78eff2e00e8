//! Our log lines: the form of dockerd's own, so that one reader of the container's log reads
//! both; or one JSON object a line.

use std::fmt::{self, Write as _};
use std::io::Write as _;
use std::sync::OnceLock;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use crate::cli::environment::Environment;
use crate::explain::{self, Explain};
use crate::sink::Sink;

/// Form of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// dockerd's own.
    Text,
    /// One object.
    Json,
}

/// Our formatter.
#[derive(Debug)]
struct Line(Form);

#[derive(Default)]
struct Message(String);

impl Visit for Message {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let _ = match field.name() {
            "message" => write!(self.0, "{value:?}"),
            name => write!(self.0, " {name}={value:?}"),
        };
    }
}

impl<S, N> FormatEvent<S, N> for Line
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut message = Message::default();
        event.record(&mut message);
        let level = match *event.metadata().level() {
            Level::ERROR => "error",
            Level::WARN => "warning", // dockerd's word
            Level::INFO => "info",
            Level::DEBUG | Level::TRACE => "debug",
        };
        let time = now();
        match self.0 {
            Form::Text => writeln!(
                writer,
                "time={time:?} level={level} msg={:?} module=dind-init",
                message.0
            ),
            Form::Json => {
                let line = serde_json::json!({
                    "time": time, "level": level, "msg": message.0, "module": "dind-init",
                });
                writeln!(writer, "{line}")
            }
        }
    }
}

/// The way to standard error, once [`never_wait`] was called.
static QUEUE: OnceLock<Sink> = OnceLock::new();

/// A standard error that never fails: a full or closed one must not end PID 1.
#[derive(Debug, Clone, Copy)]
pub struct Stderr;

/// A standard output that never fails.
#[derive(Debug, Clone, Copy)]
pub struct Stdout;

impl std::io::Write for Stdout {
    fn write(&mut self, buffer: &[u8]) -> std::io::Result<usize> {
        write_all(rustix::stdio::stdout(), buffer);
        Ok(buffer.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl std::io::Write for Stderr {
    fn write(&mut self, buffer: &[u8]) -> std::io::Result<usize> {
        match QUEUE.get() {
            Some(queue) => queue.put(buffer),
            None => write_all(rustix::stdio::stderr(), buffer),
        }
        Ok(buffer.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Writes what the stream takes and drops the rest.
fn write_all(stream: impl std::os::fd::AsFd, mut buffer: &[u8]) {
    while !buffer.is_empty() {
        match rustix::io::write(&stream, buffer) {
            Ok(count) => buffer = buffer.get(count..).unwrap_or_default(),
            Err(rustix::io::Errno::INTR) => {}
            Err(_) => break,
        }
    }
}

/// From now on lines go through a queue: a reader that stopped reading must not stop PID 1.
pub fn never_wait() -> &'static Sink {
    QUEUE.get_or_init(Sink::open)
}

/// The queue, if there is one.
pub fn queue() -> Option<&'static Sink> {
    QUEUE.get()
}

/// Prints to standard error; what cannot be written is dropped.
pub fn stderr(text: &str) {
    let _ = Stderr.write_all(text.as_bytes());
}

/// Prints to standard output; what cannot be written is dropped.
pub fn stdout(text: &str) {
    stdout_bytes(text.as_bytes());
}

/// Prints what need not be UTF-8, such as a path.
pub fn stdout_bytes(bytes: &[u8]) {
    write_all(rustix::stdio::stdout(), bytes);
}

/// DIND_LOG_LEVEL. The second word is dockerd's for the same.
#[must_use]
pub fn level(word: &str) -> Option<Level> {
    match word {
        "error" => Some(Level::ERROR),
        "warn" | "warning" => Some(Level::WARN),
        "info" => Some(Level::INFO),
        "debug" => Some(Level::DEBUG),
        _ => None,
    }
}

/// DIND_LOG_FORMAT.
#[must_use]
pub fn form(word: &str) -> Option<Form> {
    match word {
        "text" => Some(Form::Text),
        "json" => Some(Form::Json),
        _ => None,
    }
}

/// A word of the environment. What is not understood is refused with all other settings, by
/// `Config::new`; until then there must be a log.
fn word<T>(env: &Environment, name: &str, parse: impl Fn(&str) -> Option<T>) -> Option<T> {
    parse(env.get(name)?.to_str()?)
}

/// Tells a failure: as a frame for people, or as a line of a log that is read by machines.
pub fn failure(env: &Environment, failure: &dyn Explain) {
    if word(env, "DIND_LOG_FORMAT", form) != Some(Form::Json) {
        stderr(&explain::frame(failure));
        return;
    }
    let mut line = serde_json::json!({
        "time": now(),
        "level": "fatal",
        "msg": explain::chain(failure),
        "module": "dind-init",
    });
    if let (Some(line), Some(parts)) = (
        line.as_object_mut(),
        explain::to_json(failure).as_object().cloned(),
    ) {
        line.extend(parts);
    }
    stderr(&format!("{line}\n"));
}

fn now() -> String {
    OffsetDateTime::now_utc()
        .format(&Rfc3339)
        .unwrap_or_default()
}

/// Starts logging as the environment asks; a second call changes nothing.
pub fn start(env: &Environment) {
    let form = word(env, "DIND_LOG_FORMAT", form).unwrap_or(Form::Text);
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(word(env, "DIND_LOG_LEVEL", level).unwrap_or(Level::INFO))
        .log_internal_errors(false) // or a full stderr would end the process
        .with_writer(|| Stderr)
        .event_format(Line(form))
        .finish();
    let _ = tracing::subscriber::set_global_default(subscriber);
}
