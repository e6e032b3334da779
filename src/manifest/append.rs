//! Writing a manifest: one line of JSON for each document, as `--json` prints it.
//!
//! Each line is appended by one write. So a run that is killed leaves a manifest that can be read, and
//! several processes may append to one manifest.

use crate::error::{Code, Error, Result};
use crate::fetch::batch::FetchEnd;
use crate::fetch::outcome::FailedDocument;
use crate::secret::redact_json;
use crate::state::files::open_own;
use crate::text::{Utf16Text, without_byte_order_mark};
use rustix::fs::OFlags;
use serde::Serialize;
use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

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

    /// Opens or creates the manifest at `path`. If its last line has no end, a line end is appended.
    ///
    /// # Errors
    /// [`Code::Usage`](crate::error::Code::Usage) when the file is UTF-16,
    /// [`Code::LocalIo`](crate::error::Code::LocalIo) when the file cannot be read or written.
    pub(crate) fn append_to(path: &Path) -> Result<Self> {
        let mut options = File::options();
        options.read(true).append(true).create(true);
        let file = options.open(path);
        let file = file.map_err(|error| {
            let error = Error::io("write the manifest", path, &error);
            error.with_hint(
                "give --manifest a file in a folder that exists and that you may write to",
            )
        });
        Self::of(path, file?)
    }

    /// As [`ManifestAppender::append_to`], for a file of docfetch's own.
    ///
    /// # Errors
    /// As [`ManifestAppender::append_to`], and
    /// [`Code::UnsafePartial`](crate::error::Code::UnsafePartial) when it is not a plain file of this user.
    pub(crate) fn own(path: &Path) -> Result<Self> {
        let file = open_own(path, OFlags::CREATE | OFlags::RDWR | OFlags::APPEND)?;
        Self::of(path, file)
    }

    fn of(path: &Path, mut file: File) -> Result<Self> {
        check_encoding(path, &file)?;
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

/// Fails for a manifest in UTF-16, in which appended lines could not be read.
fn check_encoding(path: &Path, file: &File) -> Result<()> {
    let mut start = [0; 4];
    let is_file = file.metadata().is_ok_and(|metadata| metadata.is_file());
    let length = if is_file {
        file.read_at(&mut start, 0)
    } else {
        Ok(0)
    };
    let length = length.map_err(|error| Error::io("read", path, &error))?;
    without_byte_order_mark(&start[..length]).map_err(|why| {
        Error::new(
            Code::Usage,
            format!("cannot use the manifest {}", path.display()),
        )
        .with_cause(why.to_string())
        .with_hint(Utf16Text::HINT)
    })?;
    Ok(())
}
