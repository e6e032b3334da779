//! `docfetch url`: a presigned URL for another tool.

use crate::config::settings::Connection;
use crate::error::Result;
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
    let resolver = Resolver::new(provider, connection)?;
    resolver.resolve(id, &mut resolver.retry()).await
}
