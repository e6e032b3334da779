//! `docfetch url`: a presigned URL for another tool.

use crate::config::settings::Connection;
use crate::error::Result;
use crate::fetch::interrupt::Interrupt;
use crate::http::presigned::PresignedUrl;
use crate::model::DocumentId;
use crate::provider::Provider;
use crate::resolve::{Need, Resolver};

/// Resolves a document and hands its URL to `print`.
///
/// # Errors
/// What the API refuses or fails at, what the ledger does not permit, and what `print` returns.
pub async fn run(
    provider: Provider,
    connection: &Connection,
    id: &DocumentId,
    print: impl FnOnce(&PresignedUrl) -> Result<()>,
) -> Result<()> {
    let interrupt = Interrupt::listen()?;
    let resolver = Resolver::new(provider, connection)?;
    let mut retry = resolver.retry();
    let mut url = None;
    let printing = interrupt.or(async {
        if resolver.provider().charged {
            resolver.metadata(id).await; // it tells the servers' time, by which URLs expire
        }
        print(url.insert(resolver.resolve(id, &mut retry, Need::default()).await?))
    });
    let printed = printing.await;
    match (printed, &url) {
        (Ok(()), Some(url)) => {
            resolver.delivered(id, Some(url)).await;
            Ok(())
        }
        (printed, url) => {
            printed.map_err(|error| resolver.say_what_it_costs(id, error, url.is_some()))
        }
    }
}
