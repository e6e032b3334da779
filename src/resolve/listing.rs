//! Pages of documents, one after another.

use super::filter::Filter;
use super::page::{LONG_PAGE, PageText};
use super::row::{self, BadRow, Row};
use super::{Ask, PAGE, Resolver, answer};
use crate::error::{Error, Result};
use crate::fingerprint::digest128;
use crate::http::{Reply, headers};
use crate::mutex::locked;
use crate::provider::Paging;
use crate::state::blocking;
use reqwest::Method;
use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use url::Url;

/// So many rows are handed out at once, and the bytes that they have in the page at most.
const HANDFUL: (usize, usize) = (1000, 256 << 10);
/// So many rows that are no documents are told one by one.
const BAD_ROWS: u64 = 1000;
/// So many pages in a row bring no row.
const EMPTY_PAGES: u32 = 100;

/// The pages of one listing.
#[derive(Debug)]
pub struct Pages<'a> {
    resolver: &'a Resolver,
    filter: &'a Filter,
    next: Option<Url>,
    page: usize,
    seen: u64,
    /// Rows in all, as the server says.
    total: Option<u64>,
    /// Hashes of the queries that were asked: they lead to an end.
    asked: HashSet<u128>,
    /// The hash of the page before.
    last: u128,
    /// Pages in a row without any row.
    empty: u32,
    read: Arc<Mutex<Read>>,
}

/// A page of a listing, whose rows are read when they are wanted.
#[derive(Debug)]
pub struct Page<'a> {
    text: PageText,
    resolver: &'a Resolver,
    filter: &'a Filter,
    /// The number of the next row in the listing.
    number: u64,
    is_last: bool,
    /// The hash of its ids so far.
    ids: Option<u128>,
    read: Arc<Mutex<Read>>,
}

/// What the rows of a listing were, as far as they were read.
#[derive(Debug)]
struct Read {
    /// Whether the server was asked for everything that is filtered, and has obeyed so far.
    exact: bool,
    /// Hashes of the ids on each page.
    pages: HashSet<u128>,
    /// Whether a page had the ids of an earlier one.
    repeated: bool,
    /// Rows that are no documents.
    bad: u64,
}

impl Resolver {
    /// Starts a listing of what matches `filter`, which is one that [`Filter::check`] takes; `most`
    /// rows are all that will be wanted.
    pub fn list<'a>(&'a self, filter: &'a Filter, most: Option<usize>) -> Pages<'a> {
        let listing = &self.provider.listing;
        let question = filter.question(listing);
        let mut url = self.route(listing.path, None);
        let most = most.filter(|_| question.exact).unwrap_or(usize::MAX);
        let rows = most.clamp(1, listing.page_rows);
        url.query_pairs_mut()
            .extend_pairs(listing.query)
            .extend_pairs(&question.pairs)
            .append_pair("page", "1")
            .append_pair(listing.page_size, &rows.to_string());
        Pages {
            resolver: self,
            filter,
            total: None,
            asked: HashSet::from([hash(url.query().unwrap_or_default())]),
            last: 0,
            empty: 0,
            read: Arc::new(Mutex::new(Read {
                exact: question.exact,
                pages: HashSet::new(),
                repeated: false,
                bad: 0,
            })),
            next: Some(url),
            page: 1,
            seen: 0,
        }
    }
}

impl<'a> Pages<'a> {
    /// How many rows there are in all, as the server said with the latest page; none where it does not
    /// say, and where rows are filtered here that it counts.
    pub fn total(&self) -> Option<u64> {
        self.total.filter(|_| locked(&self.read).exact)
    }

    /// The next page; none after the last one.
    ///
    /// # Errors
    /// Every code of a refused or failing API; [`Code::Protocol`](crate::error::Code::Protocol) for an
    /// answer that is no page.
    pub async fn next(&mut self) -> Result<Option<Page<'a>>> {
        let Some(url) = self.next.take() else {
            return Ok(None);
        };
        let title = self.resolver.provider.title;
        let endless = |why: &str| Err(answer::protocol(title).with_cause(why));
        if locked(&self.read).repeated {
            return endless("it sends the same page again");
        }
        let mut retry = self.resolver.retry();
        let text = loop {
            match self.ask(&url, retry.time_left()).await {
                Ok(text) => break text,
                Err(error) => retry.wait_after(error).await?,
            }
        };
        let number = self.seen + 1;
        self.seen += text.rows;
        self.page += 1;
        self.total = text.total;
        let goes_on = self.total.is_none_or(|total| self.seen < total);
        let paging = self.resolver.provider.listing.paging;
        self.next = match (paging, &text.next) {
            (Paging::NextField { .. }, Some(next)) => Some(self.follow(&url, next)?),
            (Paging::TotalHeader { .. }, _) if text.rows > 0 && goes_on => {
                Some(numbered(&url, self.page))
            }
            _ => None,
        };
        self.empty = if text.rows == 0 { self.empty + 1 } else { 0 };
        let same = std::mem::replace(&mut self.last, text.digest) == text.digest;
        if self.next.is_some() {
            if same && text.rows > 0 {
                return endless("it sends the same page again");
            }
            if self.empty > EMPTY_PAGES {
                return endless("it sends empty pages without end");
            }
        } else if goes_on && let Some(total) = self.total {
            log::warn!("the list ended early: {} of {total} rows", self.seen);
        }
        Ok(Some(Page {
            text,
            resolver: self.resolver,
            filter: self.filter,
            number,
            is_last: self.next.is_none(),
            ids: None,
            read: Arc::clone(&self.read),
        }))
    }

    /// Only the query of a `next` link counts: the credential goes to no host that an answer names,
    /// and a scheme that a proxy in front of the API got wrong does no harm.
    fn follow(&mut self, current: &Url, next: &str) -> Result<Url> {
        let title = self.resolver.provider.title;
        let next = current
            .join(next)
            .map_err(|_| answer::protocol(title).with_cause("the URL of the next page is none"))?;
        let query = next.query().unwrap_or_default().to_owned();
        let mut url = current.clone();
        url.set_query(Some(&query));
        if !self.asked.insert(hash(&query)) {
            return Err(
                answer::protocol(title).with_cause("its pages lead to one another for ever")
            );
        }
        Ok(url)
    }

    async fn ask(&self, url: &Url, patience: Duration) -> Result<PageText> {
        let (title, paging) = (
            self.resolver.provider.title,
            self.resolver.provider.listing.paging,
        );
        let ask = Ask {
            patience,
            ..Ask::new(Method::GET, url.clone())
        };
        let reply = self.resolver.authorized(ask).await;
        let reply = reply.map_err(|failure| failure.error)?;
        if reply.status() != 200 {
            return Err(self.refusal(reply).await);
        }
        let total = match paging {
            Paging::NextField { .. } => None,
            Paging::TotalHeader { total } => headers::count(reply.headers(), total),
        };
        let body = reply.body(PAGE).await?;
        let mut page = if body.len() > LONG_PAGE {
            blocking::run(move || PageText::open(title, body, paging)).await?
        } else {
            PageText::open(title, body, paging)?
        };
        page.total = total.or(page.total);
        Ok(page)
    }

    async fn refusal(&self, reply: Reply) -> Error {
        let what = format!("the list of {}s", self.resolver.provider.thing());
        self.resolver.refusal(&what, reply).await
    }
}

impl Page<'_> {
    /// How many rows it has, whether they match or not.
    pub fn row_count(&self) -> u64 {
        self.text.rows
    }

    /// The next rows that match, which may be none of them; none after the last one. Rows that are no
    /// documents are among them.
    pub fn rows(&mut self) -> Option<Vec<Result<Row, BadRow>>> {
        let provider = &self.resolver.provider;
        let mut read = locked(&self.read);
        let (mut found, mut rows, mut bytes) = (Vec::new(), 0, 0);
        while rows < HANDFUL.0 && bytes < HANDFUL.1 {
            let Some(json) = self.text.next_row() else {
                break;
            };
            rows += 1;
            bytes += json.len();
            match row::read(json, self.number, provider) {
                Ok(row) => {
                    let before = self.ids.unwrap_or_default().to_le_bytes();
                    self.ids = Some(digest128(&[&before, row.id.as_bytes()]));
                    if self.filter.matches(&row, &provider.listing) {
                        found.push(Ok(row));
                    } else {
                        read.exact = false;
                    }
                }
                Err(bad) => {
                    read.bad += 1;
                    if read.bad <= BAD_ROWS {
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
            read.repeated |= !read.pages.insert(ids);
        }
        let more = read.bad.saturating_sub(BAD_ROWS);
        (std::mem::take(&mut self.is_last) && more > 0).then(|| {
            let (shown, why) = (format!("{more} more rows"), "they are no documents".into());
            vec![Err(BadRow { shown, why })]
        })
    }
}

fn hash(text: &str) -> u128 {
    digest128(&[text.as_bytes()])
}

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
mod tests {
    use super::*;
    use crate::config::settings::Connection;
    use crate::provider::{Credentials, Provider, Resource, one_codex};
    use crate::secret::Secret;
    use serde_json::{Value, json};
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;

    /// A provider whose server gives each request the next of these pages.
    fn provider(pages: Vec<Value>, total: &'static str) -> Provider {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            for page in pages {
                let (mut stream, _) = listener.accept().unwrap();
                let _ = stream.read(&mut [0; 4096]).unwrap();
                let (page, close) = (page.to_string(), "Connection: close\r\n");
                let head = format!("Content-Length: {}\r\n{total}{close}", page.len());
                write!(stream, "HTTP/1.1 200 OK\r\n{head}\r\n{page}").unwrap();
            }
        });
        Provider {
            default_base: Box::leak(base.into_boxed_str()),
            ..one_codex(Resource::Documents)
        }
    }

    #[tokio::test]
    async fn a_total_is_told_only_while_it_counts_what_is_listed() {
        let connection = Connection {
            retries: 0,
            ..Connection::default()
        };
        let row = |id: &str, name: &str, size: u64| {
            let uri = format!("/api/v1/documents/{id}");
            json!({"$uri": uri, "filename": name, "size": size})
        };
        let filter = |name: Option<&str>, larger_than| Filter {
            name: name.map(str::to_owned),
            larger_than,
            ..Filter::default()
        };
        let counted = "X-Total-Count: 2\r\n";
        for (filter, header, totals) in [
            (filter(None, None), counted, [Some(2), Some(2)]),
            (filter(None, None), "", [None, None]),
            (filter(Some("a"), None), counted, [Some(2), Some(2)]),
            // The second row shows that the server does not obey.
            (filter(Some("1"), None), counted, [Some(2), None]),
            // It counts those of this size, too.
            (filter(None, Some(1)), counted, [None, None]),
        ] {
            let pages = [row("1", "a1", 5), row("2", "a2", 5)].map(|row| json!([row]));
            let provider = provider(pages.to_vec(), header);
            let credentials = Credentials::Key(Secret::unregistered("key"));
            let resolver = Resolver::builder(provider, credentials);
            let resolver = resolver.connection(connection.clone()).build().unwrap();
            let mut pages = resolver.list(&filter, None);
            assert_eq!(pages.total(), None);
            for total in totals {
                let mut page = pages.next().await.unwrap().unwrap();
                while page.rows().is_some() {}
                assert_eq!(pages.total(), total, "{filter:?}");
            }
        }
    }
}
