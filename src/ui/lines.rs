//! Progress as lines: for people who read a log, and as JSON events for programs.

use super::console::Console;
use super::report::size;
use super::sanitize::{printable, printable_json};
use crate::error::Error;
use crate::fetch::events::Progress;
use crate::model::{DocumentId, locked};
use serde_json::json;
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// Between two plain lines of one transfer.
const PLAIN: Duration = Duration::from_secs(30);
/// Between two events of one transfer.
const EVENT: Duration = Duration::from_secs(1);

/// The transfer under way.
#[derive(Clone, Debug)]
struct Current {
    id: String,
    name: String,
    total: Option<u64>,
    position: u64,
    begun: Instant,
    said: Instant,
}

impl Current {
    fn new(id: &DocumentId, name: &str, from: u64, total: Option<u64>) -> Self {
        let now = Instant::now();
        Self {
            id: id.as_str().to_owned(),
            name: printable(name).into_owned(),
            total,
            position: from,
            begun: now,
            said: now,
        }
    }

    /// Takes note; true when it is time to say something again.
    fn moved(&mut self, position: u64, every: Duration) -> bool {
        self.position = position;
        let due = self.said.elapsed() >= every;
        if due {
            self.said = Instant::now();
        }
        due
    }

    fn amount(&self) -> String {
        match self.total {
            Some(total) => format!("{} of {}", size(self.position), size(total)),
            None => size(self.position),
        }
    }
}

/// The transfer under way, if there is one.
#[derive(Debug, Default)]
struct UnderWay(Mutex<Option<Current>>);

impl UnderWay {
    fn lock(&self) -> MutexGuard<'_, Option<Current>> {
        locked(&self.0)
    }
}

/// A line at the start, every 30 s, and at the end of what took longer than that.
#[derive(Debug)]
pub struct Lines {
    console: Console,
    current: UnderWay,
}

impl Lines {
    /// Lines on this console.
    pub fn new(console: Console) -> Self {
        Self {
            console,
            current: UnderWay::default(),
        }
    }
}

impl Progress for Lines {
    fn started(&self, id: &DocumentId, name: &str, from: u64, total: Option<u64>) {
        let mut current = self.current.lock();
        let new = Current::new(id, name, from, total);
        let size = total
            .map(|total| format!(" ({})", size(total)))
            .unwrap_or_default();
        self.console.say(&format!("fetching {}{size}", new.name));
        *current = Some(new);
    }

    fn moved(&self, position: u64) {
        if let Some(current) = self.current.lock().as_mut()
            && current.moved(position, PLAIN)
        {
            self.console
                .say(&format!("{}: {}", current.name, current.amount()));
        }
    }

    fn finished(&self, _bytes: u64) {
        if let Some(current) = self.current.lock().take()
            && current.begun.elapsed() >= PLAIN
        {
            let seconds = current.begun.elapsed().as_secs();
            self.console
                .say(&format!("fetched {} in {seconds} s", current.name));
        }
    }

    fn skipped(&self) {
        self.current.lock().take();
    }

    fn failed(&self, _error: &Error) {
        self.current.lock().take();
    }
}

/// One JSON object a line: `started`, `progress` once a second, `retrying`, then `finished`,
/// `skipped` or `failed`.
#[derive(Debug)]
pub struct Events {
    console: Console,
    current: UnderWay,
}

impl Events {
    /// Events on this console.
    pub fn new(console: Console) -> Self {
        Self {
            console,
            current: UnderWay::default(),
        }
    }

    fn say(&self, event: &str, current: &Current, error: Option<&Error>) {
        let mut record = json!({
            "type": "progress", "event": event, "id": current.id, "name": current.name,
            "bytes": current.position, "total": current.total,
        });
        if let Some(error) = error {
            record["error"] = json!({"code": error.code().as_str(), "message": error.message()});
        }
        self.console.say(&printable_json(&record.to_string()));
    }
}

impl Progress for Events {
    fn started(&self, id: &DocumentId, name: &str, from: u64, total: Option<u64>) {
        let new = Current::new(id, name, from, total);
        self.say("started", &new, None);
        *self.current.lock() = Some(new);
    }

    fn moved(&self, position: u64) {
        if let Some(current) = self.current.lock().as_mut()
            && current.moved(position, EVENT)
        {
            self.say("progress", current, None);
        }
    }

    fn retrying(&self, error: &Error) {
        if let Some(current) = self.current.lock().as_ref() {
            self.say("retrying", current, Some(error));
        }
    }

    fn finished(&self, _bytes: u64) {
        if let Some(current) = self.current.lock().take() {
            self.say("finished", &current, None);
        }
    }

    fn skipped(&self) {
        if let Some(current) = self.current.lock().take() {
            self.say("skipped", &current, None);
        }
    }

    fn failed(&self, error: &Error) {
        if let Some(current) = self.current.lock().take() {
            self.say("failed", &current, Some(error));
        }
    }
}
