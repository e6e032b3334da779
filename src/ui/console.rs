//! Standard error, shared by bars and lines.

use indicatif::MultiProgress;
use std::io::{self, Write as _};

/// Standard error, which bars and lines share.
#[derive(Clone, Debug, Default)]
pub struct Console {
    bars: MultiProgress,
}

impl Console {
    /// Writes a line without tearing a bar. A closed standard error is nobody's loss.
    pub fn say(&self, line: &str) {
        self.without_bars(|| {
            let _ = writeln!(io::stderr().lock(), "{line}");
        });
    }

    /// Does something while no bar is on the screen.
    pub fn without_bars<T>(&self, write: impl FnOnce() -> T) -> T {
        self.bars.suspend(write)
    }

    /// What draws the bars.
    pub fn bars(&self) -> &MultiProgress {
        &self.bars
    }
}
