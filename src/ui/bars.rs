//! Progress bars: the only place that knows indicatif.

use super::console::Console;
use super::report::shortened;
use super::sanitize::printable;
use crate::error::Error;
use crate::fetch::events::Progress;
use crate::model::{DocumentId, locked};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

/// Room for the name, in columns.
const NAME: usize = 32;
/// A bar that gets no bytes still shows that it lives.
const TICK: Duration = Duration::from_millis(250);

/// A bar for the document under way: name, bytes, rate, remaining time.
#[derive(Debug)]
pub struct Bars {
    all: MultiProgress,
    color: bool,
    current: Mutex<Option<ProgressBar>>,
}

impl Bars {
    /// Bars on this console.
    pub fn new(console: &Console, color: bool) -> Self {
        Self {
            all: console.bars().clone(),
            color,
            current: Mutex::default(),
        }
    }

    fn current(&self) -> MutexGuard<'_, Option<ProgressBar>> {
        locked(&self.current)
    }

    fn clear(&self) {
        if let Some(bar) = self.current().take() {
            bar.finish_and_clear();
            self.all.remove(&bar);
        }
    }

    fn style(&self, known: bool) -> ProgressStyle {
        let bar = if self.color {
            "{wide_bar:.cyan/dim}"
        } else {
            "{wide_bar}"
        };
        let template = if known {
            format!(
                "{{msg}} {bar} {{binary_bytes:>10}}/{{binary_total_bytes}} {{binary_bytes_per_sec:>12}} {{eta:>4}} left"
            )
        } else {
            "{msg} {spinner} {binary_bytes:>10} {binary_bytes_per_sec:>12}".to_owned()
        };
        // Room for the `^C` that a terminal echoes: at the edge it would wrap, and stay.
        let template = format!("{template}   \u{1b}[3D");
        ProgressStyle::with_template(&template)
            .unwrap_or_else(|_| ProgressStyle::default_bar())
            .progress_chars("##-")
    }
}

impl Progress for Bars {
    fn started(&self, _id: &DocumentId, name: &str, from: u64, total: Option<u64>) {
        // Not on the screen yet, or what an earlier run brought would count as speed.
        let bar = ProgressBar::hidden();
        bar.set_style(self.style(total.is_some()));
        bar.set_message(shortened(&printable(name), NAME));
        bar.set_length(total.unwrap_or(0));
        bar.set_position(from);
        bar.tick();
        bar.reset_eta();
        let bar = self.all.add(bar);
        bar.tick();
        bar.enable_steady_tick(TICK);
        *self.current() = Some(bar);
    }

    fn moved(&self, position: u64) {
        if let Some(bar) = self.current().as_ref() {
            bar.set_position(position);
        }
    }

    fn finished(&self, _bytes: u64) {
        self.clear();
    }

    fn skipped(&self) {
        self.clear();
    }

    fn failed(&self, _error: &Error) {
        self.clear();
    }
}
