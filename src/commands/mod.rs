//! The subcommands, one file for each: from settings to a result. Nothing here parses arguments or prints.
//!
//! `batch` is what `fetch` and `sync` have in common, and `ids` is where `fetch` reads its ids.

mod batch;
pub(crate) mod fetch;
pub(crate) mod ids;
pub(crate) mod ledger;
pub(crate) mod list;
pub(crate) mod partials;
pub(crate) mod sandbox;
pub(crate) mod sync;
pub(crate) mod url;
pub(crate) mod verify;

use crate::config::folders;
use crate::config::settings::Connection;
use crate::error::Result;
use crate::fetch::fetcher::Fetcher;
use crate::manifest::ManifestAppender;
use crate::provider::Provider;
use crate::resolve::Resolver;

/// The resolver for the account that the environment names.
///
/// # Errors
/// [`Code::CredentialsMissing`](crate::Code::CredentialsMissing), and what
/// [`ResolverBuilder::build`](crate::resolve::ResolverBuilder::build) says.
fn resolver(provider: Provider, connection: &Connection) -> Result<Resolver> {
    let base = provider.environment_base()?;
    provider.api_base(base.as_deref(), &provider.table.variables.api_base)?; // before the credentials are looked for
    let found = provider.environment_credentials()?;
    let mut builder = Resolver::builder(provider, found.credentials)
        .credential_source(found.source)
        .connection(connection.clone());
    if let Some(base) = base {
        builder = builder.base(base);
    }
    let builder = match folders::state()? {
        Some(folder) => builder.state_folder(folder),
        None => builder.no_state_folder("neither HOME nor DOCFETCH_STATE_DIR is set"),
    };
    builder.build()
}

/// Keeps every document away from the file of the manifest, as from the file of another document.
fn reserve_manifest(fetcher: &Fetcher, manifest: Option<&ManifestAppender>) {
    let file = manifest.and_then(ManifestAppender::identity);
    fetcher.claimed().record_file(file, "\n--manifest"); // no id has a line feed
}
