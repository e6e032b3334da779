//! What each process sees of changes that are shown late.

use std::borrow::Cow;
use std::ffi::OsString;
use std::time::{Duration, Instant, SystemTime};

/// A process that looks, at one moment.
#[derive(Clone, Copy, Debug)]
pub struct Viewer {
    process: u32,
    now: Instant,
    /// The changes of other processes are visible when they are at least this old.
    late: Duration,
}

impl Viewer {
    pub fn new(process: u32, late: Option<Duration>) -> Self {
        Self {
            process,
            now: Instant::now(),
            late: late.unwrap_or_default(),
        }
    }

    /// One that sees the truth.
    pub fn of_truth() -> Self {
        Self::new(0, None)
    }

    fn sees<T>(&self, change: &Stamped<T>) -> bool {
        change.by == self.process || self.is_old(change)
    }

    /// Whether a change is visible to every process.
    fn is_old<T>(&self, change: &Stamped<T>) -> bool {
        let is_old = |at| self.now.saturating_duration_since(at) >= self.late;
        change.at.is_none_or(is_old)
    }
}

/// Who did something, and when.
#[derive(Clone, Debug)]
struct Stamped<T> {
    /// None: so long ago that every process sees it.
    at: Option<Instant>,
    by: u32,
    what: T,
}

impl<T> Stamped<T> {
    fn now(viewer: &Viewer, what: T) -> Self {
        Self {
            at: Some(Instant::now()),
            by: viewer.process,
            what,
        }
    }
}

/// Everything of a node that can change, but its names.
#[derive(Clone, Debug)]
pub struct Content {
    pub data: Vec<u8>,
    /// Permission bits.
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    pub modified: SystemTime,
    pub changed: SystemTime,
}

/// One change of a [`Content`].
#[derive(Clone, Debug)]
pub enum Change {
    Write { offset: usize, data: Vec<u8> },
    Length(usize),
    Mode(u32),
    Uid(u32),
    Gid(u32),
    Modified(SystemTime),
}

impl Content {
    fn apply(&mut self, change: &Change, at: SystemTime) {
        self.changed = at;
        match change {
            Change::Write { offset, data } => {
                let end = offset + data.len();
                if self.data.len() < end {
                    self.data.resize(end, 0);
                }
                self.data[*offset..end].copy_from_slice(data);
                self.modified = at;
            }
            Change::Length(length) => {
                self.data.resize(*length, 0);
                self.modified = at;
            }
            Change::Mode(mode) => self.mode = *mode,
            Change::Uid(uid) => self.uid = *uid,
            Change::Gid(gid) => self.gid = *gid,
            Change::Modified(time) => self.modified = *time,
        }
    }
}

/// The content of a node, with the changes that some processes do not see yet.
#[derive(Debug)]
pub struct Versions {
    truth: Content,
    late: Option<Late>,
}

#[derive(Debug)]
struct Late {
    old: Content,
    changes: Vec<Stamped<(SystemTime, Change)>>,
}

impl Versions {
    pub fn new(content: Content) -> Self {
        Self {
            truth: content,
            late: None,
        }
    }

    pub fn truth(&self) -> &Content {
        &self.truth
    }

    /// What a process sees.
    pub fn seen_by(&mut self, viewer: &Viewer) -> Cow<'_, Content> {
        self.forget_old(viewer);
        let Some(late) = &self.late else {
            return Cow::Borrowed(&self.truth);
        };
        if late.changes.iter().all(|change| viewer.sees(change)) {
            return Cow::Borrowed(&self.truth);
        }
        let mut seen = late.old.clone();
        for change in late.changes.iter().filter(|change| viewer.sees(change)) {
            seen.apply(&change.what.1, change.what.0);
        }
        Cow::Owned(seen)
    }

    /// A process changes the truth.
    pub fn change(&mut self, viewer: &Viewer, change: Change) {
        let at = SystemTime::now();
        self.forget_old(viewer);
        if !viewer.late.is_zero() {
            let late = self.late.get_or_insert_with(|| Late {
                old: self.truth.clone(),
                changes: Vec::new(),
            });
            late.changes
                .push(Stamped::now(viewer, (at, change.clone())));
        }
        self.truth.apply(&change, at);
    }

    /// Shows the truth to every process.
    pub fn settle(&mut self) {
        self.late = None;
    }

    /// Forgets which changes were shown late, when every process sees them.
    fn forget_old(&mut self, viewer: &Viewer) {
        let Some(late) = &mut self.late else { return };
        let is_young = |change: &Stamped<_>| !viewer.is_old(change);
        let young = late.changes.iter().position(is_young);
        let Some(old) = young else {
            self.late = None;
            return;
        };
        for change in late.changes.drain(..old) {
            late.old.apply(&change.what.1, change.what.0);
        }
    }
}

/// What stands under one name of a folder.
#[derive(Clone, Debug)]
pub struct Named {
    /// The name as it was given.
    pub name: OsString,
    pub node: u64,
}

/// One name of a folder, with the changes that some processes do not see yet.
#[derive(Debug, Default)]
pub struct NameVersions {
    /// In order; the last one is the truth.
    versions: Vec<Stamped<Option<Named>>>,
    /// The processes that know a version which is not yet visible to all, by its time.
    known_to: Vec<(Option<Instant>, u32)>,
}

impl NameVersions {
    pub fn truth(&self) -> Option<&Named> {
        self.versions.last()?.what.as_ref()
    }

    /// What a process sees.
    pub fn seen_by(&self, viewer: &Viewer) -> Option<&Named> {
        let is_known = |at| self.known_to.contains(&(at, viewer.process));
        let mut versions = self.versions.iter().rev();
        let seen = versions.find(|version| viewer.sees(version) || is_known(version.at))?;
        seen.what.as_ref()
    }

    /// A process changes what stands under the name.
    pub fn change(&mut self, viewer: &Viewer, named: Option<Named>) {
        self.forget_old(viewer);
        self.versions.push(Stamped::now(viewer, named));
    }

    /// Shows a process the truth.
    pub fn show(&mut self, viewer: &Viewer) {
        if let Some(truth) = self.versions.last() {
            self.known_to.push((truth.at, viewer.process));
        }
    }

    /// Forgets all versions before the last one that every process sees.
    fn forget_old(&mut self, viewer: &Viewer) {
        let is_old = |version: &Stamped<_>| viewer.is_old(version);
        if let Some(place) = self.versions.iter().rposition(is_old) {
            self.versions.drain(..place);
        }
    }

    /// Shows the truth to every process.
    pub fn settle(&mut self) {
        if let Some(mut truth) = self.versions.pop() {
            truth.at = None;
            self.versions = vec![truth];
        }
    }
}
