//! Writing a manifest: one line of JSON for each document, as `--json` prints it.
//!
//! Each line is appended by one write. So a run that is killed leaves a manifest that can be read, and
//! several processes may append to one manifest.

use crate::error::{Code, Error, Result};
use crate::fetch::batch::FetchEnd;
use crate::fetch::outcome::FailedDocument;
use crate::manifest::{MIRROR_FOLDER, record};
use crate::secret::redact_json;
use crate::state::files::{FileIdentity, make_folder, open_own};
use crate::state::folder::folder_of;
use crate::text::{Utf16Text, without_byte_order_mark};
use rustix::fs::OFlags;
use serde::Serialize;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

/// How many bytes of an existing file tell whether the file is a manifest. No line of docfetch is longer.
const CHECKED_BYTES: usize = 64 << 10;
/// What to give in place of a file that is no manifest.
const NEW_FILE_HINT: &str = "give --manifest a new file, or one that docfetch wrote";

/// Appends lines to a manifest.
#[derive(Debug)]
pub(crate) struct ManifestAppender {
    path: PathBuf,
    file: File,
    /// Whether a line was written in part only.
    is_torn: AtomicBool,
}

impl ManifestAppender {
    /// Opens the manifest at `path` for a run. `None` without a path, and in a dry run.
    ///
    /// # Errors
    /// As [`ManifestAppender::append_to`].
    pub(crate) fn of_run(path: Option<&Path>, dry_run: bool) -> Result<Option<Self>> {
        let path = path.filter(|_| !dry_run);
        path.map(Self::append_to).transpose()
    }

    /// Opens or creates the manifest at `path`, and makes the missing folders above it. If its last line has no end,
    /// a line end is appended.
    ///
    /// # Errors
    /// [`Code::LocalIo`], [`Code::DiskFull`] when a folder cannot be made, or the file cannot be read or written.
    fn append_to(path: &Path) -> Result<Self> {
        let with_hint = |error: Error| match error.code() {
            Code::LocalIo => error.with_hint("give --manifest a file that you may write to"),
            _ => error,
        };
        make_folder(folder_of(path), 0o777).map_err(with_hint)?;
        let mut options = File::options();
        options.read(true).append(true).create(true);
        let file = options.open(path);
        let file = file.map_err(|error| Error::io("write the manifest", path, &error));
        Self::of(path, file.map_err(with_hint)?)
    }

    /// As [`ManifestAppender::append_to`], for a file of docfetch's own.
    ///
    /// # Errors
    /// As [`ManifestAppender::append_to`], [`Code::Usage`] when the file is UTF-16, and
    /// [`Code::UnsafePartial`](crate::error::Code::UnsafePartial) when it is not a plain file of this user.
    pub(crate) fn own(path: &Path) -> Result<Self> {
        let file = open_own(path, OFlags::CREATE | OFlags::RDWR | OFlags::APPEND)?;
        let mut start = [0; 4];
        let read = file.read_at(&mut start, 0);
        let length = read.map_err(|error| Error::io("read", path, &error))?;
        checked_text(path, &start[..length])?;
        Self::of(path, file)
    }

    fn of(path: &Path, mut file: File) -> Result<Self> {
        let ended = (|| {
            let length = file.metadata()?.len();
            let mut last = [b'\n'];
            if length > 0 && file.metadata()?.is_file() {
                file.read_exact_at(&mut last, length - 1)?;
            }
            if last == [b'\n'] {
                return Ok(());
            }
            file.write_all(b"\n")
        })();
        ended.map_err(|error| Error::io("write", path, &error))?;
        Ok(Self {
            path: path.to_path_buf(),
            file,
            is_torn: AtomicBool::new(false),
        })
    }

    /// The identity of the manifest. `None` for a device or a pipe.
    pub(crate) fn identity(&self) -> Option<FileIdentity> {
        let found = self.file.metadata().ok()?;
        found.is_file().then(|| FileIdentity::of(&found))
    }

    /// Syncs all lines to disk.
    ///
    /// # Errors
    /// As [`ManifestAppender::append`].
    pub(crate) fn sync(&self) -> Result<()> {
        self.file
            .sync_data()
            .map_err(|error| Error::io("sync", &self.path, &error))
    }

    /// Appends a line.
    ///
    /// # Errors
    /// [`Code::LocalIo`](crate::error::Code::LocalIo), [`Code::DiskFull`](crate::error::Code::DiskFull).
    pub(crate) fn append(&self, record: &impl Serialize) -> Result<()> {
        let written = serde_json::to_string(record)
            .map_err(io::Error::from)
            .and_then(|line| {
                let mut line = redact_json(&line).into_owned().into_bytes();
                line.push(b'\n');
                if self.is_torn.swap(false, Ordering::Relaxed) {
                    line.insert(0, b'\n'); // a full disk cut the line before off
                }
                (&self.file).write_all(&line)
            });
        if written.is_err() {
            self.is_torn.store(true, Ordering::Relaxed);
        }
        written.map_err(|error| Error::io("write", &self.path, &error))
    }

    /// Appends the line of a document of `provider` whose fetch ended.
    ///
    /// # Errors
    /// As [`ManifestAppender::append`].
    pub(crate) fn append_document(&self, provider: &str, ended: &FetchEnd) -> Result<()> {
        match &ended.result {
            Ok(outcome) => self.append(outcome),
            Err(error) => self.append(&FailedDocument::new(
                provider,
                ended.id.as_str(),
                ended.charged,
                error,
            )),
        }
    }
}

/// Checks, before the first request, that lines can be appended to the file at `path`. Changes nothing.
///
/// # Errors
/// [`Code::Usage`] for `-`, for a file in docfetch's own folder of a mirror, and for an existing file that is not
/// empty and no manifest of docfetch; [`Code::LocalIo`] when the file cannot be read.
pub(crate) fn check_appendable(path: &Path) -> Result<()> {
    if path == Path::new("-") {
        return Err(Error::new(Code::Usage, "--manifest - names no file")
            .with_cause("--manifest appends to a file, and not to standard output")
            .with_hint("name a file; --json prints the records to standard output"));
    }
    if is_in_mirror_folder(path) {
        let error = refused(
            path,
            "the folder .docfetch holds docfetch's own manifest of a mirror",
        );
        return Err(error.with_hint(
            "`docfetch sync` writes that file itself: give --manifest a file elsewhere",
        ));
    }
    if !path.is_file() {
        return Ok(());
    }
    let mut start = vec![0; CHECKED_BYTES];
    let read = File::open(path).and_then(|file| file.read_at(&mut start, 0));
    let length = read.map_err(|error| Error::io("read the manifest", path, &error))?;
    start.truncate(length);
    check_start(path, &start)
}

/// Checks the start of a file. Its first line that is not blank tells whether the file is a manifest.
fn check_start(path: &Path, start: &[u8]) -> Result<()> {
    let text = checked_text(path, start)?;
    let mut lines = text.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    match lines.find(|line| !line.is_empty()) {
        Some(line) if !record::is_of_run(line) => {
            let why = "the file holds other data: its first line is no JSON record of docfetch";
            Err(refused(path, why).with_hint(NEW_FILE_HINT))
        }
        _ => Ok(()),
    }
}

/// The text without a byte order mark. Fails for UTF-16, in which appended lines could not be read.
fn checked_text<'a>(path: &Path, start: &'a [u8]) -> Result<&'a [u8]> {
    without_byte_order_mark(start)
        .map_err(|utf16| refused(path, &utf16.to_string()).with_hint(Utf16Text::HINT))
}

fn refused(path: &Path, why: &str) -> Error {
    let what = format!("cannot use {} as a manifest (--manifest)", path.display());
    Error::new(Code::Usage, what).with_cause(why)
}

/// Whether a file is directly in docfetch's own folder of a mirror, also by a link. Paths in such a manifest start at
/// the mirror.
fn is_in_mirror_folder(path: &Path) -> bool {
    let is_own = |path: &Path| {
        let folder = path.parent().and_then(Path::file_name);
        folder == Some(OsStr::new(MIRROR_FOLDER))
    };
    let folder = fs::canonicalize(folder_of(path));
    is_own(path)
        || folder.is_ok_and(|folder| folder.file_name() == Some(OsStr::new(MIRROR_FOLDER)))
        || fs::canonicalize(path).is_ok_and(|real| is_own(&real))
}

/// Whether two paths lead to one file, which need not exist.
pub(crate) fn is_same_file(one: &Path, other: &Path) -> bool {
    let identity = |path: &Path| {
        fs::metadata(path)
            .ok()
            .map(|found| FileIdentity::of(&found))
    };
    match (identity(one), identity(other)) {
        (Some(one), Some(other)) => one == other,
        (None, None) => real_path(one) == real_path(other),
        _ => false,
    }
}

/// The path without links, as far as it exists, and from the root.
fn real_path(path: &Path) -> PathBuf {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let known = path
        .ancestors()
        .find_map(|above| Some((above, fs::canonicalize(above).ok()?)));
    match known {
        Some((above, real)) => real.join(path.strip_prefix(above).unwrap_or(&path)),
        None => path,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_manifest_gets_lines_appended() {
        for start in [
            "",
            "\n \r\n",
            "{\"type\":\"document\",\"status\":\"failed\",\"id\":\"1\"}\n@read",
            "\u{feff}\n{\"type\":\"summary\",\"fetched\":1}\r\n",
            "{\"type\": \"document\", \"status\": \"verified\"}",
            "{\"type\":\"docu\n",
            "{\"ty",
        ] {
            check_start(Path::new("m"), start.as_bytes()).unwrap();
        }
        for start in [
            "@read 1\nACGT\n",
            "\n\nid1\n{\"type\":\"document\",\"id\":\"1\"}\n",
            "{\n  \"name\": \"package\"\n}\n",
            "{\"provider\":\"sm\",\"id\":\"1\"}\n",
            "{\"type\":\"Feature\"}\n",
            "[]",
            "\0\0",
            "\u{e4}",
        ] {
            let error = check_start(Path::new("m"), start.as_bytes()).unwrap_err();
            assert_eq!(error.code(), Code::Usage, "{start}");
        }
    }

    #[test]
    fn paths_of_one_file_are_the_same_however_they_are_written() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir(at("a")).unwrap();
        std::os::unix::fs::symlink("a", at("link")).unwrap();
        fs::write(at("a/file"), "").unwrap();
        fs::hard_link(at("a/file"), at("hard")).unwrap();
        for (one, other, is_same) in [
            ("a/new", "link/new", true),
            ("a/./x/new", "link/x/new", true),
            ("a/new", "new", false),
            ("a/file", "hard", true),
            ("a/file", "a/new", false),
        ] {
            assert_eq!(is_same_file(&at(one), &at(other)), is_same, "{one} {other}");
        }
    }
}
