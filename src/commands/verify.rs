//! `docfetch verify`: files against a manifest, on all cores, without the network.

use crate::error::panics;
use crate::error::{Code, Error, Result};
use crate::manifest::{
    self, CheckedFile, MIRROR_FOLDER, Manifest, ManifestEntry, MatchingFile, VerifySummary,
    check_file,
};
use crate::state::streams::Stdin;
use crate::text::{Utf16Text, shell_argument};
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io::BufReader;
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Instant;

/// How many bytes of a file each thread reads at once.
const FILE_READ_BYTES: usize = 256 << 10;

/// Reads a manifest; `-` is standard input. The log tells which lines cannot be read. The paths of the entries
/// lead to the files from the current folder.
///
/// # Errors
/// [`Code::LocalIo`] when the file cannot be read; [`Code::Usage`] when the file is no manifest, is UTF-16, or
/// holds no document.
pub(crate) fn read(path: &Path) -> Result<Manifest> {
    let stdin = path == Path::new("-");
    if !stdin && path.is_dir() {
        return Err(is_a_folder(path));
    }
    let (name, read) = if stdin {
        let input = BufReader::new(Stdin);
        (Path::new("standard input"), manifest::read(input))
    } else {
        let open = File::open(path).map(BufReader::new);
        (path, open.and_then(manifest::read))
    };
    let read = read.map_err(|error| {
        let failed = Error::io("read", name, &error);
        match error.get_ref().and_then(|inner| inner.downcast_ref()) {
            Some(utf16 @ Utf16Text) => Error::new(Code::Usage, failed.what())
                .with_cause(utf16.to_string())
                .with_hint(Utf16Text::HINT),
            None => failed,
        }
    })?;
    let mut manifest = read.ok_or_else(|| {
        Error::new(Code::Usage, format!("{} is not a manifest", name.display()))
            .with_cause("it holds neither JSON records of docfetch nor lines of sha256sum")
            .with_hint(
                "give what --json printed, DIR/.docfetch/manifest.jsonl, or what sha256sum printed",
            )
    })?;
    for number in &manifest.unreadable {
        log::error!("{}: line {number} cannot be read", name.display());
    }
    for number in &manifest.too_long {
        log::warn!(
            "{}: line {number} has more than a million characters and is skipped",
            name.display()
        );
    }
    for number in &manifest.torn {
        log::warn!(
            "{}: line {number} was cut short, because a run ended early: docfetch skips the line",
            name.display()
        );
    }
    if manifest.entries.is_empty() && manifest.unreadable.is_empty() {
        let what = format!("{} holds no document", name.display());
        return Err(Error::new(Code::Usage, what)
            .with_cause("no line names a file that docfetch wrote or skipped")
            .with_hint(
                "give what --json printed, DIR/.docfetch/manifest.jsonl, or what sha256sum printed",
            ));
    }
    if !stdin && let Some(base) = base(path) {
        for entry in &mut manifest.entries {
            entry.path = base.join(&entry.path);
        }
    }
    Ok(manifest)
}

/// The error of a folder in place of a manifest; names the manifest of a mirror.
fn is_a_folder(folder: &Path) -> Error {
    let known = [".docfetch/manifest.jsonl", "manifest.jsonl"];
    let mut known = known.iter().map(|name| folder.join(name));
    let (cause, hint) = match known.find(|manifest| manifest.is_file()) {
        Some(manifest) => {
            let manifest = manifest.display().to_string();
            let command = shell_argument(&manifest);
            (
                format!("it is a folder; the manifest in it is {manifest}"),
                format!("`docfetch verify {command}`"),
            )
        }
        None => (
            "it is a folder without a manifest of `docfetch sync`".to_owned(),
            "give the file of --manifest, or what --json printed".to_owned(),
        ),
    };
    let what = format!("cannot read {}", folder.display());
    Error::new(Code::LocalIo, what)
        .with_cause(cause)
        .with_hint(hint)
}

/// The folder at which the paths of a mirror's own manifest start: the parent of `.docfetch`. None for other
/// manifests, whose paths start at the current folder.
fn base(manifest: &Path) -> Option<PathBuf> {
    let own = OsStr::new(MIRROR_FOLDER);
    let folder = manifest.parent()?;
    if let Some(name) = folder.file_name() {
        let mirror = folder.parent().filter(|_| name == own);
        return mirror.map(Path::to_owned);
    }
    // The current folder, or one that ends with `..`: the system knows their names.
    let real = Path::new(".").join(folder).canonicalize().ok()?;
    (real.file_name() == Some(own)).then(|| folder.join(".."))
}

/// Checks every file of a manifest. `each` sees each file, in the order of the manifest. With `digests`, docfetch
/// also computes the SHA-256 of files for which the manifest has none.
///
/// # Errors
/// What `each` returns. docfetch then checks no further file.
pub(crate) fn run(
    manifest: &Manifest,
    digests: bool,
    mut each: impl FnMut(&CheckedFile<'_>) -> Result<()>,
) -> Result<VerifySummary> {
    let started = Instant::now();
    let mut summary = VerifySummary::default();
    summary.add_wrong(manifest.unreadable.len() as u64);
    in_order(&manifest.entries, digests, |checked| {
        if let Ok(found) = &checked.result {
            let path = checked.entry.path.display();
            log::info!("{path}: {}", matching(checked.entry, found));
        }
        summary.add(checked);
        each(checked)
    })?;
    summary.elapsed_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    Ok(summary)
}

/// What the manifest and the file have in common.
fn matching(entry: &ManifestEntry, found: &MatchingFile) -> String {
    match (&entry.sha256, entry.bytes) {
        (Some(sha256), _) => format!("has SHA-256 {sha256}"),
        (None, Some(_)) => format!("has {} bytes; its SHA-256 is not known", found.bytes),
        (None, None) => "exists; neither length nor SHA-256 is known".to_owned(),
    }
}

/// Checks the entries on one thread for each core, and gives the results to `each` in the order of the entries.
fn in_order<'a>(
    entries: &'a [ManifestEntry],
    digests: bool,
    mut each: impl FnMut(&CheckedFile<'a>) -> Result<()>,
) -> Result<()> {
    let next = AtomicUsize::new(0);
    let stopped = AtomicBool::new(false);
    let is_running = || !stopped.load(Ordering::Relaxed);
    let work = |sender: &mpsc::Sender<(usize, CheckedFile<'a>)>| {
        let mut buffer = vec![0; FILE_READ_BYTES];
        while is_running() {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(entry) = entries.get(index) else {
                break;
            };
            let result = panics::catch(|| check_file(entry, digests, &mut buffer, is_running));
            let result = result.unwrap_or_else(|panic| Err(panic.into()));
            if sender.send((index, CheckedFile { entry, result })).is_err() {
                break;
            }
        }
    };
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    thread::scope(|scope| {
        let (sender, receiver) = mpsc::channel();
        for started in 0..cores.min(entries.len()) {
            let own = sender.clone();
            let spawned = thread::Builder::new().spawn_scoped(scope, move || work(&own));
            if spawned.is_err() {
                // The system gives no more threads: those that run do the work, else this one.
                if started == 0 {
                    work(&sender);
                }
                break;
            }
        }
        drop(sender);
        let mut early = BTreeMap::new();
        let mut due = 0;
        let told = receiver.iter().try_for_each(|(index, checked)| {
            early.insert(index, checked);
            while let Some(checked) = early.remove(&due) {
                due += 1;
                each(&checked)?;
            }
            Ok(())
        });
        stopped.store(true, Ordering::Relaxed);
        told
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_a_mirrors_own_manifest_are_relative_to_the_mirror() {
        for (manifest, expected) in [
            (".docfetch/manifest.jsonl", Some("")),
            ("./.docfetch/manifest.jsonl", Some(".")),
            ("a/.docfetch/manifest.jsonl", Some("a")),
            ("/a/b/.docfetch/x", Some("/a/b")),
            ("/.docfetch/x", Some("/")),
            ("a/manifest.jsonl", None),
            ("a.docfetch/manifest.jsonl", None),
            (".docfetch/a/manifest.jsonl", None),
            (".docfetch", None),
            ("manifest.jsonl", None),
            ("../manifest.jsonl", None),
            ("/manifest.jsonl", None),
        ] {
            let found = base(Path::new(manifest));
            assert_eq!(found, expected.map(PathBuf::from), "{manifest}");
        }
    }
}
