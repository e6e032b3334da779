//! Lists of documents: the pages of a listing, one after another.
//!
//! A server may be wrong in many ways. A listing ends, with [`Code::Protocol`](crate::error::Code), when
//! the server sends the same page again, sends 100 empty pages in a row, or links pages in a circle.

use super::answer::{self, AnswerSource};
use super::api::{Api, ApiCall};
use super::base_hint::other_base_hint;
use super::filter::Filter;
use super::filter::query::FilterQuery;
use super::page::{LARGE_PAGE_BYTES, MAX_PAGE_BYTES, PageText};
use super::row::{self, BadRow, Row};
use crate::active_time;
use crate::error::{Code, Error, Result};
use crate::fingerprint::digest128;
use crate::http::backoff::{RetryContext, RetryPolicy};
use crate::http::headers;
use crate::mutex::locked;
use crate::provider::{Paging, Provider};
use crate::state::blocking;
use crate::text::counted;
use reqwest::Method;
use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use url::Url;

/// How many rows [`Page::rows`] returns at once.
const MAX_ROWS_AT_ONCE: usize = 1000;
/// How many bytes of a page [`Page::rows`] reads at once: it stops after the row that exceeds them.
const MAX_ROW_BYTES_AT_ONCE: usize = 256 << 10;
/// How many rows that are no documents a listing returns; it counts the others.
const MAX_BAD_ROWS: u64 = 1000;
/// How many pages in a row may have no row.
const MAX_EMPTY_PAGES: u32 = 100;

/// The pages of one listing.
#[derive(Debug)]
pub(crate) struct Pages<'a> {
    api: &'a Api,
    retry: RetryPolicy,
    filter: &'a Filter,
    /// The options of the request whose values are ids of other things.
    references: Vec<&'static str>,
    /// The URL of the next page.
    next: Option<Url>,
    /// The number of the next page.
    next_page_number: usize,
    /// How many rows the pages so far had.
    seen: u64,
    /// How many rows there are in all, as the server says.
    total: Option<u64>,
    /// Hashes of the queries that were sent: a server that links to one of them again never ends.
    queries: HashSet<u128>,
    /// The hash of the page before.
    last_digest: u128,
    /// How many pages in a row had no row.
    empty_in_a_row: u32,
    read: Arc<Mutex<RowsRead>>,
}

/// A page of a listing. Its rows are read as the caller needs them.
#[derive(Debug)]
pub(crate) struct Page<'a> {
    text: PageText,
    provider: &'a Provider,
    filter: &'a Filter,
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

/// Starts a list of the documents that match `filter`, which [`Filter::check`] accepts. `limit` is the
/// number of rows that the caller needs at most. Each page is requested with the retries of `retry`.
pub(super) fn list<'a>(
    api: &'a Api,
    retry: RetryPolicy,
    filter: &'a Filter,
    limit: Option<usize>,
) -> Pages<'a> {
    let listing = &api.provider.listing;
    let query = FilterQuery::of(filter, listing);
    let mut url = api.route(listing.path, None);
    let limit = limit.filter(|_| query.is_exact).unwrap_or(usize::MAX);
    let page_rows = limit.clamp(1, listing.page_rows);
    url.query_pairs_mut()
        .extend_pairs(listing.query)
        .extend_pairs(&query.pairs)
        .append_pair("page", "1")
        .append_pair(listing.page_size, &page_rows.to_string());
    Pages {
        api,
        retry,
        filter,
        references: query.references,
        queries: HashSet::from([hash(url.query().unwrap_or_default())]),
        next: Some(url),
        next_page_number: 1,
        seen: 0,
        total: None,
        last_digest: 0,
        empty_in_a_row: 0,
        read: Arc::new(Mutex::new(RowsRead {
            is_filtered_by_server: query.is_exact,
            pages: HashSet::new(),
            is_repeated: false,
            bad: 0,
        })),
    }
}

impl<'a> Pages<'a> {
    /// How many rows there are in all, as the server said with the latest page. None where the server
    /// does not say, and where it counts rows that the filter drops here.
    pub(crate) fn total(&self) -> Option<u64> {
        self.total
            .filter(|_| locked(&self.read).is_filtered_by_server)
    }

    /// Whether the pages so far are all rows of the list, as far as the server says how many there are.
    pub(crate) fn is_complete(&self) -> bool {
        self.next.is_none() && self.total.is_none_or(|total| self.seen >= total)
    }

    /// Requests the next page; none after the last one.
    ///
    /// # Errors
    /// [`Code::Protocol`](crate::error::Code::Protocol) for an answer that is no page and for pages without
    /// end; every code of an API that refuses or cannot be reached in time.
    pub(crate) async fn next(&mut self) -> Result<Option<Page<'a>>> {
        let Some(url) = self.next.take() else {
            return Ok(None);
        };
        if locked(&self.read).is_repeated {
            return Err(self.endless("it sends the same page again"));
        }
        let mut retry = RetryContext::new(self.retry, active_time::now());
        let text = loop {
            match self.request(&url, retry.time_left()).await {
                Ok(text) => break text,
                Err(error) => retry.wait_after(error).await?,
            }
        };
        let number = self.seen + 1;
        self.seen += text.rows;
        self.next_page_number += 1;
        self.total = text.total;
        self.next = self.after(&url, &text)?;
        self.check_progress(&text)?;
        Ok(Some(Page {
            text,
            provider: &self.api.provider,
            filter: self.filter,
            number,
            is_last: self.next.is_none(),
            ids: None,
            read: Arc::clone(&self.read),
        }))
    }

    /// The URL of the page after `text`, which came from `current`.
    fn after(&mut self, current: &Url, text: &PageText) -> Result<Option<Url>> {
        Ok(match (self.api.provider.listing.paging, &text.next) {
            (Paging::NextField { .. }, Some(next)) => Some(self.follow(current, next)?),
            (Paging::TotalHeader { .. }, _) if text.rows > 0 && self.has_more() => {
                Some(numbered(current, self.next_page_number))
            }
            _ => None,
        })
    }

    fn has_more(&self) -> bool {
        self.total.is_none_or(|total| self.seen < total)
    }

    /// Refuses pages without end, and warns of a list that ends early.
    fn check_progress(&mut self, text: &PageText) -> Result<()> {
        self.empty_in_a_row = if text.rows == 0 {
            self.empty_in_a_row + 1
        } else {
            0
        };
        let last_digest = std::mem::replace(&mut self.last_digest, text.digest);
        if self.next.is_some() {
            if last_digest == text.digest && text.rows > 0 {
                return Err(self.endless("it sends the same page again"));
            }
            if self.empty_in_a_row > MAX_EMPTY_PAGES {
                return Err(self.endless("it sends empty pages without end"));
            }
        } else if self.has_more()
            && let Some(total) = self.total
        {
            log::warn!(
                "the list ended early: {} of {}",
                self.seen,
                counted(total, "row")
            );
        }
        Ok(())
    }

    fn endless(&self, why: &str) -> Error {
        answer::protocol(&self.api.provider.table.title).with_cause(why)
    }

    /// The URL of a `next` link. Only the link's query counts. So the credential goes to no host that an
    /// answer names, and a scheme that a proxy in front of the API got wrong does no harm.
    fn follow(&mut self, current: &Url, next: &str) -> Result<Url> {
        let title = self.api.provider.table.title.clone();
        let next = current.join(next).map_err(|_| {
            answer::protocol(&title).with_cause("the URL of the next page is not valid")
        })?;
        let query = next.query().unwrap_or_default().to_owned();
        let mut url = current.clone();
        url.set_query(Some(&query));
        if !self.queries.insert(hash(&query)) {
            return Err(self.endless("its pages lead to one another for ever"));
        }
        Ok(url)
    }

    /// The error of a list that the API does not have. A provider has its list under every account: where there is
    /// none, the base is wrong.
    fn no_list(&self, refusal: &Error) -> Error {
        let provider = &self.api.provider;
        let what = format!(
            "{} has no list of {}s at {}",
            provider.table.title,
            provider.table.thing,
            self.route()
        );
        let error = Error::new(Code::NotFound, what);
        let error = match refusal.cause() {
            Some(cause) => error.with_cause(cause),
            None => error,
        };
        match other_base_hint(provider, &self.api.base) {
            Some(hint) => error.with_hint(hint),
            None => error.with_hint(answer::wrong_base_hint(&provider.table.variables.api_base)),
        }
    }

    /// The error of an answer that is not a page of the list.
    fn no_page(&self, error: Error) -> Error {
        if error.code() != Code::Protocol {
            return error;
        }
        let what = format!(
            "the answer for {} is not a list of {}s",
            self.route(),
            self.api.provider.table.thing
        );
        let hint = other_base_hint(&self.api.provider, &self.api.base);
        let hint = hint.filter(|_| !error.has_own_hint());
        Error::new(Code::Protocol, what)
            .with_cause(error.cause().unwrap_or_default())
            .with_hint(hint.unwrap_or_else(|| error.hint().to_owned()))
    }

    /// The URL of the list, without a query.
    fn route(&self) -> Url {
        self.api.route(self.api.provider.listing.path, None)
    }

    /// Requests a page once.
    async fn request(&self, url: &Url, max_hold_wait: Duration) -> Result<PageText> {
        let provider = &self.api.provider;
        let paging = provider.listing.paging;
        let call = ApiCall {
            max_hold_wait,
            ..ApiCall::new(Method::GET, url.clone())
        };
        let reply = self.api.send(call).await.map_err(|failure| failure.error)?;
        if reply.status() != 200 {
            let what = format!("the list of {}s", provider.table.thing);
            let status = reply.status();
            let error = self.api.refusal_of(&what, reply).await;
            if status == 404 && self.references.is_empty() {
                return Err(self
                    .no_list(&error)
                    .with_http_status(status)
                    .into_permanent());
            }
            return Err(match status {
                400 | 404 if !self.references.is_empty() => {
                    let options = self.references.join(" and --");
                    error.with_hint(format!("check --{options}: perhaps nothing has that id"))
                }
                _ => error,
            });
        }
        let source = AnswerSource::of(provider, &reply);
        let total = match paging {
            Paging::NextField { .. } => None,
            Paging::TotalHeader { total } => headers::count(reply.headers(), total),
        };
        let body = reply.json_body(MAX_PAGE_BYTES).await?;
        let page = if body.len() > LARGE_PAGE_BYTES {
            blocking::run(move || PageText::parse(&source, body, paging)).await
        } else {
            PageText::parse(&source, body, paging)
        };
        let mut page = page.map_err(|error| self.no_page(error))?;
        page.total = total.or(page.total);
        Ok(page)
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
            match row::read(json, self.number, self.provider) {
                Ok(row) => {
                    let before = self.ids.unwrap_or_default().to_le_bytes();
                    self.ids = Some(digest128(&[&before, row.id.as_bytes()]));
                    if self.filter.matches(&row, &self.provider.listing) {
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

fn hash(text: &str) -> u128 {
    digest128(&[text.as_bytes()])
}

/// The URL of the page with this number.
fn numbered(url: &Url, page: usize) -> Url {
    let pairs: Vec<(String, String)> = url
        .query_pairs()
        .map(|(name, value)| match &*name {
            "page" => (name.into_owned(), page.to_string()),
            _ => (name.into_owned(), value.into_owned()),
        })
        .collect();
    let mut url = url.clone();
    url.query_pairs_mut().clear().extend_pairs(pairs);
    url
}

#[cfg(test)]
mod tests;
