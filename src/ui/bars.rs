//! Progress bars: the only place that knows indicatif.

use super::console::Console;
use super::report::{SoFar, shortened};
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

/// Columns of a terminal that does not tell.
const COLUMNS: usize = 80;
/// Below this there is no room for a bar.
const NARROW: usize = 72;
/// What a narrow line needs beside the name.
const NUMBERS: usize = 26;
/// A bar that gets no bytes still shows that it lives.
const TICK: Duration = Duration::from_millis(250);
/// Between two changes of the line for the whole.
const WHOLE: Duration = Duration::from_millis(100);
/// Lines of the terminal that are left to others: messages, the line for the whole, the cursor.
const OTHERS: usize = 3;
/// As many bars where the terminal does not tell its size.
const USUAL: usize = 20;

/// A bar for each document under way: name, bytes, rate, remaining time; and a line for the whole where
/// there are many.
#[derive(Debug)]
pub(super) struct Bars {
    all: MultiProgress,
    color: bool,
    room: usize,
    columns: usize,
    shown: AtomicUsize,
    whole: Mutex<Option<Whole>>,
}

#[derive(Debug)]
struct Whole {
    bar: ProgressBar,
    tally: SoFar,
    changed: Instant,
}

impl Whole {
    fn show(&mut self) {
        self.changed = Instant::now();
        self.bar.set_message(self.tally.to_string());
    }
}

impl Bars {
    /// Bars on this console, which has so many rows and columns.
    pub(super) fn new(console: &Console, color: bool, size: Option<(usize, usize)>) -> Self {
        Self {
            all: console.bars().clone(),
            color,
            room: size.map_or(USUAL, |(rows, _)| rows.saturating_sub(OTHERS).max(1)),
            columns: size.map_or(COLUMNS, |(_, columns)| columns),
            shown: AtomicUsize::new(0),
            whole: Mutex::default(),
        }
    }

    /// `last` on the screen, with the cursor behind it.
    fn style(&self, known: bool, last: bool) -> ProgressStyle {
        let bar = if self.color {
            "{wide_bar:.cyan/dim}"
        } else {
            "{wide_bar}"
        };
        let template = if self.columns < NARROW {
            "{msg} {binary_bytes:>10}/{binary_total_bytes}".to_owned()
        } else if known {
            format!(
                "{{msg}} {bar} {{binary_bytes:>10}}/{{binary_total_bytes}} {{binary_bytes_per_sec:>12}} {{eta:>4}} left"
            )
        } else {
            "{msg} {spinner} {binary_bytes:>10} {binary_bytes_per_sec:>12}".to_owned()
        };
        // Room for the `^C` that a terminal echoes: at the edge it would wrap, and stay.
        let room = if last { "   \u{1b}[3D" } else { "" };
        with_template(&format!("{template}{room}")).progress_chars("##-")
    }

    /// Room for the name, in columns.
    fn name(&self) -> usize {
        if self.columns < NARROW {
            self.columns.saturating_sub(NUMBERS).max(8)
        } else {
            self.columns / 3
        }
    }

    /// Changes what is known of the whole; shows it now and then, or at once.
    fn count(&self, at_once: bool, change: impl FnOnce(&mut SoFar)) {
        if let Some(whole) = locked(&self.whole).as_mut() {
            change(&mut whole.tally);
            if at_once || whole.changed.elapsed() >= WHOLE {
                whole.show();
            }
        }
    }
}

fn with_template(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

impl Progress for Bars {
    fn expect(&self, documents: Option<u64>) {
        let mut whole = locked(&self.whole);
        if let Some(whole) = whole.as_mut() {
            whole.tally.total = documents;
            return;
        }
        let bar = self.all.add(ProgressBar::new_spinner());
        bar.set_style(with_template("{msg}"));
        let mut new = Whole {
            bar,
            tally: SoFar::new(documents),
            changed: Instant::now(),
        };
        new.show();
        if blocking::can_start_thread() {
            new.bar.enable_steady_tick(TICK);
        }
        *whole = Some(new);
    }

    fn document(&self, _id: &DocumentId) -> Box<dyn Watcher + '_> {
        Box::new(OneBar {
            bars: self,
            bar: None,
            position: 0,
        })
    }

    fn ended(&self) {
        self.count(true, |tally| tally.ended += 1);
    }
}

impl Drop for Bars {
    fn drop(&mut self) {
        if let Some(whole) = locked(&self.whole).take() {
            whole.bar.finish_and_clear();
            self.all.remove(&whole.bar);
        }
    }
}

struct OneBar<'a> {
    bars: &'a Bars,
    bar: Option<ProgressBar>,
    position: u64,
}

impl Watcher for OneBar<'_> {
    fn checking(&mut self, checked: u64, total: u64) {
        if self.bar.is_none() {
            self.show("checking the partial", 0, Some(total));
        }
        if let Some(bar) = &self.bar {
            bar.set_position(checked);
        }
    }

    fn started(&mut self, name: &str, from: u64, total: Option<u64>) {
        self.clear(); // what was checked
        self.position = from;
        self.show(&printable(name), from, total);
    }

    fn moved(&mut self, position: u64) {
        if let Some(bar) = &self.bar {
            bar.set_position(position);
        }
        let fresh = position.saturating_sub(self.position);
        self.position = position;
        self.bars.count(false, |tally| tally.bytes += fresh);
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

impl OneBar<'_> {
    /// Shows a bar, where there is room.
    fn show(&mut self, name: &str, from: u64, total: Option<u64>) {
        if self.bars.shown.load(Ordering::Relaxed) >= self.bars.room {
            return; // it counts in the line for the whole
        }
        self.bars.shown.fetch_add(1, Ordering::Relaxed);
        let whole = locked(&self.bars.whole);
        // Not on the screen yet, or what an earlier run brought would count as speed.
        let bar = ProgressBar::hidden();
        bar.set_style(self.bars.style(total.is_some(), whole.is_none()));
        bar.set_message(shortened(name, self.bars.name()));
        bar.set_length(total.unwrap_or(0));
        bar.set_position(from);
        bar.tick();
        bar.reset_eta();
        let bar = match whole.as_ref() {
            Some(whole) => self.bars.all.insert_before(&whole.bar, bar),
            None => self.bars.all.add(bar),
        };
        bar.tick();
        if blocking::can_start_thread() {
            bar.enable_steady_tick(TICK);
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

impl Drop for OneBar<'_> {
    fn drop(&mut self) {
        self.clear();
    }
}
