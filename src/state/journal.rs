//! Journals: records that are added to. Each change is a line, and the last whole line counts: what a
//! crash cuts short leaves the line before it, and a change costs no new file and no new name. The first
//! line is on disk under its name, or is not there.
//!
//! Whoever has a journal locked holds the file itself. One that has no line yet is held under a name of
//! its own, which goes with the lock.

use super::files::{Names, fresh, names, open_own, remove};
use super::lock::lock_own;
use super::records::{Durability, Records, Untrusted, read_open};
use crate::error::{Code, Error, Result};
use rustix::fs::OFlags;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fs::{File, Permissions};
use std::io;
use std::os::unix::fs::{FileExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A journal that is longer, in bytes, begins anew.
const LONG: u64 = 8 << 10;

/// A journal that no other process reads or changes meanwhile.
#[derive(Debug)]
pub struct Held {
    path: PathBuf,
    fresh: PathBuf,
    file: File,
    /// Whether it has a first line.
    begun: bool,
    /// Where its last whole line ends; 0 where nothing can be added.
    end: u64,
}

impl Records {
    /// Keeps other processes from the journal `name` until it is dropped; waits up to `patience` for
    /// one that is doing `what`.
    ///
    /// # Errors
    /// [`Code::Busy`]; [`Code::LocalIo`], [`Code::DiskFull`] and [`Code::UnsafePartial`] where it cannot
    /// be held.
    pub async fn hold(&self, name: &str, patience: Duration, what: &str) -> Result<Held> {
        self.make()?;
        let path = self.path(name)?;
        let fresh = fresh(&path);
        let lock = async || lock_own((&[&path, &fresh], Names::One), patience, what, drop).await;
        let (file, place) = match lock().await {
            Err(error) if error.code() == Code::UnsafePartial && remove(&fresh).is_ok() => {
                lock().await?
            }
            held => held?,
        };
        Ok(Held {
            path,
            fresh,
            file,
            begun: place == 0,
            end: 0,
        })
    }
}

impl Held {
    /// What its last whole line says; none where there is none.
    ///
    /// # Errors
    /// What makes it untrustworthy.
    pub fn read<T: DeserializeOwned>(&mut self) -> Result<Option<T>, Untrusted> {
        if !self.begun {
            return Ok(None);
        }
        let (record, end) = read_open(&self.path, &self.file)?;
        self.end = end;
        Ok(Some(record))
    }

    /// Adds a line. The first one lasts in any case.
    ///
    /// # Errors
    /// [`Code::LocalIo`], [`Code::DiskFull`]: then it says what it said before.
    pub fn write(
        &mut self,
        records: &Records,
        record: &impl Serialize,
        durability: Durability,
    ) -> Result<()> {
        let failed = |error| Error::io("write", &self.path, &error);
        let mut line = serde_json::to_vec(record).map_err(|error| failed(error.into()))?;
        line.push(b'\n');
        if self.end == 0 || self.end > LONG {
            return self.begin(records, &line);
        }
        let added = put(&self.file, &line, self.end, durability);
        added.map_err(|error| {
            let _ = self.file.set_len(self.end);
            failed(error)
        })?;
        self.end += line.len() as u64;
        Ok(())
    }

    /// Writes the first line, to a file that takes the name when it is on disk.
    fn begin(&mut self, records: &Records, line: &[u8]) -> Result<()> {
        if self.begun {
            remove(&self.fresh)?;
            let next = open_own(&self.fresh, OFlags::CREATE | OFlags::EXCL | OFlags::RDWR)?;
            next.lock()
                .map_err(|error| Error::io("lock", &self.fresh, &error))?;
            if let Err(error) = self.put_first(&next, line) {
                let _ = remove(&self.fresh);
                return Err(error);
            }
            self.file = next;
        } else {
            self.put_first(&self.file, line)?;
            self.begun = true;
        }
        self.end = line.len() as u64;
        records.sync(folder(&self.path))
    }

    fn put_first(&self, file: &File, line: &[u8]) -> Result<()> {
        close(file)
            .and_then(|()| file.set_len(0))
            .and_then(|()| put(file, line, 0, Durability::Synced))
            .and_then(|()| std::fs::rename(&self.fresh, &self.path))
            .map_err(|error| Error::io("write", &self.path, &error))
    }

    /// Takes all its lines away, and that lasts.
    ///
    /// # Errors
    /// [`Code::LocalIo`].
    pub fn clear(&mut self, records: &Records) -> Result<()> {
        if !self.begun {
            return Ok(());
        }
        std::fs::rename(&self.path, &self.fresh)
            .map_err(|error| Error::io("remove", &self.path, &error))?;
        (self.begun, self.end) = (false, 0);
        records.sync(folder(&self.path))
    }
}

fn put(file: &File, line: &[u8], at: u64, durability: Durability) -> io::Result<()> {
    file.write_all_at(line, at)?;
    match durability {
        Durability::Synced => file.sync_data(),
        Durability::Buffered => Ok(()),
    }
}

/// Takes the permissions of all others from a file that may have been left by somebody.
fn close(file: &File) -> io::Result<()> {
    if file.metadata()?.mode() & 0o077 != 0 {
        file.set_permissions(Permissions::from_mode(0o600))?;
    }
    Ok(())
}

fn folder(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new("."))
}

impl Drop for Held {
    /// What has no line goes while it is still held: whoever opened it before finds it without a name.
    fn drop(&mut self) {
        if !self.begun && names(&self.fresh, &self.file) {
            let _ = std::fs::remove_file(&self.fresh);
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

    async fn hold(records: &Records) -> Result<Held> {
        records.hold("a", Duration::ZERO, "busy").await
    }

    fn content(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder.join(LEDGER)).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.collect()
    }

    #[tokio::test]
    async fn the_last_line_counts_for_whoever_holds_it_and_for_whoever_looks() {
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
    async fn what_a_crash_cuts_short_leaves_the_line_before_it() {
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
                // The first line was on disk before it had its name: somebody else cut it.
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
    async fn one_without_a_line_leaves_nothing_and_is_held_all_the_same() {
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
    async fn what_a_crash_left_before_the_first_line_had_its_name_is_nothing() {
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
        // Something else under that name is taken away.
        records.remove("a").unwrap();
        std::os::unix::fs::symlink(folder.path(), &left).unwrap();
        drop(hold(&records).await.unwrap());
        assert!(content(folder.path()).is_empty());
    }

    #[tokio::test]
    async fn one_that_is_long_begins_anew() {
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
        assert!(length < LONG + 2000, "{length}");
        assert_eq!(content(folder.path()), ["a.json"]);
    }

    /// It is created, added to, begun anew and cleared while others wait for it.
    #[test]
    fn one_is_held_by_one_whatever_becomes_of_its_file() {
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
