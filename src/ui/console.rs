//! Standard error, which bars and lines share.

use super::error_terminal::ErrorTerminal;
use crate::secret::{redact, redact_json};
use crate::state::streams;
use crate::text::printable_json;
use indicatif::MultiProgress;
use serde_json::Value;

/// Standard error, which bars and lines share.
#[derive(Clone, Debug)]
pub(super) struct Console {
    bars: MultiProgress,
}

impl Default for Console {
    fn default() -> Self {
        let bars = MultiProgress::with_draw_target(ErrorTerminal::draw_target());
        Self { bars }
    }
}

impl Console {
    /// Writes a line without the secrets in it, while no bar is shown. Ignores a closed standard error.
    pub(super) fn say(&self, text: &str) {
        self.write(&redact(text));
    }

    /// Writes a line of JSON without the secrets in it. Control characters are escaped.
    pub(super) fn say_record(&self, record: &Value) {
        let line = record.to_string();
        self.write(&printable_json(&redact_json(&line)));
    }

    fn write(&self, line: &str) {
        self.without_bars(|| {
            let _ = streams::write_stderr(format!("{line}\n").as_bytes());
        });
    }

    /// Calls `write` while no bar is shown.
    pub(super) fn without_bars<T>(&self, write: impl FnOnce() -> T) -> T {
        self.bars.suspend(write)
    }

    /// Draws the bars.
    pub(super) fn bars(&self) -> &MultiProgress {
        &self.bars
    }
}
