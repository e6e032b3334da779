//! `docfetch list`: the documents that can be fetched, page by page.

use crate::config::settings::Connection;
use crate::error::Result;
use crate::fetch::interrupt::Interrupt;
use crate::provider::Provider;
use crate::resolve::Resolver;
use crate::resolve::filter::Filter;
use crate::resolve::listing::Row;

/// How many rows go to `each` at once while a page is on its way.
const HANDFUL: usize = 10;

/// Lists up to `limit` documents that match `filter`. The first rows go to `each` before the next page
/// is asked for; later ones while it is.
///
/// # Errors
/// A filter that the provider has not, what the API refuses or fails at, and what `each` returns.
pub async fn run(
    provider: Provider,
    connection: &Connection,
    filter: &Filter,
    limit: Option<usize>,
    mut each: impl FnMut(&[Row]) -> Result<()>,
) -> Result<()> {
    filter.check(&provider)?;
    let interrupt = Interrupt::listen()?;
    let resolver = Resolver::new(provider, connection)?;
    let mut pages = resolver.list(filter, limit);
    let mut left = limit.unwrap_or(usize::MAX);
    let mut printed = false;
    let mut ahead = None;
    while left > 0 {
        let page = match ahead.take() {
            Some(page) => page,
            None => interrupt.or(Box::pin(pages.next())).await,
        };
        let Some(rows) = page? else { break };
        let wanted = &rows[..rows.len().min(left)];
        left -= wanted.len();
        if printed && left > 0 {
            // A failure of the next page waits until the rows of this one are out.
            let asking = async { Ok(pages.next().await) };
            let printing = in_handfuls(wanted, &mut each);
            let both = Box::pin(async { tokio::try_join!(asking, printing) });
            ahead = Some(interrupt.or(both).await?.0);
        } else if !wanted.is_empty() {
            each(wanted)?;
            printed = true;
        }
    }
    // A table shows that it is empty.
    if printed || left == 0 {
        return Ok(());
    }
    each(&[])
}

/// Hands out rows, and lets a request that is on its way go on in between.
async fn in_handfuls(rows: &[Row], mut each: impl FnMut(&[Row]) -> Result<()>) -> Result<()> {
    for rows in rows.chunks(HANDFUL) {
        tokio::task::yield_now().await;
        each(rows)?;
    }
    Ok(())
}
