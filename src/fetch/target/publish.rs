//! Publishing a document: its partial gets the target's name, and never replaces another document's file.

use crate::error::{Code, Error, Result};
use crate::fetch::file_digest::sha256_of_file;
use crate::fetch::partial::{Partial, PublishEnd};
use crate::fetch::target::check::{TargetState, target_exists};
use crate::fetch::target::destination::Destination;
use crate::fetch::target::options::IfExists;
use crate::state::blocking;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// How often docfetch checks whether a file is visible that the file system says exists.
const MAX_CHECKS: u32 = 20;
/// The pause after each check.
const CHECK_INTERVAL: Duration = Duration::from_millis(40);

/// How often docfetch tries to publish under one name that seems free each time it is checked.
const MAX_ATTEMPTS_AT_A_NAME: u32 = 16;

/// A hook that is called with the target right before the document gets its name. An error of the hook
/// keeps the document from being published.
pub(crate) type BeforePublish = Arc<dyn Fn(&Path) -> Result<()> + Send + Sync>;

/// The result of a publication that did not fail.
#[derive(Debug)]
pub(crate) enum TargetEnd {
    /// The document has its name.
    Published,
    /// The file at the target counts as the document. The partial is unchanged.
    AlreadyThere(Box<Partial>),
}

impl Destination<'_> {
    /// Gives a complete partial its name. Checks a file that appeared at the target since the last check.
    /// `sha256` is the document's SHA-256 in hexadecimal, if it is known.
    ///
    /// With `in_thread`, the publication runs in a thread, so that those of several documents wait for the
    /// disk at the same time.
    ///
    /// # Errors
    /// [`Code::TargetExists`]; [`Code::LocalIo`] when the file system fails; the error of `before`. The
    /// partial is kept, if a later run can resume it.
    pub(crate) async fn publish(
        &mut self,
        mut partial: Partial,
        sha256: Option<&str>,
        before: Option<&BeforePublish>,
        in_thread: bool,
    ) -> Result<TargetEnd> {
        let if_exists = self.options.if_exists;
        let overwrite = if_exists == IfExists::Overwrite;
        let mut attempts_at_name = 0;
        loop {
            let target = self.target.clone().ok_or_else(unnamed)?;
            if !overwrite || !self.has_file_of_another(&target) {
                self.claimed
                    .record_file(partial.identity(), self.id.as_str());
                match publish(partial, &target, overwrite, before, in_thread).await? {
                    PublishEnd::Published => return Ok(TargetEnd::Published),
                    PublishEnd::TargetExists(back) => partial = *back,
                    PublishEnd::NameRefused(back, error) => {
                        if let Err(error) = self.replace_refused_name(error) {
                            back.keep()?;
                            return Err(error);
                        }
                        partial = *back;
                        continue;
                    }
                    PublishEnd::SameExists(back) if self.has_file_of_another(&target) => {
                        partial = *back; // two documents of this batch have the same bytes
                    }
                    PublishEnd::SameExists(back) => return Ok(TargetEnd::AlreadyThere(back)),
                }
                if !overwrite && !is_seen_soon(&target).await {
                    if if_exists == IfExists::Skip {
                        return Ok(already_there(partial));
                    }
                    partial.keep()?;
                    return Err(target_exists(
                        &target,
                        "another process has just created the file",
                    ));
                }
                let is_compared = matches!(if_exists, IfExists::Same { .. });
                if is_compared && !self.has_file_of_another(&target) {
                    if has_sha256(target, sha256).await {
                        return Ok(already_there(partial));
                    }
                    self.add_id()?;
                    continue;
                }
            }
            match self.choose_next_name(&target, &mut attempts_at_name) {
                Ok(TargetState::Writable) => {}
                Ok(TargetState::AlreadyThere) => return Ok(already_there(partial)),
                Err(error) => {
                    partial.keep()?;
                    return Err(error);
                }
            }
        }
    }

    /// Chooses a name after a file was in the way at `target`. `attempts` counts how often in a row that name
    /// seemed free all the same.
    ///
    /// # Errors
    /// As [`Destination::choose_name`]; [`Code::TargetExists`] after too many attempts at one name.
    fn choose_next_name(&mut self, target: &Path, attempts: &mut u32) -> Result<TargetState> {
        let state = self.choose_name()?;
        if !matches!(state, TargetState::Writable) || self.target.as_deref() != Some(target) {
            *attempts = 0;
        } else if *attempts < MAX_ATTEMPTS_AT_A_NAME {
            *attempts += 1;
        } else {
            let cause = "other files appear and disappear there";
            return Err(target_exists(target, cause));
        }
        Ok(state)
    }

    /// Whether the file at `target` is that of another document of the batch.
    fn has_file_of_another(&self, target: &Path) -> bool {
        std::fs::symlink_metadata(target)
            .is_ok_and(|found| self.claimed.belongs_to_another(&found, self.id.as_str()))
    }
}

fn already_there(partial: Partial) -> TargetEnd {
    TargetEnd::AlreadyThere(Box::new(partial))
}

/// Whether this process sees the file at `target`, which exists. A file system that several machines share may
/// show the file of another process late.
async fn is_seen_soon(target: &Path) -> bool {
    for _ in 0..MAX_CHECKS {
        if std::fs::symlink_metadata(target).is_ok() {
            return true;
        }
        tokio::time::sleep(CHECK_INTERVAL).await;
    }
    false
}

async fn has_sha256(target: std::path::PathBuf, sha256: Option<&str>) -> bool {
    let found = blocking::run(move || sha256_of_file(&target)).await.ok();
    sha256.is_some() && sha256 == found.as_deref()
}

async fn publish(
    partial: Partial,
    target: &Path,
    overwrite: bool,
    before: Option<&BeforePublish>,
    in_thread: bool,
) -> Result<PublishEnd> {
    let in_thread = in_thread && !partial.is_in_memory();
    let (target, before) = (target.to_path_buf(), before.cloned());
    let publish = move || {
        partial.publish(&target, overwrite, || {
            before.map_or(Ok(()), |before| before(&target))
        })
    };
    if in_thread {
        blocking::run(publish).await
    } else {
        publish()
    }
}

fn unnamed() -> Error {
    Error::new(
        Code::Unexpected,
        "a document without a name was to be published",
    )
}
