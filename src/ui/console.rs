//! Standard error, shared by bars and lines.

use crate::secret::{redact, redact_json};
use crate::text::printable_json;
use indicatif::MultiProgress;
use serde_json::Value;
use std::io::{self, Write as _};

/// Standard error, which bars and lines share.
#[derive(Clone, Debug, Default)]
pub(super) struct Console {
    bars: MultiProgress,
}

impl Console {
    /// Writes text, without secrets and without tearing a bar. A closed standard error is ignored.
    pub(super) fn say(&self, text: &str) {
        self.write(&redact(text));
    }

    /// Writes a line of JSON, without secrets, that cannot move the terminal.
    pub(super) fn say_record(&self, record: &Value) {
        let line = record.to_string();
        self.write(&printable_json(&redact_json(&line)));
    }

    fn write(&self, line: &str) {
        self.without_bars(|| {
            let _ = writeln!(io::stderr().lock(), "{line}");
        });
    }

    /// Does something while no bar is on the screen.
    pub(super) fn without_bars<T>(&self, write: impl FnOnce() -> T) -> T {
        self.bars.suspend(write)
    }

    /// What draws the bars.
    pub(super) fn bars(&self) -> &MultiProgress {
        &self.bars
    }
}
