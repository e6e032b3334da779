//! Lists of documents: the rows of a listing, page by page.

use super::api::Api;
use super::filter::Filter;
use super::filter::query::FilterQuery;
use super::page::PageText;
use super::page_errors::{ListedThings, no_list};
use super::pager::{FirstPage, Pager};
use super::row::{self, BadRow, Row};
use super::row_names::RowNames;
use super::row_plan::RowPlan;
use super::scope::Scope;
use super::side_list::SideLists;
use crate::error::{Error, Result};
use crate::fingerprint::digest128;
use crate::http::backoff::RetryPolicy;
use crate::mutex::locked;
use crate::provider::{Lookup, Provider};
use crate::text::{counted, plural};
use std::collections::HashSet;
use std::sync::{Arc, Mutex};

/// How many rows [`Page::rows`] returns at once.
const MAX_ROWS_AT_ONCE: usize = 1000;
/// How many bytes of a page [`Page::rows`] reads at once: it stops after the row that exceeds them.
const MAX_ROW_BYTES_AT_ONCE: usize = 256 << 10;
/// How many rows that are no documents a listing returns; it counts the others.
const MAX_BAD_ROWS: u64 = 1000;

/// What the caller of a listing needs.
#[derive(Clone, Debug, Default)]
pub(crate) struct ListOptions {
    /// How many rows at most.
    pub limit: Option<usize>,
    /// Whether the caller shows the names of the things that rows refer to.
    pub shows_names: bool,
    /// The fields with such names that the caller cannot do without.
    pub needed_names: Vec<String>,
}

/// The pages of one listing.
#[derive(Debug)]
pub(crate) struct Pages<'a> {
    api: &'a Api,
    retry: RetryPolicy,
    side_lists: &'a SideLists,
    filter: &'a Filter,
    pager: Pager<'a>,
    plan: Arc<RowPlan>,
    /// The names of things for the fields of rows: from the first page on.
    names: Option<Arc<Vec<RowNames>>>,
    options: ListOptions,
    read: Arc<Mutex<RowsRead>>,
}

/// A page of a listing. Its rows are read as the caller needs them.
#[derive(Debug)]
pub(crate) struct Page<'a> {
    text: PageText,
    provider: &'a Provider,
    filter: &'a Filter,
    plan: Arc<RowPlan>,
    names: Arc<Vec<RowNames>>,
    /// The number of the next row in the listing.
    number: u64,
    is_last: bool,
    /// The hash of the page's ids so far.
    ids: Option<u128>,
    read: Arc<Mutex<RowsRead>>,
}

/// What is known of the rows of a listing that were read so far.
#[derive(Debug)]
struct RowsRead {
    /// Whether the request has every filter, and all rows so far match.
    is_filtered_by_server: bool,
    /// Hashes of the ids on each page.
    pages: HashSet<u128>,
    /// Whether a page had the ids of an earlier one.
    is_repeated: bool,
    /// How many rows are no documents.
    bad: u64,
}

/// Starts a list of the documents that match `filter`, which [`Filter::check`] accepts. docfetch requests each page with
/// the retries of `retry`.
///
/// # Errors
/// [`Code::Usage`](crate::Code::Usage) for a table without a list, and for a value that a request cannot carry.
pub(super) fn list<'a>(
    api: &'a Api,
    retry: RetryPolicy,
    side_lists: &'a SideLists,
    filter: &'a Filter,
    options: ListOptions,
) -> Result<Pages<'a>> {
    let table = &api.provider.table;
    let Some(listing) = &table.list else {
        return Err(no_list(&api.provider));
    };
    let scope = Scope::parse(filter.scope.as_deref(), &api.provider)?;
    let query = FilterQuery::of(filter, table);
    let is_exact = query.is_exact && listing.rows.only.is_none();
    let listed = ListedThings {
        thing: table.thing.clone(),
        is_main_list: true,
        references: query.references,
    };
    let mut values = api.slot_values(None);
    scope.fill(&mut values);
    let first = FirstPage {
        filters: query.pairs,
        rows: options.limit.filter(|_| is_exact),
    };
    Ok(Pages {
        pager: Pager::new(api, retry, &listing.rows, listed, values, first)?,
        plan: Arc::new(RowPlan::new(api, listing, &scope)),
        api,
        retry,
        side_lists,
        filter,
        names: None,
        options,
        read: Arc::new(Mutex::new(RowsRead {
            is_filtered_by_server: is_exact,
            pages: HashSet::new(),
            is_repeated: false,
            bad: 0,
        })),
    })
}

impl<'a> Pages<'a> {
    /// How many rows there are in all, as the server said with the latest page. None where the server
    /// does not say, and where it counts rows that the filter drops here.
    pub(crate) fn total(&self) -> Option<u64> {
        let total = self.pager.total();
        total.filter(|_| locked(&self.read).is_filtered_by_server)
    }

    /// Whether the pages so far are all rows of the list, as far as the server says how many there are.
    pub(crate) fn is_complete(&self) -> bool {
        self.pager.is_complete()
    }

    /// Requests the next page; none after the last one.
    ///
    /// # Errors
    /// [`Code::Protocol`](crate::Code::Protocol) for an answer that is no page and for pages without end; every code of an API that refuses or
    /// cannot be reached in time, also of a side list whose names the caller cannot do without.
    pub(crate) async fn next(&mut self) -> Result<Option<Page<'a>>> {
        if locked(&self.read).is_repeated && !self.pager.is_ended() {
            return Err(self.pager.endless("it sends the same page again"));
        }
        let number = self.pager.seen() + 1;
        let Some(text) = self.pager.next().await? else {
            return Ok(None);
        };
        let names = match &self.names {
            Some(names) => Arc::clone(names),
            None => Arc::new(self.read_names().await?),
        };
        self.names = Some(Arc::clone(&names));
        Ok(Some(Page {
            text,
            provider: &self.api.provider,
            filter: self.filter,
            plan: Arc::clone(&self.plan),
            names,
            number,
            is_last: self.pager.is_ended(),
            ids: None,
            read: Arc::clone(&self.read),
        }))
    }

    /// Requests the names of things for the fields of rows that the caller uses.
    ///
    /// # Errors
    /// Every code of an API that refuses or cannot be reached in time, for names that the caller cannot do without.
    async fn read_names(&self) -> Result<Vec<RowNames>> {
        let mut read = Vec::new();
        for lookup in &self.api.provider.table.lookups {
            let Some(field) = &lookup.field else {
                continue;
            };
            let is_needed = self.needs(lookup);
            if !is_needed && !self.options.shows_names {
                continue;
            }
            let found = self.side_lists.names(self.api, self.retry, lookup).await;
            let names = match found {
                Err(error) if is_needed => return Err(needed(lookup, error)),
                Err(error) => {
                    log::warn!(
                        "docfetch does not know the names of {}: {error}",
                        plural(&lookup.name)
                    );
                    None
                }
                Ok(names) => names,
            };
            read.push(RowNames {
                name: lookup.name.clone(),
                field: field.clone(),
                names,
            });
        }
        Ok(read)
    }

    fn needs(&self, lookup: &Lookup) -> bool {
        let mut wanted = self.filter.fields.iter();
        self.options.needed_names.contains(&lookup.name)
            || wanted.any(|wanted| wanted.field == lookup.name)
    }
}

/// The error of a side list that the user's options need.
fn needed(lookup: &Lookup, error: Error) -> Error {
    let name = &lookup.name;
    match error.cause().map(str::to_owned) {
        Some(why) => error.with_cause(format!(
            "{why}; --name or --where needs the {name} of each row"
        )),
        None => error.with_cause(format!("--name or --where needs the {name} of each row")),
    }
}

impl Page<'_> {
    /// How many rows the page has, whether they match or not.
    pub(crate) fn row_count(&self) -> u64 {
        self.text.rows
    }

    /// The next rows that match, and rows that are no documents: 1000 at most, and possibly none of them.
    /// None after the last row of the page.
    pub(crate) fn rows(&mut self) -> Option<Vec<Result<Row, BadRow>>> {
        let mut read = locked(&self.read);
        let (mut found, mut rows, mut bytes) = (Vec::new(), 0, 0);
        while rows < MAX_ROWS_AT_ONCE && bytes < MAX_ROW_BYTES_AT_ONCE {
            let Some(json) = self.text.next_row() else {
                break;
            };
            rows += 1;
            bytes += json.len();
            match row::read(json, self.number, &self.plan, &self.names) {
                Ok(None) => read.is_filtered_by_server = false,
                Ok(Some(row)) => {
                    let before = self.ids.unwrap_or_default().to_le_bytes();
                    self.ids = Some(digest128(&[&before, row.id.as_bytes()]));
                    if self.filter.matches(&row, &self.provider.table) {
                        found.push(Ok(row));
                    } else {
                        read.is_filtered_by_server = false;
                    }
                }
                Err(bad) => {
                    read.bad += 1;
                    if read.bad <= MAX_BAD_ROWS {
                        found.push(Err(bad));
                    }
                }
            }
            self.number += 1;
        }
        if rows > 0 {
            return Some(found);
        }
        if let Some(ids) = self.ids.take() {
            read.is_repeated |= !read.pages.insert(ids);
        }
        let more = read.bad.saturating_sub(MAX_BAD_ROWS);
        (std::mem::take(&mut self.is_last) && more > 0).then(|| {
            let why = match more {
                1 => "it is not a document",
                _ => "they are not documents",
            };
            let (shown_id, why) = (counted(more, "more row"), why.to_owned());
            vec![Err(BadRow { shown_id, why })]
        })
    }
}

#[cfg(test)]
mod paging_tests;
#[cfg(test)]
mod row_tests;
#[cfg(test)]
mod services;
#[cfg(test)]
mod tests;
