//! Journals: records of JSON lines, to which each change adds a line. The last whole line counts.
//!
//! A crash can only cut the last line short, which leaves the line before it. A change needs no new file and
//! no new name. The first line is durable before the file gets the name of the record.
//!
//! A process locks the journal's file itself. A journal without any line has a temporary name, which goes with
//! the lock.

use super::files::{
    AllowedNames, Durability, is_name_of, is_open_to_others, open_own, remove, temporary_path,
};
use super::folder::{FolderTraits, folder_of};
use super::lock::{HeldFile, LockRequest, lock_own};
use super::records::Records;
use super::trust::{Untrusted, read_open};
use crate::error::{Code, Error, Result};
use rustix::fs::OFlags;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A journal that grows longer is replaced by its last line.
const MAX_JOURNAL_BYTES: u64 = 8 << 10;

/// A journal that this process has locked.
#[derive(Debug)]
pub(crate) struct HeldJournal {
    path: PathBuf,
    /// The path of a file without a whole first line.
    temporary: PathBuf,
    file: File,
    /// Whether the journal has a first line, and therefore its name.
    has_lines: bool,
    /// The offset after the last whole line; 0 when no line can be added to this file.
    end: u64,
}

impl Records {
    /// Locks the journal `name` against other processes. Waits up to `busy_timeout` for another process, which
    /// does `activity`.
    ///
    /// # Errors
    /// [`Code::Busy`] when another process holds the journal for too long; [`Code::LocalIo`],
    /// [`Code::DiskFull`] and [`Code::UnsafePartial`] when the journal cannot be locked.
    pub(crate) async fn hold(
        &self,
        name: &str,
        busy_timeout: Duration,
        activity: &str,
    ) -> Result<HeldJournal> {
        self.make_folders()?;
        let path = self.path(name)?;
        let temporary = temporary_path(&path);
        let request = LockRequest {
            paths: &[&path, &temporary],
            allowed_names: AllowedNames::One,
            busy_timeout,
            activity,
        };
        let HeldFile { file, place } = match lock_own(request, drop).await {
            Err(error) if error.code() == Code::UnsafePartial && remove(&temporary).is_ok() => {
                lock_own(request, drop).await?
            }
            held => held?,
        };
        Ok(HeldJournal {
            path,
            temporary,
            file,
            has_lines: place == 0,
            end: 0,
        })
    }
}

impl HeldJournal {
    /// Reads the last whole line; `None` when there is none.
    ///
    /// # Errors
    /// Why the journal cannot be trusted.
    pub(crate) fn read<T: DeserializeOwned>(&mut self) -> Result<Option<T>, Untrusted> {
        if !self.has_lines {
            return Ok(None);
        }
        let (record, end) = read_open(&self.path, &self.file)?;
        self.end = end;
        Ok(Some(record))
    }

    /// Adds a line. The first line is always synced.
    ///
    /// # Errors
    /// [`Code::LocalIo`], [`Code::DiskFull`]. Then the last line is the same as before.
    pub(crate) fn write(
        &mut self,
        records: &Records,
        record: &impl Serialize,
        durability: Durability,
    ) -> Result<()> {
        let failed = |error| Error::io("write", &self.path, &error);
        let mut line = serde_json::to_vec(record).map_err(|error| failed(error.into()))?;
        line.push(b'\n');
        if self.end == 0 || self.end > MAX_JOURNAL_BYTES {
            return self.write_first_line(records, &line);
        }
        let added = write_line(&self.file, &line, self.end, durability);
        added.map_err(|error| {
            let _ = self.file.set_len(self.end);
            failed(error)
        })?;
        self.end += line.len() as u64;
        Ok(())
    }

    /// Writes the first line to a file that gets the journal's name when the line is on disk.
    fn write_first_line(&mut self, records: &Records, line: &[u8]) -> Result<()> {
        if self.has_lines {
            remove(&self.temporary)?;
            let next = open_own(
                &self.temporary,
                OFlags::CREATE | OFlags::EXCL | OFlags::RDWR,
            )?;
            next.lock()
                .map_err(|error| Error::io("lock", &self.temporary, &error))?;
            if let Err(error) = self.write_and_rename(&next, line) {
                let _ = remove(&self.temporary);
                return Err(error);
            }
            self.file = next;
        } else {
            self.write_and_rename(&self.file, line)?;
            self.has_lines = true;
        }
        self.end = line.len() as u64;
        records.sync(folder_of(&self.path))
    }

    fn write_and_rename(&self, file: &File, line: &[u8]) -> Result<()> {
        close_to_others(file, &self.temporary)?;
        file.set_len(0)
            .and_then(|()| write_line(file, line, 0, Durability::Synced))
            .and_then(|()| std::fs::rename(&self.temporary, &self.path))
            .map_err(|error| Error::io("write", &self.path, &error))
    }

    /// Removes all lines durably.
    ///
    /// # Errors
    /// [`Code::LocalIo`].
    pub(crate) fn clear(&mut self, records: &Records) -> Result<()> {
        if !self.has_lines {
            return Ok(());
        }
        std::fs::rename(&self.path, &self.temporary)
            .map_err(|error| Error::io("remove", &self.path, &error))?;
        (self.has_lines, self.end) = (false, 0);
        records.sync(folder_of(&self.path))
    }
}

fn write_line(file: &File, line: &[u8], at: u64, durability: Durability) -> io::Result<()> {
    file.write_all_at(line, at)?;
    match durability {
        Durability::Synced => file.sync_data(),
        Durability::Buffered => Ok(()),
    }
}

/// Takes all permissions of other users away from the file at `path`, if the file system permits that. A crash or
/// another program may have left it.
fn close_to_others(file: &File, path: &Path) -> Result<()> {
    let found = file.metadata();
    let found = found.map_err(|error| Error::io("read", path, &error))?;
    if is_open_to_others(path, &found) {
        FolderTraits::of_file(path)?.set_mode(file, path, 0o600)?;
    }
    Ok(())
}

impl Drop for HeldJournal {
    /// Removes a file without lines while it is still locked: a process that opened the file before finds that
    /// it has lost its name.
    fn drop(&mut self) {
        if !self.has_lines && is_name_of(&self.temporary, &self.file) {
            let _ = std::fs::remove_file(&self.temporary);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::records::{LEDGER, StateFolder};
    use std::fs;

    fn records(folder: &Path) -> Records {
        StateFolder::new(Some(folder.to_owned())).records(LEDGER)
    }

    async fn hold(records: &Records) -> Result<HeldJournal> {
        records.hold("a", Duration::ZERO, "busy").await
    }

    fn content(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder.join(LEDGER)).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.collect()
    }

    #[tokio::test]
    async fn the_last_line_counts_with_the_lock_and_without() {
        let folder = tempfile::tempdir().unwrap();
        let records = records(folder.path());
        for (before, now) in [(None, 1), (Some(1), 2), (Some(2), 3)] {
            let mut held = hold(&records).await.unwrap();
            assert_eq!(held.read::<u32>(), Ok(before));
            held.write(&records, &now, Durability::Synced).unwrap();
            assert_eq!(records.read::<u32>("a"), Ok(Some(now)));
            assert_eq!(hold(&records).await.unwrap_err().code(), Code::Busy);
        }
        assert_eq!(content(folder.path()), ["a.json"]);
        let text = fs::read_to_string(folder.path().join("ledger/a.json")).unwrap();
        assert_eq!(text, "1\n2\n3\n");
    }

    /// A power failure can leave any part of what was not synced.
    #[tokio::test]
    async fn a_line_that_a_crash_cuts_short_leaves_the_line_before_it() {
        let folder = tempfile::tempdir().unwrap();
        let records = records(folder.path());
        let mut held = hold(&records).await.unwrap();
        for line in ["one", "two", "three"] {
            held.write(&records, &line, Durability::Synced).unwrap();
        }
        drop(held);
        let path = folder.path().join("ledger/a.json");
        let text = fs::read(&path).unwrap();
        for length in 0..text.len() {
            fs::write(&path, &text[..length]).unwrap();
            let mut held = hold(&records).await.unwrap();
            let read = held.read::<String>();
            let whole = text[..length].split(|byte| *byte == b'\n').count() - 1;
            match whole {
                // No crash cuts the first line, because it is on disk before the file has its name.
                0 if length == "\"one\"".len() => assert_eq!(read.unwrap().unwrap(), "one"),
                0 => assert!(read.is_err(), "{length}"),
                lines => assert_eq!(read.unwrap().unwrap(), ["one", "two"][lines - 1]),
            }
            held.write(&records, &"next", Durability::Synced).unwrap();
            assert_eq!(records.read::<String>("a").unwrap().unwrap(), "next");
        }
        fs::write(&path, "\"one\"\n{{\n").unwrap();
        assert!(records.read::<String>("a").is_err(), "no crash writes that");
    }

    #[tokio::test]
    async fn a_journal_without_a_line_leaves_no_file_and_is_still_locked() {
        let folder = tempfile::tempdir().unwrap();
        let records = records(folder.path());
        drop(hold(&records).await.unwrap());
        assert!(content(folder.path()).is_empty());
        let mut held = hold(&records).await.unwrap();
        held.write(&records, &1, Durability::Synced).unwrap();
        held.clear(&records).unwrap();
        assert_eq!(records.read::<u32>("a"), Ok(None));
        assert_eq!(hold(&records).await.unwrap_err().code(), Code::Busy);
        held.write(&records, &2, Durability::Synced).unwrap();
        assert_eq!(records.read::<u32>("a"), Ok(Some(2)));
        held.clear(&records).unwrap();
        drop(held);
        assert!(content(folder.path()).is_empty());
    }

    #[tokio::test]
    async fn a_first_line_without_its_name_does_not_count() {
        let folder = tempfile::tempdir().unwrap();
        let records = records(folder.path());
        drop(hold(&records).await.unwrap());
        let left = folder.path().join("ledger/a.json.new");
        fs::write(&left, "\"a longer line than the next\"\n").unwrap();
        let mut held = hold(&records).await.unwrap();
        assert_eq!(held.read::<String>(), Ok(None));
        held.write(&records, &"x", Durability::Synced).unwrap();
        drop(held);
        assert_eq!(records.read::<String>("a").unwrap().unwrap(), "x");
        // Anything else under that name is removed.
        records.remove("a").unwrap();
        std::os::unix::fs::symlink(folder.path(), &left).unwrap();
        drop(hold(&records).await.unwrap());
        assert!(content(folder.path()).is_empty());
    }

    #[tokio::test]
    async fn a_long_journal_is_replaced_by_its_last_line() {
        let folder = tempfile::tempdir().unwrap();
        let records = records(folder.path());
        let line = "x".repeat(1000);
        for number in 0..100 {
            let mut held = hold(&records).await.unwrap();
            held.read::<(u32, String)>().unwrap();
            held.write(&records, &(number, &line), Durability::Buffered)
                .unwrap();
            assert_eq!(hold(&records).await.unwrap_err().code(), Code::Busy);
        }
        let (number, _) = records.read::<(u32, String)>("a").unwrap().unwrap();
        assert_eq!(number, 99);
        let length = fs::metadata(folder.path().join("ledger/a.json"))
            .unwrap()
            .len();
        assert!(length < MAX_JOURNAL_BYTES + 2000, "{length}");
        assert_eq!(content(folder.path()), ["a.json"]);
    }

    /// The journal is created, extended, replaced and cleared while others wait for it.
    #[test]
    fn a_journal_is_held_by_one_whatever_becomes_of_its_file() {
        use std::sync::atomic::{AtomicU32, Ordering};
        let folder = tempfile::tempdir().unwrap();
        let (inside, sum) = (AtomicU32::new(0), AtomicU32::new(0));
        std::thread::scope(|scope| {
            for thread in 0..6 {
                let (inside, sum, folder) = (&inside, &sum, folder.path());
                scope.spawn(move || {
                    let runtime = tokio::runtime::Builder::new_current_thread();
                    let runtime = { runtime }.enable_time().build().unwrap();
                    let records = records(folder);
                    for round in 0..150_u32 {
                        let holding = records.hold("a", Duration::from_secs(20), "busy");
                        let mut held = runtime.block_on(holding).unwrap();
                        assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0, "two hold it");
                        let before = held.read::<(u32, String)>().unwrap();
                        let before = before.map_or(0, |(number, _)| number);
                        assert_eq!(before, sum.load(Ordering::SeqCst), "a line was lost");
                        if (round + thread) % 7 == 0 {
                            held.clear(&records).unwrap();
                            sum.store(0, Ordering::SeqCst);
                        } else {
                            let line = (before + 1, "x".repeat(3000));
                            held.write(&records, &line, Durability::Buffered).unwrap();
                            sum.store(before + 1, Ordering::SeqCst);
                        }
                        inside.fetch_sub(1, Ordering::SeqCst);
                    }
                });
            }
        });
    }
}
