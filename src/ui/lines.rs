//! Progress as lines: for people who read a log, and as JSON events for programs.

use super::console::Console;
use super::report::{SoFar, size};
use crate::error::Error;
use crate::fetch::events::{Progress, Watcher};
use crate::model::DocumentId;
use crate::mutex::locked;
use crate::text::printable;
use serde_json::json;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Between two plain lines of one transfer, or of the whole.
const PLAIN: Duration = Duration::from_secs(30);
/// Between two events of one transfer, or of the whole.
const EVENT: Duration = Duration::from_secs(1);

/// What is known of all documents together, where there are many.
#[derive(Debug)]
struct Whole {
    every: Duration,
    known: Mutex<Option<(SoFar, Instant)>>,
}

impl Whole {
    fn new(every: Duration) -> Self {
        Self {
            every,
            known: Mutex::default(),
        }
    }

    fn expect(&self, documents: Option<u64>) {
        let mut known = locked(&self.known);
        match known.as_mut() {
            Some((tally, _)) => tally.total = documents,
            None => *known = Some((SoFar::new(documents), Instant::now())),
        }
    }

    /// Changes it; calls `say` when it is time to say something again.
    fn count(&self, change: impl FnOnce(&mut SoFar), say: impl FnOnce(&SoFar)) {
        if let Some((tally, said)) = locked(&self.known).as_mut() {
            change(tally);
            if said.elapsed() >= self.every {
                *said = Instant::now();
                say(tally);
            }
        }
    }
}

/// A transfer under way.
#[derive(Debug)]
struct Current {
    name: String,
    total: Option<u64>,
    begun: Instant,
    said: Instant,
}

/// The common part of both kinds of lines.
struct One<'a, L> {
    lines: &'a L,
    id: String,
    position: u64,
    current: Option<Current>,
    /// When the check of what an earlier run left was told of last.
    checking: Option<Instant>,
}

impl<'a, L> One<'a, L> {
    fn new(lines: &'a L, id: &DocumentId) -> Self {
        Self {
            lines,
            id: id.as_str().to_owned(),
            position: 0,
            current: None,
            checking: None,
        }
    }

    fn start(&mut self, name: &str, from: u64, total: Option<u64>) {
        let now = Instant::now();
        self.position = from;
        self.current = Some(Current {
            name: name.to_owned(),
            total,
            begun: now,
            said: now,
        });
    }

    /// Whether it is time to tell of the check again, and whether that was told of before.
    fn is_check_due(&mut self, every: Duration) -> Option<bool> {
        let before = self.checking;
        let due = before.is_none_or(|before| before.elapsed() >= every);
        due.then(|| self.checking.replace(Instant::now()).is_some())
    }

    /// Takes note; how many bytes are new, and whether it is time to say something again.
    fn step(&mut self, position: u64, every: Duration) -> (u64, bool) {
        let fresh = position.saturating_sub(self.position);
        self.position = position;
        let due = self.current.as_mut().is_some_and(|current| {
            let due = current.said.elapsed() >= every;
            if due {
                current.said = Instant::now();
            }
            due
        });
        (fresh, due)
    }
}

/// A line at the start, every 30 s, and at the end of what took longer than that; the same of the whole
/// where there are many.
#[derive(Debug)]
pub(super) struct Lines {
    console: Console,
    whole: Whole,
}

impl Lines {
    /// Lines on this console.
    pub(super) fn new(console: Console) -> Self {
        Self {
            console,
            whole: Whole::new(PLAIN),
        }
    }

    fn count(&self, change: impl FnOnce(&mut SoFar)) {
        self.whole.count(change, |tally| {
            self.console.say(&format!("so far: {tally}"));
        });
    }
}

impl Progress for Lines {
    fn expect(&self, documents: Option<u64>) {
        self.whole.expect(documents);
    }

    fn document(&self, id: &DocumentId) -> Box<dyn Watcher + '_> {
        Box::new(One::new(self, id))
    }

    fn ended(&self) {
        self.count(|tally| tally.ended += 1);
    }
}

impl Watcher for One<'_, Lines> {
    fn checking(&mut self, checked: u64, total: u64) {
        let due = self.is_check_due(PLAIN);
        let (id, all) = (printable(&self.id), size(total));
        let line = match due {
            None => return,
            Some(false) => format!("checking the partial of {id} ({all})"),
            Some(true) => format!("checking the partial of {id}: {} of {all}", size(checked)),
        };
        self.lines.console.say(&line);
    }

    fn started(&mut self, name: &str, from: u64, total: Option<u64>) {
        let name = printable(name);
        self.start(&name, from, total);
        let size = total
            .map(|total| format!(" ({})", size(total)))
            .unwrap_or_default();
        self.lines.console.say(&format!("fetching {name}{size}"));
    }

    fn moved(&mut self, position: u64) {
        let (fresh, due) = self.step(position, PLAIN);
        if let Some(current) = self.current.as_ref().filter(|_| due) {
            let amount = match current.total {
                Some(total) => format!("{} of {}", size(position), size(total)),
                None => size(position),
            };
            self.lines
                .console
                .say(&format!("{}: {amount}", current.name));
        }
        self.lines.count(|tally| tally.bytes += fresh);
    }

    fn finished(&mut self, _bytes: u64) {
        if let Some(current) = self.current.take()
            && current.begun.elapsed() >= PLAIN
        {
            let seconds = current.begun.elapsed().as_secs();
            self.lines
                .console
                .say(&format!("fetched {} in {seconds} s", current.name));
        }
    }
}

/// One JSON object a line: `checking` once a second while a large partial is checked, `started`, `progress` once a second, `retrying`, then `finished`,
/// `skipped` or `failed`; `batch` once a second where there are many.
#[derive(Debug)]
pub(super) struct Events {
    console: Console,
    whole: Whole,
}

impl Events {
    /// Events on this console.
    pub(super) fn new(console: Console) -> Self {
        Self {
            console,
            whole: Whole::new(EVENT),
        }
    }

    fn count(&self, change: impl FnOnce(&mut SoFar)) {
        self.whole.count(change, |tally| {
            let record = json!({
                "type": "progress", "event": "batch", "documents": tally.ended,
                "total": tally.total, "bytes": tally.bytes,
            });
            self.console.say_record(&record);
        });
    }
}

impl Progress for Events {
    fn expect(&self, documents: Option<u64>) {
        self.whole.expect(documents);
    }

    fn document(&self, id: &DocumentId) -> Box<dyn Watcher + '_> {
        Box::new(One::new(self, id))
    }

    fn ended(&self) {
        self.count(|tally| tally.ended += 1);
    }
}

impl One<'_, Events> {
    fn say(&self, event: &str, error: Option<&Error>) {
        let Some(current) = &self.current else {
            return;
        };
        let mut record = json!({
            "type": "progress", "event": event, "id": self.id, "name": current.name,
            "bytes": self.position, "total": current.total,
        });
        if let Some(error) = error {
            record["error"] = json!({"code": error.code().as_str(), "message": error.message()});
        }
        self.lines.console.say_record(&record);
    }
}

impl Watcher for One<'_, Events> {
    fn checking(&mut self, checked: u64, total: u64) {
        if self.is_check_due(EVENT).is_some() {
            let record = json!({
                "type": "progress", "event": "checking", "id": self.id,
                "bytes": checked, "total": total,
            });
            self.lines.console.say_record(&record);
        }
    }

    fn started(&mut self, name: &str, from: u64, total: Option<u64>) {
        self.start(name, from, total);
        self.say("started", None);
    }

    fn moved(&mut self, position: u64) {
        let (fresh, due) = self.step(position, EVENT);
        if due {
            self.say("progress", None);
        }
        self.lines.count(|tally| tally.bytes += fresh);
    }

    fn retrying(&mut self, error: &Error) {
        self.say("retrying", Some(error));
    }

    fn finished(&mut self, _bytes: u64) {
        self.say("finished", None);
    }

    fn skipped(&mut self) {
        self.say("skipped", None);
    }

    fn failed(&mut self, error: &Error) {
        self.say("failed", Some(error));
    }
}
