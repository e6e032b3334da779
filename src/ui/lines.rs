//! Progress as lines: sentences for people who read a log, and JSON events for programs.

use super::batch_progress::{BatchProgress, DocumentShare};
use super::console::Console;
use crate::error::Error;
use crate::fetch::events::{Progress, Watcher};
use crate::model::DocumentId;
use crate::mutex::locked;
use crate::text::{printable, size};
use serde_json::json;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Between two sentences about the same transfer, or about the batch.
const PLAIN_INTERVAL: Duration = Duration::from_secs(30);
/// Between two events of the same transfer, or of the batch.
const EVENT_INTERVAL: Duration = Duration::from_secs(1);

/// The progress of a batch, which is reported at most once in each interval.
#[derive(Debug)]
struct BatchReporter {
    interval: Duration,
    /// The progress, and when it was reported last. `None` when there is only one document.
    progress: Mutex<Option<(BatchProgress, Instant)>>,
}

impl BatchReporter {
    fn new(interval: Duration) -> Self {
        Self {
            interval,
            progress: Mutex::default(),
        }
    }

    fn expect(&self, documents: Option<u64>) {
        let mut known = locked(&self.progress);
        match known.as_mut() {
            Some((progress, _)) => progress.total = documents,
            None => *known = Some((BatchProgress::new(documents), Instant::now())),
        }
    }

    /// Changes the progress, and calls `report` when the interval has passed.
    fn count(&self, change: impl FnOnce(&mut BatchProgress), report: impl FnOnce(&BatchProgress)) {
        if let Some((progress, reported)) = locked(&self.progress).as_mut() {
            change(progress);
            if reported.elapsed() >= self.interval {
                *reported = Instant::now();
                report(progress);
            }
        }
    }
}

/// A transfer that has started.
#[derive(Debug)]
struct ShownTransfer {
    name: String,
    total: Option<u64>,
    started: Instant,
    reported: Instant,
}

/// What both kinds of lines know about one document.
struct DocumentReporter<'a, P> {
    progress: &'a P,
    id: String,
    position: u64,
    share: DocumentShare,
    transfer: Option<ShownTransfer>,
    /// When a check of the partial was reported last.
    check_reported: Option<Instant>,
}

impl<'a, P> DocumentReporter<'a, P> {
    fn new(progress: &'a P, id: &DocumentId) -> Self {
        Self {
            progress,
            id: id.as_str().to_owned(),
            position: 0,
            share: DocumentShare::default(),
            transfer: None,
            check_reported: None,
        }
    }

    fn start(&mut self, name: &str, from: u64, total: Option<u64>) {
        let now = Instant::now();
        self.position = from;
        self.transfer = Some(ShownTransfer {
            name: name.to_owned(),
            total,
            started: now,
            reported: now,
        });
    }

    /// When it is time to report the check of the partial: whether that was reported before.
    fn is_check_due(&mut self, interval: Duration) -> Option<bool> {
        let before = self.check_reported;
        let due = before.is_none_or(|before| before.elapsed() >= interval);
        due.then(|| self.check_reported.replace(Instant::now()).is_some())
    }

    /// Notes the position. Returns whether it is time to report the transfer.
    fn step(&mut self, position: u64, interval: Duration) -> bool {
        self.position = position;
        self.transfer.as_mut().is_some_and(|transfer| {
            let due = transfer.reported.elapsed() >= interval;
            if due {
                transfer.reported = Instant::now();
            }
            due
        })
    }
}

/// The line of a transfer that continues behind the first `from` bytes.
pub(super) fn resuming(name: &str, from: &str, total: Option<&str>) -> String {
    match total {
        Some(total) => format!("resuming {name} at {from} of {total}"),
        None => format!("resuming {name} at {from}"),
    }
}

/// A line when a transfer starts, then every 30 s, and at the end of a transfer that took longer than that.
/// For many documents, also a line every 30 s about the batch.
#[derive(Debug)]
pub(super) struct PlainProgress {
    console: Console,
    batch: BatchReporter,
}

impl PlainProgress {
    /// Sentences on this console.
    pub(super) fn new(console: Console) -> Self {
        Self {
            console,
            batch: BatchReporter::new(PLAIN_INTERVAL),
        }
    }

    fn count(&self, change: impl FnOnce(&mut BatchProgress)) {
        self.batch.count(change, |progress| {
            self.console.say(&format!("so far: {progress}"));
        });
    }
}

impl Progress for PlainProgress {
    fn expect(&self, documents: Option<u64>) {
        self.batch.expect(documents);
    }

    fn document(&self, id: &DocumentId) -> Box<dyn Watcher + '_> {
        Box::new(DocumentReporter::new(self, id))
    }

    fn ended(&self) {
        self.count(|progress| progress.ended += 1);
    }
}

impl Watcher for DocumentReporter<'_, PlainProgress> {
    fn checking(&mut self, checked: u64, total: u64) {
        let due = self.is_check_due(PLAIN_INTERVAL);
        let (id, all) = (printable(&self.id), size(total));
        let line = match due {
            None => return,
            Some(false) => format!("checking the partial of {id} ({all})"),
            Some(true) => format!("checking the partial of {id}: {} of {all}", size(checked)),
        };
        self.progress.console.say(&line);
    }

    fn started(&mut self, name: &str, from: u64, total: Option<u64>) {
        let name = printable(name);
        self.start(&name, from, total);
        let share = &mut self.share;
        self.progress.count(|batch| share.start(batch, from, total));
        let total = total.map(size);
        let line = match (from, total.as_deref()) {
            (0, None) => format!("fetching {name}"),
            (0, Some(total)) => format!("fetching {name} ({total})"),
            (from, total) => resuming(&name, &size(from), total),
        };
        self.progress.console.say(&line);
    }

    fn moved(&mut self, position: u64) {
        let due = self.step(position, PLAIN_INTERVAL);
        if let Some(transfer) = self.transfer.as_ref().filter(|_| due) {
            let amount = match transfer.total {
                Some(total) => format!("{} of {}", size(position), size(total)),
                None => size(position),
            };
            self.progress
                .console
                .say(&format!("{}: {amount}", transfer.name));
        }
        let share = &mut self.share;
        self.progress.count(|batch| share.step(batch, position));
    }

    fn finished(&mut self, _bytes: u64) {
        self.end_share();
        if let Some(transfer) = self.transfer.take()
            && transfer.started.elapsed() >= PLAIN_INTERVAL
        {
            let seconds = transfer.started.elapsed().as_secs();
            self.progress
                .console
                .say(&format!("fetched {} in {seconds} s", transfer.name));
        }
    }

    fn skipped(&mut self) {
        self.end_share();
    }

    fn failed(&mut self, _error: &Error) {
        self.end_share();
    }
}

impl DocumentReporter<'_, PlainProgress> {
    fn end_share(&mut self) {
        let share = &mut self.share;
        self.progress.count(|batch| share.end(batch));
    }
}

/// One JSON object on each line: `checking` once a second while docfetch checks a large partial, `started`,
/// `progress` once a second, `retrying`, then `finished`, `skipped` or `failed`. For many documents, also
/// `batch` once a second.
#[derive(Debug)]
pub(super) struct JsonProgress {
    console: Console,
    batch: BatchReporter,
}

impl JsonProgress {
    /// Events on this console.
    pub(super) fn new(console: Console) -> Self {
        Self {
            console,
            batch: BatchReporter::new(EVENT_INTERVAL),
        }
    }

    fn count(&self, change: impl FnOnce(&mut BatchProgress)) {
        self.batch.count(change, |progress| {
            let record = json!({
                "type": "progress", "event": "batch", "documents": progress.ended,
                "total": progress.total, "bytes": progress.bytes,
            });
            self.console.say_record(&record);
        });
    }
}

impl Progress for JsonProgress {
    fn expect(&self, documents: Option<u64>) {
        self.batch.expect(documents);
    }

    fn document(&self, id: &DocumentId) -> Box<dyn Watcher + '_> {
        Box::new(DocumentReporter::new(self, id))
    }

    fn ended(&self) {
        self.count(|progress| progress.ended += 1);
    }
}

impl DocumentReporter<'_, JsonProgress> {
    fn say(&self, event: &str, error: Option<&Error>) {
        let Some(transfer) = &self.transfer else {
            return;
        };
        let mut record = json!({
            "type": "progress", "event": event, "id": self.id, "name": transfer.name,
            "bytes": self.position, "total": transfer.total,
        });
        if let Some(error) = error {
            record["error"] = json!({"code": error.code().as_str(), "message": error.message()});
        }
        self.progress.console.say_record(&record);
    }
}

impl Watcher for DocumentReporter<'_, JsonProgress> {
    fn checking(&mut self, checked: u64, total: u64) {
        if self.is_check_due(EVENT_INTERVAL).is_some() {
            let record = json!({
                "type": "progress", "event": "checking", "id": self.id,
                "bytes": checked, "total": total,
            });
            self.progress.console.say_record(&record);
        }
    }

    fn started(&mut self, name: &str, from: u64, total: Option<u64>) {
        self.start(name, from, total);
        let share = &mut self.share;
        self.progress.count(|batch| share.start(batch, from, total));
        self.say("started", None);
    }

    fn moved(&mut self, position: u64) {
        let due = self.step(position, EVENT_INTERVAL);
        if due {
            self.say("progress", None);
        }
        let share = &mut self.share;
        self.progress.count(|batch| share.step(batch, position));
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
