//! Errors and log messages on standard error.

use super::console::Console;
use crate::error::Error;
use crate::fetch::outcome::ErrorRecord;
use crate::text::printable;
use log::{Level, LevelFilter, Log, Metadata, Record};
use serde_json::{Value, json};

/// Starts bold text on a terminal.
pub(super) const BOLD: &str = "\u{1b}[1m";

/// An error in three lines at most: what failed, why, and what the user can do. `subject` is the id of a
/// document; an error that names the document itself is shown without that.
pub(super) fn describe(error: &Error, subject: Option<&str>, color: bool) -> String {
    let label = paint("error:", "\u{1b}[1;31m", color);
    let subject = subject
        .filter(|_| !error.names_document())
        .map(|id| format!("{}: ", printable(id)))
        .unwrap_or_default();
    let mut text = format!("{label} {subject}{}", printable(error.what()));
    for (label, line) in [("why", error.cause()), ("hint", Some(error.hint()))] {
        if let Some(line) = line {
            let label = paint(&format!("{label}:"), "\u{1b}[2m", color);
            text.push_str(&format!("\n  {label} {}", printable(line)));
        }
    }
    text
}

/// An error as an event of `--progress json`.
pub(super) fn event(error: &Error, subject: Option<&str>) -> Value {
    json!({"type": "error", "id": subject, "error": ErrorRecord::from(error)})
}

/// Text within the escape sequence `style`, if `color`.
pub(super) fn paint(text: &str, style: &str, color: bool) -> String {
    if color {
        format!("{style}{text}\u{1b}[0m")
    } else {
        text.to_owned()
    }
}

/// Shows log messages: warnings, and with `-v` requests, attempts and decisions. With `-q` it shows only those
/// of the level `error`: docfetch logs at that level that a request may cost money.
#[derive(Debug)]
pub(super) struct Logger {
    console: Console,
    json: bool,
}

impl Logger {
    /// Starts to show the messages of docfetch. Those of other crates are never shown: they contain whole URLs.
    pub(super) fn install(console: Console, quiet: bool, verbose: bool, json: bool) {
        let level = match (quiet, verbose) {
            (true, _) => LevelFilter::Error,
            (_, true) => LevelFilter::Info,
            _ => LevelFilter::Warn,
        };
        if log::set_boxed_logger(Box::new(Self { console, json })).is_ok() {
            log::set_max_level(level);
        }
    }
}

impl Log for Logger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("docfetch")
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        if self.json {
            let level = record.level().as_str().to_lowercase();
            let message = record.args().to_string();
            let record = json!({"type": "log", "level": level, "message": message});
            return self.console.say_record(&record);
        }
        let label = if record.level() <= Level::Warn {
            "warning:"
        } else {
            "*"
        };
        let text = record.args().to_string();
        self.console.say(&format!("{label} {}", printable(&text)));
    }

    fn flush(&self) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Code;

    #[test]
    fn an_error_is_what_why_and_hint() {
        let error = Error::new(Code::NotFound, "no\u{1b}[2J such")
            .with_cause("HTTP 404")
            .with_hint("look");
        assert_eq!(
            describe(&error, None, false),
            "error: no\\u{1b}[2J such\n  why: HTTP 404\n  hint: look"
        );
        assert!(describe(&error, Some("7"), true).starts_with("\u{1b}[1;31merror:\u{1b}[0m 7: no"));
        let naming = error.naming_document();
        assert!(describe(&naming, Some("7"), false).starts_with("error: no"));
    }
}
