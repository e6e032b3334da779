//! The pages of a route with rows, one after another.
//!
//! A server may be wrong in many ways. The pages end, with [`Code::Protocol`](crate::error::Code), when the server sends
//! the same page again, sends 100 empty pages in a row, or leads from page to page in a circle.

use super::answer::{self, AnswerSource};
use super::api::{Api, ApiCall};
use super::page::{LARGE_PAGE_BYTES, MAX_NEXT_BYTES, MAX_PAGE_BYTES, NextPage, PageText};
use super::page_errors::ListedThings;
use crate::active_time;
use crate::error::{Code, Error, Result};
use crate::fingerprint::digest128;
use crate::http::backoff::{RetryContext, RetryPolicy};
use crate::http::{RequestBody, headers, shown_host};
use crate::provider::{
    BodyTemplate, Cursor, CursorPlace, Follow, Paging, RowsRoute, SlotValues, Total,
};
use crate::secret::scrub;
use crate::state::blocking;
use crate::text::counted;
use reqwest::Method;
use reqwest::header::{HeaderName, HeaderValue};
use serde_json::{Map, Value};
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;
use url::Url;

/// How many pages in a row may have no row.
const MAX_EMPTY_PAGES: u32 = 100;

/// The pages of one route.
#[derive(Debug)]
pub(super) struct Pager<'a> {
    api: &'a Api,
    retry: RetryPolicy,
    route: Arc<RowsRoute>,
    listed: ListedThings,
    /// The values of the slots in the requests.
    values: SlotValues<'a>,
    /// The next request.
    next: Option<PageCall>,
    /// How many pages were read.
    pages: u64,
    /// How many rows these pages had.
    seen: u64,
    /// How many rows there are in all, as the server says.
    total: Option<u64>,
    /// Hashes of the requests that were sent: a server that leads to one of them again never ends.
    sent: HashSet<u128>,
    /// The hash of the page before.
    last_digest: u128,
    /// How many pages in a row had no row.
    empty_in_a_row: u32,
}

/// What the first request has beside what its route says.
#[derive(Debug, Default)]
pub(super) struct FirstPage {
    /// Query parameters of the filters.
    pub(super) filters: Vec<(String, String)>,
    /// The number of rows on a page. None for as many as the route permits.
    pub(super) rows: Option<usize>,
}

/// The request for a page.
#[derive(Clone, Debug)]
struct PageCall {
    method: Method,
    url: Url,
    headers: Vec<(HeaderName, HeaderValue)>,
    media_type: &'static str,
    body: Option<Vec<u8>>,
}

impl PageCall {
    fn hash(&self) -> u128 {
        digest128(&[
            self.url.as_str().as_bytes(),
            self.body.as_deref().unwrap_or_default(),
        ])
    }

    fn set_json(&mut self, json: &Value) {
        self.media_type = "application/json";
        self.body = Some(json.to_string().into_bytes());
    }
}

impl<'a> Pager<'a> {
    /// The pages of `route`, whose requests have `values` in their slots. docfetch requests each page with the retries of
    /// `retry`. Errors call the rows what `listed` says.
    ///
    /// # Errors
    /// [`Code::Usage`] for a value that a request cannot carry.
    pub(super) fn new(
        api: &'a Api,
        retry: RetryPolicy,
        route: &RowsRoute,
        listed: ListedThings,
        values: SlotValues<'a>,
        first: FirstPage,
    ) -> Result<Self> {
        let call = api.call(&route.request, &values)?;
        let mut url = call.url;
        let numbered = match &route.paging {
            Paging::Next {
                first: Some((parameter, first)),
                ..
            }
            | Paging::Page {
                parameter, first, ..
            }
            | Paging::Offset {
                parameter, first, ..
            } => Some((parameter, *first)),
            _ => None,
        };
        let mut pairs = first.filters;
        pairs.extend(numbered.map(|(name, number)| (name.clone(), number.to_string())));
        pairs.extend(route.page.as_ref().map(|page| {
            let rows = first.rows.unwrap_or(page.rows).clamp(1, page.rows);
            (page.parameter.clone(), rows.to_string())
        }));
        if !pairs.is_empty() {
            url.query_pairs_mut().extend_pairs(pairs);
        }
        let (media_type, body) = match call.body {
            Some(RequestBody { media_type, bytes }) => (media_type, Some(bytes)),
            None => ("application/json", None),
        };
        let call = PageCall {
            method: call.method,
            url,
            headers: call.headers,
            media_type,
            body,
        };
        Ok(Self {
            api,
            retry,
            route: Arc::new(route.clone()),
            listed,
            values,
            sent: HashSet::from([call.hash()]),
            next: Some(call),
            pages: 0,
            seen: 0,
            total: None,
            last_digest: 0,
            empty_in_a_row: 0,
        })
    }

    /// How many rows the pages so far had.
    pub(super) fn seen(&self) -> u64 {
        self.seen
    }

    /// How many rows there are in all, as the server said with the latest page. None where the server does not say.
    pub(super) fn total(&self) -> Option<u64> {
        self.total
    }

    /// Whether no page is left.
    pub(super) fn is_ended(&self) -> bool {
        self.next.is_none()
    }

    /// Whether the pages so far are all rows of the list, as far as the server says how many there are.
    pub(super) fn is_complete(&self) -> bool {
        self.next.is_none() && self.total.is_none_or(|total| self.seen >= total)
    }

    /// Whether there may be more rows, as far as the server says how many there are.
    fn may_have_more(&self) -> bool {
        self.total.is_none_or(|total| self.seen < total)
    }

    /// Requests the next page; none after the last one.
    ///
    /// # Errors
    /// [`Code::Protocol`] for an answer that is no page and for pages without end; every code of an API that refuses or
    /// cannot be reached in time.
    pub(super) async fn next(&mut self) -> Result<Option<PageText>> {
        let Some(call) = self.next.take() else {
            return Ok(None);
        };
        let mut retry = RetryContext::new(self.retry, active_time::now());
        let (page, link) = loop {
            match self.request(&call, retry.time_left()).await {
                Ok(answer) => break answer,
                Err(error) => retry.wait_after(error).await?,
            }
        };
        self.pages += 1;
        self.seen += page.rows;
        self.total = page.total;
        self.next = self.after(&call, &page, link)?;
        self.check_progress(&page)?;
        Ok(Some(page))
    }

    /// The error of pages without end.
    pub(super) fn endless(&self, why: &str) -> Error {
        answer::protocol(&self.api.provider.table.title).with_cause(why)
    }

    /// The request after `current`, whose answer was `page` with the `link` in its header.
    fn after(
        &mut self,
        current: &PageCall,
        page: &PageText,
        link: Option<String>,
    ) -> Result<Option<PageCall>> {
        let route = Arc::clone(&self.route);
        let next = match (&route.paging, &page.next) {
            (Paging::Next { follow, .. }, NextPage::Url(url)) => {
                self.follow(current, url, *follow)?
            }
            (Paging::Link, _) => match link {
                Some(url) => self.follow(current, &url, Follow::Path)?,
                None => return Ok(None),
            },
            (Paging::Cursor(rule), NextPage::Cursor(cursor)) => {
                self.with_cursor(current, rule, cursor)?
            }
            (
                Paging::Page {
                    parameter, first, ..
                },
                _,
            ) if page.rows > 0 && self.may_have_more() => {
                numbered(current, parameter, first + self.pages)
            }
            (
                Paging::Offset {
                    parameter, first, ..
                },
                _,
            ) if page.rows > 0 && self.may_have_more() => {
                numbered(current, parameter, first + self.seen)
            }
            _ => return Ok(None),
        };
        if !self.sent.insert(next.hash()) {
            return Err(self.endless("its pages lead to one another for ever"));
        }
        Ok(Some(next))
    }

    /// Refuses pages without end, and warns of a list that ends early.
    fn check_progress(&mut self, page: &PageText) -> Result<()> {
        self.empty_in_a_row = if page.rows == 0 {
            self.empty_in_a_row + 1
        } else {
            0
        };
        let last_digest = std::mem::replace(&mut self.last_digest, page.digest);
        if self.next.is_some() {
            if last_digest == page.digest && page.rows > 0 {
                return Err(self.endless("it sends the same page again"));
            }
            if self.empty_in_a_row > MAX_EMPTY_PAGES {
                return Err(self.endless("it sends empty pages without end"));
            }
        } else if let Some(total) = self.total.filter(|total| self.seen < *total) {
            log::warn!(
                "the list ended early: {} of {}",
                self.seen,
                counted(total, "row")
            );
        }
        Ok(())
    }

    /// The request for the page at the URL `next`, which an answer named. The request goes to the scheme, the host and
    /// the port of the current page: a proxy in front of the API may have changed the scheme and the port that the API
    /// knows. So the credential goes to no host that an answer names.
    ///
    /// # Errors
    /// [`Code::Protocol`] for a URL that is none, and for one of another host, unless only its query counts.
    fn follow(&self, current: &PageCall, next: &str, follow: Follow) -> Result<PageCall> {
        let wrong = |why: &str| answer::protocol(&self.api.provider.table.title).with_cause(why);
        let invalid = "the URL of the next page is not valid";
        if next.len() > MAX_NEXT_BYTES {
            return Err(wrong(invalid));
        }
        let next = current.url.join(next).map_err(|_| wrong(invalid))?;
        let mut call = current.clone();
        if follow == Follow::Path {
            if next.host().is_none() {
                return Err(wrong(invalid));
            }
            if next.host() != current.url.host() {
                let host = scrub(&shown_host(&next));
                let why = format!("the next page is on another host: {host}");
                return Err(wrong(&why));
            }
            call.url.set_path(next.path());
        }
        let query = match follow {
            Follow::Path => next.query(),
            Follow::Query => Some(next.query().unwrap_or_default()),
        };
        call.url.set_query(query);
        Ok(call)
    }

    /// The request with a cursor. A route of its own has none of the first request's query parameters: the cursor stands
    /// for them.
    ///
    /// # Errors
    /// [`Code::Usage`] for a value that a request cannot carry.
    fn with_cursor(&self, current: &PageCall, rule: &Cursor, cursor: &Value) -> Result<PageCall> {
        let mut call = current.clone();
        if let Some(path) = &rule.path {
            call.url = self.api.path_url(&path.fill_path(&self.values));
        }
        match rule.place {
            CursorPlace::Query => {
                let text = match cursor {
                    Value::String(text) => text.clone(),
                    other => other.to_string(),
                };
                set_parameter(&mut call.url, &rule.parameter, &text);
            }
            CursorPlace::Json => {
                let given = match (&rule.json, &self.route.request.body) {
                    (Some(json), _) | (None, Some(BodyTemplate::Json(json))) => {
                        let json = json.fill(&self.values);
                        json.map_err(|why| Error::new(Code::Usage, why.to_string()))?
                    }
                    _ => Value::Null,
                };
                let mut fields = match given {
                    Value::Object(fields) => fields,
                    _ => Map::new(),
                };
                fields.insert(rule.parameter.clone(), cursor.clone());
                call.set_json(&Value::Object(fields));
            }
        }
        Ok(call)
    }

    /// Requests a page once. Returns the target of the answer's link to the next page as well.
    async fn request(
        &self,
        page: &PageCall,
        max_hold_wait: Duration,
    ) -> Result<(PageText, Option<String>)> {
        let api = self.api;
        let body = page.body.clone().map(|bytes| RequestBody {
            media_type: page.media_type,
            bytes,
        });
        let call = ApiCall {
            headers: page.headers.clone(),
            body,
            max_hold_wait,
            ..ApiCall::new(page.method.clone(), page.url.clone())
        };
        let reply = api.send(call).await.map_err(|failure| failure.error)?;
        if reply.status() != 200 {
            let error_at = self.route.error.as_ref();
            let url = self.first_url();
            let refusal = self.listed.refusal(api, &url, reply, error_at);
            return Err(refusal.await);
        }
        let source = AnswerSource::of(&api.provider, &reply);
        let (mut total, mut link) = (None, None);
        match &self.route.paging {
            Paging::Page {
                total: Total::Header(name),
                ..
            }
            | Paging::Offset {
                total: Total::Header(name),
                ..
            } => total = headers::count(reply.headers(), name),
            Paging::Link => link = headers::next_link(reply.headers()),
            _ => {}
        }
        let body = reply.json_body(MAX_PAGE_BYTES).await?;
        let route = Arc::clone(&self.route);
        let text = if body.len() > LARGE_PAGE_BYTES {
            blocking::run(move || PageText::parse(&source, body, &route)).await
        } else {
            PageText::parse(&source, body, &route)
        };
        let mut text = text.map_err(|error| self.listed.no_page(api, &self.first_url(), error))?;
        text.total = total.or(text.total);
        Ok((text, link))
    }

    /// The URL of the first request, without a query.
    fn first_url(&self) -> Url {
        let path = &self.route.request.path;
        self.api.path_url(&path.fill_path(&self.values))
    }
}

/// The request with this number in a query parameter.
fn numbered(current: &PageCall, parameter: &str, number: u64) -> PageCall {
    let mut call = current.clone();
    set_parameter(&mut call.url, parameter, &number.to_string());
    call
}

/// Gives a query parameter this value, in its place, else behind the others.
fn set_parameter(url: &mut Url, parameter: &str, value: &str) {
    let mut pairs: Vec<(String, String)> = url.query_pairs().into_owned().collect();
    match pairs.iter_mut().find(|(name, _)| name == parameter) {
        Some((_, known)) => value.clone_into(known),
        None => pairs.push((parameter.to_owned(), value.to_owned())),
    }
    url.query_pairs_mut().clear().extend_pairs(pairs);
}
