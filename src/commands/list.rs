//! `docfetch list`: the documents that can be fetched, page by page.

use crate::config::settings::Connection;
use crate::error::Result;
use crate::interrupt::Interrupt;
use crate::provider::Provider;
use crate::resolve::filter::Filter;
use crate::resolve::{BadRow, ListOptions, Page, Row};

/// How many rows `each` gets at once while docfetch requests the next page.
const ROWS_AT_ONCE: usize = 10;

/// Lists up to as many documents as `options` say that match `filter`. `each` gets the first rows before docfetch requests the
/// next page, and later rows while docfetch requests it. When no document matches, `each` gets an empty list.
///
/// # Errors
/// [`Code::Usage`](crate::Code::Usage) for a filter that the provider does not have, the failure of a request,
/// and what `each` returns.
pub(crate) async fn run(
    provider: Provider,
    connection: &Connection,
    filter: &Filter,
    options: ListOptions,
    mut each: impl FnMut(&[Row]) -> Result<()>,
) -> Result<()> {
    filter.check(&provider)?;
    let interrupt = Interrupt::listen()?;
    let resolver = super::resolver(provider, connection)?;
    let naming = resolver.with_ids(filter.clone());
    let filter = interrupt.or_interrupted(Box::pin(naming)).await?;
    let mut left = options.limit.unwrap_or(usize::MAX);
    let mut pages = resolver.list(&filter, options)?;
    let mut printed = false;
    let mut next_page = None;
    while left > 0 {
        let page = match next_page.take() {
            Some(page) => page,
            None => interrupt.or_interrupted(Box::pin(pages.next())).await,
        };
        let Some(page) = page? else { break };
        // When the page may hold all rows that are left, docfetch reads it before it requests another one.
        let needs_more = page.row_count() < left as u64;
        let printed_before = printed;
        let printing = print(page, &mut left, &mut printed, &mut each);
        next_page = if needs_more && printed_before {
            // A failure of the next page waits until the rows of this page are printed.
            let requesting = async { Ok(pages.next().await) };
            let both = Box::pin(async { tokio::try_join!(requesting, printing) });
            Some(interrupt.or_interrupted(both).await?.0)
        } else {
            interrupt.or_interrupted(Box::pin(printing)).await?;
            None
        };
    }
    if printed || left == 0 {
        return Ok(());
    }
    each(&[])
}

/// Gives the rows of a page to `each`, at most as many as are `left`. Yields between them, so that the request
/// of the next page proceeds.
async fn print(
    mut page: Page<'_>,
    left: &mut usize,
    printed: &mut bool,
    mut each: impl FnMut(&[Row]) -> Result<()>,
) -> Result<()> {
    while *left > 0
        && let Some(read) = page.rows()
    {
        tokio::task::yield_now().await;
        let mut rows = Vec::with_capacity(read.len());
        for row in read {
            match row {
                Ok(row) => rows.push(row),
                Err(BadRow { shown_id, why }) => log::warn!("{shown_id} is not listed: {why}"),
            }
        }
        rows.truncate(*left);
        *left -= rows.len();
        // The first rows decide the widths of a table's columns.
        let at_once = if *printed {
            ROWS_AT_ONCE
        } else {
            rows.len().max(1)
        };
        for rows in rows.chunks(at_once) {
            *printed = true;
            each(rows)?;
            tokio::task::yield_now().await;
        }
    }
    Ok(())
}
