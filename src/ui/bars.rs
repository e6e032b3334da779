//! Progress bars. Only this file and the console use indicatif.

use super::batch_progress::BatchProgress;
use super::console::Console;
use super::text_width::shortened;
use crate::error::Error;
use crate::fetch::events::{Progress, Watcher};
use crate::model::DocumentId;
use crate::mutex::locked;
use crate::state::blocking;
use crate::text::printable;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// The columns of a terminal that does not tell its size.
const DEFAULT_COLUMNS: usize = 80;
/// A terminal with fewer columns has no bars, only numbers.
const MIN_BAR_COLUMNS: usize = 72;
/// The columns for the numbers of a line without a bar.
const NUMBER_COLUMNS: usize = 26;
/// How often a bar is drawn that gets no bytes.
const TICK_INTERVAL: Duration = Duration::from_millis(250);
/// How often the line of the batch changes.
const BATCH_INTERVAL: Duration = Duration::from_millis(100);
/// The rows of the terminal without bars: for messages, the line of the batch and the cursor.
const OTHER_ROWS: usize = 3;
/// How many bars a terminal shows that does not tell its size.
const DEFAULT_MAX_BARS: usize = 20;

/// A bar for each document that is fetched, with name, bytes, rate and remaining time. For many documents,
/// also a line about the batch.
#[derive(Debug)]
pub(super) struct Bars {
    all: MultiProgress,
    color: bool,
    capacity: usize,
    columns: usize,
    shown: AtomicUsize,
    batch: Mutex<Option<BatchLine>>,
}

/// The line about the batch.
#[derive(Debug)]
struct BatchLine {
    bar: ProgressBar,
    progress: BatchProgress,
    changed: Instant,
}

impl BatchLine {
    fn show(&mut self) {
        self.changed = Instant::now();
        self.bar.set_message(self.progress.to_string());
    }
}

impl Bars {
    /// Bars on this console; `size` is the rows and columns of its terminal.
    pub(super) fn new(console: &Console, color: bool, size: Option<(usize, usize)>) -> Self {
        Self {
            all: console.bars().clone(),
            color,
            capacity: size.map_or(DEFAULT_MAX_BARS, |(rows, _)| {
                rows.saturating_sub(OTHER_ROWS).max(1)
            }),
            columns: size.map_or(DEFAULT_COLUMNS, |(_, columns)| columns),
            shown: AtomicUsize::new(0),
            batch: Mutex::default(),
        }
    }

    /// The style of a bar. `has_total` says whether the length of the document is known, `is_last` whether the
    /// cursor follows the bar.
    fn style(&self, has_total: bool, is_last: bool) -> ProgressStyle {
        let bar = if self.color {
            "{wide_bar:.cyan/dim}"
        } else {
            "{wide_bar}"
        };
        let template = if self.columns < MIN_BAR_COLUMNS {
            "{msg} {binary_bytes:>10}/{binary_total_bytes}".to_owned()
        } else if has_total {
            format!(
                "{{msg}} {bar} {{binary_bytes:>10}}/{{binary_total_bytes}} {{binary_bytes_per_sec:>12}} {{eta:>4}} left"
            )
        } else {
            "{msg} {spinner} {binary_bytes:>10} {binary_bytes_per_sec:>12}".to_owned()
        };
        // Leave columns for the `^C` that a terminal echoes. At the edge, `^C` would move to the next line and
        // stay there.
        let margin = if is_last { "   \u{1b}[3D" } else { "" };
        with_template(&format!("{template}{margin}")).progress_chars("##-")
    }

    /// The columns for the name.
    fn name_columns(&self) -> usize {
        if self.columns < MIN_BAR_COLUMNS {
            self.columns.saturating_sub(NUMBER_COLUMNS).max(8)
        } else {
            self.columns / 3
        }
    }

    /// Changes the progress of the batch. Shows it at most every 100 ms, or `at_once`.
    fn count(&self, at_once: bool, change: impl FnOnce(&mut BatchProgress)) {
        if let Some(batch) = locked(&self.batch).as_mut() {
            change(&mut batch.progress);
            if at_once || batch.changed.elapsed() >= BATCH_INTERVAL {
                batch.show();
            }
        }
    }
}

fn with_template(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

impl Progress for Bars {
    fn expect(&self, documents: Option<u64>) {
        let mut batch = locked(&self.batch);
        if let Some(batch) = batch.as_mut() {
            batch.progress.total = documents;
            return;
        }
        let bar = self.all.add(ProgressBar::new_spinner());
        bar.set_style(with_template("{msg}"));
        let mut new = BatchLine {
            bar,
            progress: BatchProgress::new(documents),
            changed: Instant::now(),
        };
        new.show();
        if blocking::can_start_thread() {
            new.bar.enable_steady_tick(TICK_INTERVAL);
        }
        *batch = Some(new);
    }

    fn document(&self, _id: &DocumentId) -> Box<dyn Watcher + '_> {
        Box::new(DocumentBar {
            bars: self,
            bar: None,
            position: 0,
        })
    }

    fn ended(&self) {
        self.count(true, |progress| progress.ended += 1);
    }
}

impl Drop for Bars {
    fn drop(&mut self) {
        if let Some(batch) = locked(&self.batch).take() {
            batch.bar.finish_and_clear();
            self.all.remove(&batch.bar);
        }
    }
}

struct DocumentBar<'a> {
    bars: &'a Bars,
    bar: Option<ProgressBar>,
    position: u64,
}

impl Watcher for DocumentBar<'_> {
    fn checking(&mut self, checked: u64, total: u64) {
        if self.bar.is_none() {
            self.show("checking the partial", 0, Some(total));
        }
        if let Some(bar) = &self.bar {
            bar.set_position(checked);
        }
    }

    fn started(&mut self, name: &str, from: u64, total: Option<u64>) {
        self.clear(); // the bar of the check
        self.position = from;
        self.show(&printable(name), from, total);
    }

    fn moved(&mut self, position: u64) {
        if let Some(bar) = &self.bar {
            bar.set_position(position);
        }
        let new_bytes = position.saturating_sub(self.position);
        self.position = position;
        self.bars
            .count(false, |progress| progress.bytes += new_bytes);
    }

    fn finished(&mut self, _bytes: u64) {
        self.clear();
    }

    fn skipped(&mut self) {
        self.clear();
    }

    fn failed(&mut self, _error: &Error) {
        self.clear();
    }
}

impl DocumentBar<'_> {
    /// Shows a bar, unless the terminal shows the most already. The line of the batch counts the document in any
    /// case.
    fn show(&mut self, name: &str, from: u64, total: Option<u64>) {
        if self.bars.shown.load(Ordering::Relaxed) >= self.bars.capacity {
            return;
        }
        self.bars.shown.fetch_add(1, Ordering::Relaxed);
        let batch = locked(&self.bars.batch);
        // The bar is hidden until its position is set. Otherwise the bytes of an earlier run count as speed.
        let bar = ProgressBar::hidden();
        bar.set_style(self.bars.style(total.is_some(), batch.is_none()));
        bar.set_message(shortened(name, self.bars.name_columns()));
        bar.set_length(total.unwrap_or(0));
        bar.set_position(from);
        bar.tick();
        bar.reset_eta();
        let bar = match batch.as_ref() {
            Some(batch) => self.bars.all.insert_before(&batch.bar, bar),
            None => self.bars.all.add(bar),
        };
        bar.tick();
        if blocking::can_start_thread() {
            bar.enable_steady_tick(TICK_INTERVAL);
        }
        self.bar = Some(bar);
    }

    fn clear(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
            self.bars.all.remove(&bar);
            self.bars.shown.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Drop for DocumentBar<'_> {
    fn drop(&mut self) {
        self.clear();
    }
}
