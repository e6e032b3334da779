//! `docfetch url`: a presigned URL for another tool.

use crate::config::settings::Connection;
use crate::error::Result;
use crate::fetch::interrupt::Interrupt;
use crate::http::presigned::PresignedUrl;
use crate::model::DocumentId;
use crate::provider::Provider;
use crate::resolve::Resolver;

/// Resolves a document.
///
/// # Errors
/// What the API refuses or fails at.
pub async fn run(
    provider: Provider,
    connection: &Connection,
    id: &DocumentId,
) -> Result<PresignedUrl> {
    let mut interrupt = Interrupt::listen()?;
    let resolver = Resolver::new(provider, connection)?;
    let mut retry = resolver.retry();
    let asked = interrupt.or(resolver.resolve(id, &mut retry)).await;
    asked.map_err(|error| resolver.say_what_it_costs(id, error))
}
