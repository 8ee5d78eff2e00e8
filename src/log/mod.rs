//! Our log lines: the form of dockerd's own, so that one reader of the container's log reads
//! both; or one JSON object a line.

pub mod sink;

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

use crate::base::explain::{self, Explain};
use crate::base::printable::lines;
use crate::log::sink::Sink;

/// Form of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// dockerd's own.
    Text,
    /// One object.
    Json,
}

/// How many bytes of a message are shown: what others wrote may be in it.
const LONGEST: usize = 16 * 1024;

/// Our formatter.
#[derive(Debug)]
struct Line(Form);

#[derive(Default)]
struct Message(String);

impl Message {
    fn shorten(&mut self) {
        let length = self.0.len();
        if length > LONGEST {
            let fits = |end: &usize| self.0.is_char_boundary(*end);
            self.0.truncate((0..=LONGEST).rev().find(fits).unwrap_or(0));
            let _ = write!(self.0, "… ({length} bytes)");
        }
    }
}

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
        message.shorten();
        let level = match *event.metadata().level() {
            Level::ERROR => "error",
            Level::WARN => "warning", // dockerd's word
            Level::INFO => "info",
            Level::DEBUG | Level::TRACE => "debug",
        };
        let time = now();
        match self.0 {
            // `{:?}` escapes whatever is no text (crate::base::printable has the reason).
            Form::Text => writeln!(
                writer,
                "time={time:?} level={level} msg={:?} module=dind-init",
                message.0
            ),
            Form::Json => {
                let line = crate::base::printable::json(&serde_json::json!({
                    "time": time, "level": level, "msg": message.0, "module": "dind-init",
                }));
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
        write_all(rustix::stdio::stdout(), &lines(buffer));
        Ok(buffer.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl std::io::Write for Stderr {
    fn write(&mut self, buffer: &[u8]) -> std::io::Result<usize> {
        let text = lines(buffer);
        match QUEUE.get() {
            Some(queue) => queue.put(&text),
            None => write_all(rustix::stdio::stderr(), &text),
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

/// Prints lines to standard error; what cannot be written is dropped.
pub fn stderr(text: &str) {
    let _ = Stderr.write_all(text.as_bytes());
}

/// Prints lines to standard output; what cannot be written is dropped.
pub fn stdout(text: &str) {
    let _ = Stdout.write_all(text.as_bytes());
}

/// Prints what a shell reads, byte by byte.
pub fn stdout_for_shell(bytes: &[u8]) {
    write_all(rustix::stdio::stdout(), bytes);
}

/// DIND_LOG_LEVEL. The second word is dockerd's for the same.
pub(crate) fn level(word: &str) -> Option<Level> {
    match word {
        "error" => Some(Level::ERROR),
        "warn" | "warning" => Some(Level::WARN),
        "info" => Some(Level::INFO),
        "debug" => Some(Level::DEBUG),
        _ => None,
    }
}

/// The form of the lines, once [`start`] was called.
static FORM: OnceLock<Form> = OnceLock::new();

/// Whether the user asked for JSON.
#[must_use]
pub fn wants_json() -> bool {
    FORM.get() == Some(&Form::Json)
}

/// Tells a failure: as a frame for people, or as a line of a log that is read by machines.
pub fn failure(failure: &dyn Explain) {
    if !wants_json() {
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

/// Starts logging as the settings ask; a second call changes nothing. What is not understood is
/// refused with all other settings, by `Config::new`; until then there must be a log.
pub fn start(level: Level, form: Form) {
    let form = *FORM.get_or_init(|| form);
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(level)
        .log_internal_errors(false) // or a full stderr would end the process
        .with_writer(|| Stderr)
        .event_format(Line(form))
        .finish();
    let _ = tracing::subscriber::set_global_default(subscriber);
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl std::io::Write for Kept {
        fn write(&mut self, buffer: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend(buffer);
            Ok(buffer.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn logged(form: Form, message: &str) -> String {
        let kept = Kept::default();
        let writer = kept.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_writer(move || writer.clone())
            .event_format(Line(form))
            .finish();
        tracing::subscriber::with_default(subscriber, || tracing::warn!("{message}"));
        let bytes = kept.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn what_others_wrote_stays_one_line_of_text_in_both_forms() {
        let hostile = "/a\u{1b}]0;x\u{7}\nerror: forged\u{9b}2J\u{202e}\u{7f}é";
        for form in [Form::Text, Form::Json] {
            let line = logged(form, hostile);
            let text = line.strip_suffix('\n').unwrap();
            let bad = |c: char| c.is_control() || c == '\u{202e}';
            assert!(!text.contains(bad) && text.contains('é'), "{text}");
        }
        let json: serde_json::Value = serde_json::from_str(&logged(Form::Json, hostile)).unwrap();
        assert_eq!(json["msg"], hostile);
        let long = logged(Form::Text, &"é".repeat(LONGEST));
        assert!(long.len() < LONGEST + 200 && long.contains("(32768 bytes)"));
    }
}
