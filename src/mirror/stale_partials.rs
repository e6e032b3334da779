//! Partials of documents that the mirror has. A process that is killed right after it published a document leaves them,
//! and the next run skips that document.

use super::sync::MirrorSync;
use crate::error::Error;
use crate::fetch::engine::Job;
use crate::fetch::partial::{UnfinishedPartial, list_partials, remove_left};
use crate::mutex::locked;
use crate::state::blocking;
use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

impl MirrorSync<'_> {
    /// Removes the partials of the documents that this run found up to date, unless a process may still use them.
    /// Reads each folder of the mirror once. A failure is only logged.
    pub(crate) async fn remove_stale_partials(&self) {
        let mirror = Arc::clone(&self.mirror);
        let mut partials = blocking::run(move || partials_in(&mirror.folders())).await;
        if partials.is_empty() {
            return;
        }
        let stale = self.names_of_stale_partials();
        partials.retain(|partial| stale.contains(partial.document()));
        blocking::run(move || remove_left(Ok(partials), SystemTime::now())).await;
    }

    /// What the documents that this run found up to date are called in the names of their partials.
    fn names_of_stale_partials(&self) -> HashSet<String> {
        let provider = &self.fetcher.resolver().provider().table.name;
        let ids = std::mem::take(&mut *locked(&self.up_to_date));
        let names = ids.into_iter().filter_map(|id| {
            let version = self.mirror.entry(provider, id.as_str())?.version;
            let job = Job {
                version: self.version_of_partial(&version),
                ..id.into()
            };
            Some(self.fetcher.partial_name(&job))
        });
        names.collect()
    }
}

/// The partials in all these folders, without those in the folders below.
fn partials_in(folders: &[PathBuf]) -> Vec<UnfinishedPartial> {
    let unread = |error: Error| log::info!("{}", error.message());
    let found = folders
        .iter()
        .filter_map(|folder| list_partials(folder).map_err(unread).ok());
    found.flatten().collect()
}
