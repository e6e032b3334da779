//! `docfetch list`: the documents that can be fetched, page by page.

use crate::config::settings::Connection;
use crate::error::Result;
use crate::interrupt::Interrupt;
use crate::provider::Provider;
use crate::resolve::Filter;
use crate::resolve::Page;
use crate::resolve::{BadRow, Row};

/// How many rows go to `each` at once while a page is on its way.
const HANDFUL: usize = 10;

/// Lists up to `limit` documents that match `filter`. The first rows go to `each` before the next page
/// is asked for; later ones while it is.
///
/// # Errors
/// A filter that the provider has not, what the API refuses or fails at, and what `each` returns.
pub(crate) async fn run(
    provider: Provider,
    connection: &Connection,
    filter: &Filter,
    limit: Option<usize>,
    mut each: impl FnMut(&[Row]) -> Result<()>,
) -> Result<()> {
    filter.check(&provider)?;
    let interrupt = Interrupt::listen()?;
    let resolver = super::resolver(provider, connection)?;
    let mut pages = resolver.list(filter, limit);
    let mut left = limit.unwrap_or(usize::MAX);
    let mut printed = false;
    let mut ahead = None;
    while left > 0 {
        let page = match ahead.take() {
            Some(page) => page,
            None => interrupt.or_interrupted(Box::pin(pages.next())).await,
        };
        let Some(page) = page? else { break };
        // A page that may hold all that is wanted is read before the next one is asked for.
        let goes_on = page.row_count() < left as u64;
        let printed_before = printed;
        let printing = print(page, &mut left, &mut printed, &mut each);
        ahead = if goes_on && printed_before {
            // A failure of the next page waits until the rows of this one are out.
            let asking = async { Ok(pages.next().await) };
            let both = Box::pin(async { tokio::try_join!(asking, printing) });
            Some(interrupt.or_interrupted(both).await?.0)
        } else {
            interrupt.or_interrupted(Box::pin(printing)).await?;
            None
        };
    }
    // A table shows that it is empty.
    if printed || left == 0 {
        return Ok(());
    }
    each(&[])
}

/// Hands out the rows of a page, but no more than are `left`, and lets a request that is on its way go on
/// in between.
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
                Err(BadRow { shown, why }) => log::warn!("{shown} is not listed: {why}"),
            }
        }
        rows.truncate(*left);
        *left -= rows.len();
        // The columns of a table are fitted to the first rows.
        let handful = if *printed { HANDFUL } else { rows.len().max(1) };
        for rows in rows.chunks(handful) {
            *printed = true;
            each(rows)?;
            tokio::task::yield_now().await;
        }
    }
    Ok(())
}
