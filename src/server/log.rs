//! What the process says of itself, on standard error: in what form, how much of which module, and by whom it is
//! written.
//!
//! Both can be changed while it runs. Nobody waits for the reader: lines are written by a thread of their own
//! (`writer`), and a line that finds no room there is dropped and counted.

mod throttle;
mod writer;

use std::fmt;
use std::io::IsTerminal;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::{DefaultFields, Format, Full, Json, Writer as Line};
use tracing_subscriber::fmt::{FmtContext, FormatEvent};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Registry, reload};

use crate::config;
use writer::Writer;

pub use throttle::Throttle;
pub use writer::Usage;

/// How long the last lines may take when the process ends.
const LAST_LINES_TIMEOUT: Duration = Duration::from_secs(1);

/// An executor locks memory for files, for a shard 192 KiB or, where that lies in huge pages, 6 MiB. It says where it cannot
/// have them, and goes on without; a shard opens no files with it.
const HARMLESS: &str = "glommio::sys::uring=error";

static LOG: OnceLock<Log> = OnceLock::new();

struct Log {
    /// As it was written.
    filter: Mutex<String>,
    handle: reload::Handle<EnvFilter, Registry>,
    is_json: Arc<AtomicBool>,
    writer: Writer,
}

/// Writes what is left when it is dropped: the process's last word.
#[must_use]
pub struct LastLines;

/// From here on the process logs.
///
/// # Panics
///
/// If it does already.
pub fn start(config: &config::Log) -> LastLines {
    let (filter, handle) = reload::Layer::new(env_filter(&config.filter));
    let writer = Writer::start(Box::new(std::io::stderr()));
    let is_json = Arc::new(AtomicBool::new(false));
    let lines = tracing_subscriber::fmt::layer()
        .fmt_fields(DefaultFields::new())
        .event_format(Lines {
            is_json: Arc::clone(&is_json),
            text: Format::default().with_target(false),
            json: json(),
        })
        .with_writer(writer.clone())
        // A log that cannot be written is no reason to end: reporting that would panic.
        .log_internal_errors(false)
        .with_ansi(std::io::stderr().is_terminal());
    tracing_subscriber::registry()
        .with(filter)
        .with(lines)
        .init();
    let log = Log {
        filter: Mutex::default(),
        handle,
        is_json,
        writer,
    };
    assert!(LOG.set(log).is_ok(), "there is one log");
    set(config);
    LastLines
}

/// What a filter shows, if it does not say otherwise of the same.
fn env_filter(filter: &str) -> EnvFilter {
    EnvFilter::new(format!("{HARMLESS},{filter}"))
}

/// From here on it logs so.
pub fn set(config: &config::Log) {
    let Some(log) = LOG.get() else { return };
    log.is_json
        .store(config.format == config::LogFormat::Json, Ordering::Relaxed);
    set_filter(&config.filter);
}

/// From here on this is logged; the filter is one that `log.filter` takes.
pub fn set_filter(filter: &str) {
    if let Some(log) = LOG.get() {
        let mut text = log.filter.lock().unwrap_or_else(PoisonError::into_inner);
        filter.clone_into(&mut text);
        // It fails only where the log is gone, which stays for as long as the process does.
        let _ = log.handle.reload(env_filter(filter));
    }
}

/// What is logged, as `log.filter` writes it; empty before the log is started.
pub fn filter() -> String {
    let filter = LOG
        .get()
        .map(|log| log.filter.lock().unwrap_or_else(PoisonError::into_inner));
    filter.map(|filter| filter.clone()).unwrap_or_default()
}

/// Returns when everything is written that was logged so far, or the time is over.
pub fn flush() {
    if let Some(log) = LOG.get() {
        log.writer.flush(LAST_LINES_TIMEOUT);
    }
}

/// How the thread that writes lines does.
pub fn usage() -> Usage {
    LOG.get().map(|log| log.writer.usage()).unwrap_or_default()
}

impl Drop for LastLines {
    fn drop(&mut self) {
        flush();
    }
}

/// Each line in one of two forms.
struct Lines {
    is_json: Arc<AtomicBool>,
    text: Format<Full>,
    json: Format<Json>,
}

/// One object with timestamp, level, target and fields.
fn json() -> Format<Json> {
    Format::default()
        .json()
        .with_current_span(false)
        .with_span_list(false)
}

impl<S> FormatEvent<S, DefaultFields> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, DefaultFields>,
        line: Line<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        match self.is_json.load(Ordering::Relaxed) {
            true => self.json.format_event(context, line, event),
            false => self.text.format_event(context, line, event),
        }
    }
}
