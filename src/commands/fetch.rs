//! `docfetch sm` and `docfetch onecodex`: one document after another.

use crate::config::settings::Connection;
use crate::error::{Code, Result};
use crate::fetch::engine::{Fetcher, Options};
use crate::fetch::events::Progress;
use crate::fetch::interrupt::Interrupt;
use crate::fetch::outcome::{Outcome, Summary};
use crate::model::DocumentId;
use crate::provider::Provider;
use crate::resolve::Resolver;
use std::ops::ControlFlow;
use std::time::Instant;

/// What is to be fetched.
#[derive(Debug)]
pub struct Batch {
    /// From whom.
    pub provider: Provider,
    /// Which documents, each once.
    pub ids: Vec<DocumentId>,
    /// How to connect.
    pub connection: Connection,
    /// Into what.
    pub options: Options,
}

/// Fetches them; each result goes to `each` as it ends, which may stop the batch.
///
/// # Errors
/// What fails before the first document: credentials, settings. A document's failure is a result.
pub async fn run(
    batch: Batch,
    watcher: &dyn Progress,
    mut each: impl FnMut(&DocumentId, &Result<Outcome>) -> ControlFlow<()>,
) -> Result<Summary> {
    let started = Instant::now();
    let mut interrupt = Interrupt::listen()?;
    let resolver = Resolver::new(batch.provider, &batch.connection)?;
    let fetcher = Fetcher::new(resolver, batch.options);
    let mut summary = Summary::default();
    for id in &batch.ids {
        let result = fetcher.fetch(id, watcher, &mut interrupt).await;
        match &result {
            Ok(outcome) => summary.add(outcome),
            Err(error) => summary.add_failure(error),
        }
        let interrupted = matches!(&result, Err(error) if error.code() == Code::Interrupted);
        if let Err(error) = &result
            && interrupted
        {
            summary.exit_code = error.exit_code();
        }
        if each(id, &result).is_break() || interrupted {
            break;
        }
    }
    summary.elapsed_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    Ok(summary)
}
