//! `docfetch url`: a presigned URL for another tool.

use crate::config::settings::Connection;
use crate::error::Result;
use crate::fetch::is_served;
use crate::http::PresignedUrl;
use crate::interrupt::Interrupt;
use crate::model::DocumentId;
use crate::provider::Provider;
use crate::resolve::{Metadata, ResolveRequest, Resolver};
use crate::state::streams;

/// Resolves a document and gives its URL to `print`.
///
/// # Errors
/// [`Code::LocalIo`](crate::Code::LocalIo) when standard output takes no bytes,
/// [`Code::ChargeRefused`](crate::Code::ChargeRefused) where the ledger permits no retrieval, the failure of a
/// request, and what `print` returns.
pub(crate) async fn run(
    provider: Provider,
    connection: &Connection,
    id: &DocumentId,
    print: impl FnOnce(&PresignedUrl) -> Result<()>,
) -> Result<()> {
    streams::check_stdout()?;
    let interrupt = Interrupt::listen()?;
    let resolver = super::resolver(provider, connection)?;
    resolver.check_hands_over_urls(id)?;
    let mut url = None;
    let is_pending = || resolver.is_pending(id);
    let printing = interrupt.or_interrupted_after(
        async {
            // The response tells the server's time, by which URLs expire, and whether the API is there.
            let metadata = if resolver.charges() {
                resolver.metadata(id).await
            } else {
                Metadata::default()
            };
            let request = ResolveRequest {
                needs_url: true,
                metadata_failure: metadata.failure.as_ref(),
                ..ResolveRequest::default()
            };
            print(resolve(&resolver, id, &metadata, request, &mut url).await?)
        },
        is_pending,
    );
    let printed = printing.await;
    match (printed, &url) {
        (Ok(()), Some(url)) => {
            resolver.delivered(id, Some(url)).await;
            Ok(())
        }
        (printed, url) => {
            printed.map_err(|error| resolver.with_charge_hint(id, error, url.is_some()))
        }
    }
}

/// Resolves a document to `url`. Before docfetch uses a recorded URL that is past its expiry, docfetch tries the
/// URL at the storage.
async fn resolve<'a>(
    resolver: &Resolver,
    id: &DocumentId,
    metadata: &Metadata,
    request: ResolveRequest<'_>,
    url: &'a mut Option<PresignedUrl>,
) -> Result<&'a PresignedUrl> {
    let mut retry = resolver.retry();
    let mut found = resolver.resolve_within(id, &mut retry, request).await?;
    while found.is_tried_once(resolver.http().clock()) {
        *url = Some(found.clone());
        let (name, size) = (metadata.name.as_deref(), metadata.size);
        let request = match is_served(resolver.http(), &found, name, size).await {
            Ok(true) => break,
            Ok(false) => ResolveRequest {
                expired: Some(&found),
                ..request
            },
            Err(error) if !resolver.may_recharge(id) => return Err(error),
            Err(error) => {
                log::info!("the recorded URL cannot be used: {}", error.message());
                ResolveRequest {
                    refused: Some(&found),
                    ..request
                }
            }
        };
        found = resolver.resolve_within(id, &mut retry, request).await?;
    }
    Ok(url.insert(found))
}
