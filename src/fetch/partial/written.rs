//! Which partials this process writes at the moment, where each process has partials of its own.

use crate::mutex::locked;
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::{LazyLock, Mutex};

static WRITTEN: LazyLock<Mutex<HashSet<PathBuf>>> = LazyLock::new(Mutex::default);

/// Whether this process writes the partial at `path`.
pub(super) fn is_written_here(path: &Path) -> bool {
    locked(&WRITTEN).contains(path)
}

/// Notes that this process writes the partial at `path`.
pub(super) fn begin_writing(path: &Path) {
    locked(&WRITTEN).insert(path.to_path_buf());
}

/// Notes that this process writes the partial at `path` no longer.
pub(super) fn end_writing(path: &Path) {
    locked(&WRITTEN).remove(path);
}
