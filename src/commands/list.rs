//! `docfetch list`: the documents that can be fetched, page by page.

use crate::config::settings::Connection;
use crate::error::Result;
use crate::fetch::interrupt::Interrupt;
use crate::provider::Provider;
use crate::resolve::Resolver;
use crate::resolve::listing::Row;

/// Lists up to `limit` documents; each page goes to `each` before the next one is asked for.
///
/// # Errors
/// What the API refuses or fails at, and what `each` returns.
pub async fn run(
    provider: Provider,
    connection: &Connection,
    limit: Option<usize>,
    mut each: impl FnMut(&[Row]) -> Result<()>,
) -> Result<()> {
    let interrupt = Interrupt::listen()?;
    let resolver = Resolver::new(provider, connection)?;
    let mut left = limit.unwrap_or(usize::MAX);
    let mut pages = resolver.list(limit);
    while left > 0
        && let Some(rows) = interrupt.or(pages.next()).await?
    {
        let wanted = &rows[..rows.len().min(left)];
        left -= wanted.len();
        each(wanted)?;
    }
    Ok(())
}
