//! Progress bars. Only this file, the console and its terminal use indicatif.

use super::batch_progress::{BatchProgress, DocumentShare};
use super::console::Console;
use super::lines::resuming;
use super::text_width::shortened_name;
use crate::error::Error;
use crate::fetch::events::{Progress, Watcher};
use crate::model::DocumentId;
use crate::mutex::locked;
use crate::state::blocking;
use crate::text::{printable, size};
use indicatif::{HumanDuration, MultiProgress, ProgressBar, ProgressState, ProgressStyle};
use std::fmt;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// The columns of a terminal that does not tell its size.
const DEFAULT_COLUMNS: usize = 80;
/// A terminal with fewer columns shows no bars, only names and numbers.
const MIN_BAR_COLUMNS: usize = 72;
/// A terminal with fewer columns shows how much of a document arrived in percent only.
const MIN_TOTAL_COLUMNS: usize = 60;
/// A terminal with fewer columns shows no rate.
const MIN_RATE_COLUMNS: usize = 42;
/// The columns that stay free at the right edge.
const MARGIN_COLUMNS: usize = 3;
/// The most columns of a name beside a bar, as a part of all columns.
const MAX_NAME_PART: usize = 3;
/// Leaves columns at the end of the last line for the `^C` that a terminal echoes, and moves the cursor there. At
/// the edge, `^C` would go to the next line, and the terminal would keep the first line of the bars.
const ECHO_MARGIN: &str = "   \u{1b}[3D";
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
    console: Console,
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
    /// The columns for the line.
    columns: usize,
    progress: BatchProgress,
    changed: Instant,
}

impl BatchLine {
    fn show(&mut self) {
        self.changed = Instant::now();
        self.bar.set_message(self.progress.fitting(self.columns));
    }
}

impl Bars {
    /// Bars on this console; `size` is the rows and columns of its terminal.
    pub(super) fn new(console: &Console, color: bool, size: Option<(usize, usize)>) -> Self {
        // Otherwise, indicatif asks standard output whether the bars on standard error have colours.
        ::console::set_colors_enabled(color);
        Self {
            console: console.clone(),
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

    /// The style of a bar. `is_last` says whether the cursor follows the bar.
    fn style(&self, layout: BarLayout, is_last: bool) -> ProgressStyle {
        let bar = if self.color {
            "{wide_bar:.cyan/dim}"
        } else {
            "{wide_bar}"
        };
        let template = layout.template().replace("{wide_bar}", bar);
        let margin = if is_last { ECHO_MARGIN } else { "" };
        with_template(&format!("{template}{margin}")).progress_chars("##-")
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

/// What the line of a document shows besides the name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum BarLayout {
    /// A bar, the bytes of all bytes, the rate and the remaining time.
    Bar,
    /// The percentage, the length, the rate and the remaining time.
    Total,
    /// The percentage, the rate and the remaining time.
    Rate,
    /// The percentage and the remaining time.
    Percent,
    /// For a document of unknown length: the bytes and the rate.
    UnknownTotal,
    /// For a document of unknown length: the bytes.
    UnknownBytes,
}

impl BarLayout {
    /// The layout that fits into a terminal with so many columns.
    fn of(columns: usize, has_total: bool) -> Self {
        match (columns, has_total) {
            (MIN_RATE_COLUMNS.., false) => Self::UnknownTotal,
            (_, false) => Self::UnknownBytes,
            (MIN_BAR_COLUMNS.., true) => Self::Bar,
            (MIN_TOTAL_COLUMNS.., true) => Self::Total,
            (MIN_RATE_COLUMNS.., true) => Self::Rate,
            (_, true) => Self::Percent,
        }
    }

    fn template(self) -> &'static str {
        match self {
            Self::Bar => {
                "{msg} {wide_bar} {binary_bytes:>10}/{binary_total_bytes} {binary_bytes_per_sec:>12} {remaining:>4} left"
            }
            Self::Total => {
                "{msg} {percent:>3}% of {binary_total_bytes:>10} {binary_bytes_per_sec:>12} {remaining:>4} left"
            }
            Self::Rate => "{msg} {percent:>3}% {binary_bytes_per_sec:>12} {remaining:>4} left",
            Self::Percent => "{msg} {percent:>3}% {remaining:>4} left",
            Self::UnknownTotal => "{msg} {spinner} {binary_bytes:>10} {binary_bytes_per_sec:>12}",
            Self::UnknownBytes => "{msg} {binary_bytes:>10}",
        }
    }

    /// The columns of everything but the name and the bar.
    fn number_columns(self) -> usize {
        match self {
            Self::Bar => 47,
            Self::Total => 42,
            Self::Rate => 28,
            Self::Percent => 15,
            Self::UnknownTotal => 26,
            Self::UnknownBytes => 11,
        }
    }

    /// The columns for the name.
    fn name_columns(self, columns: usize) -> usize {
        let free = columns.saturating_sub(self.number_columns() + MARGIN_COLUMNS);
        match self {
            Self::Bar => (free * 2 / 3).min(columns / MAX_NAME_PART),
            _ => free,
        }
    }
}

fn with_template(template: &str) -> ProgressStyle {
    let style = ProgressStyle::with_template(template);
    let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
    style.with_key("remaining", write_remaining_time)
}

/// Writes the time until all bytes are there; a dash before the first of them.
fn write_remaining_time(state: &ProgressState, text: &mut dyn fmt::Write) {
    let written = if state.per_sec() > 0.0 {
        write!(text, "{:#}", HumanDuration(state.eta()))
    } else {
        text.write_char('-')
    };
    written.unwrap_or_default();
}

impl Progress for Bars {
    fn expect(&self, documents: Option<u64>) {
        let mut batch = locked(&self.batch);
        if let Some(batch) = batch.as_mut() {
            batch.progress.total = documents;
            return;
        }
        let bar = self.all.add(ProgressBar::new_spinner());
        bar.set_style(with_template(&format!("{{wide_msg}}{ECHO_MARGIN}")));
        let mut new = BatchLine {
            bar,
            columns: self.columns.saturating_sub(MARGIN_COLUMNS),
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
            share: DocumentShare::default(),
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
    share: DocumentShare,
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
        let share = &mut self.share;
        self.bars
            .count(false, |progress| share.start(progress, from, total));
        let name = printable(name);
        if from > 0 {
            let (from, total) = (size(from), total.map(size));
            self.bars
                .console
                .say(&resuming(&name, &from, total.as_deref()));
        }
        self.show(&name, from, total);
    }

    fn moved(&mut self, position: u64) {
        if let Some(bar) = &self.bar {
            bar.set_position(position);
        }
        let share = &mut self.share;
        self.bars
            .count(false, |progress| share.step(progress, position));
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
        let columns = self.bars.columns;
        let layout = BarLayout::of(columns, total.is_some());
        bar.set_style(self.bars.style(layout, batch.is_none()));
        bar.set_message(shortened_name(name, layout.name_columns(columns)));
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
        let share = &mut self.share;
        self.bars.count(false, |progress| share.end(progress));
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
