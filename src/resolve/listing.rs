//! Pages of documents, one after another.

use super::filter::Filter;
use super::{Ask, PAGE, Resolver, answer};
use crate::error::{Error, Result};
use crate::http::headers;
use crate::http::send::Reply;
use crate::model::{DocumentId, LARGEST_SIZE};
use crate::provider::Paging;
use crate::secret::{is_in, redact, redact_value};
use reqwest::Method;
use serde::Serialize;
use serde_json::{Map, Value};
use std::collections::HashSet;
use std::time::Duration;
use url::Url;

/// A document that can be fetched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Row {
    /// The provider's name.
    pub provider: &'static str,
    /// The id to fetch it by.
    pub id: String,
    /// Its file name.
    pub name: Option<String>,
    /// Its size in bytes.
    pub size: Option<u64>,
    /// When it was last changed, as the provider writes it (ISO 8601).
    pub modified: Option<String>,
    /// The provider's own fields.
    #[serde(flatten)]
    pub fields: Map<String, Value>,
}

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
    /// Whether the server was asked for everything that is filtered, and has obeyed so far.
    exact: bool,
    /// Queries of the pages that were asked for.
    asked: HashSet<String>,
    /// The rows of the page before, where pages are only counted.
    last: Vec<Value>,
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
            exact: question.exact,
            asked: HashSet::from([url.query().unwrap_or_default().to_owned()]),
            next: Some(url),
            page: 1,
            seen: 0,
            last: Vec::new(),
        }
    }
}

impl Pages<'_> {
    /// How many rows there are in all, as the server said with the latest page; none where it does not
    /// say, and where rows are filtered here that it counts.
    pub fn total(&self) -> Option<u64> {
        self.total.filter(|_| self.exact)
    }

    /// The rows of the next page that match, which may be none of them; none after the last page.
    ///
    /// # Errors
    /// Every code of a refused or failing API; [`Code::Protocol`] for an answer that is no page.
    ///
    /// [`Code::Protocol`]: crate::error::Code::Protocol
    pub async fn next(&mut self) -> Result<Option<Vec<Row>>> {
        let Some(url) = self.next.take() else {
            return Ok(None);
        };
        let mut retry = self.resolver.retry();
        let (rows, total, next) = loop {
            match self.ask(&url, retry.left()).await {
                Ok(page) => break page,
                Err(error) => retry.pause(error).await?,
            }
        };
        self.seen += rows.len() as u64;
        self.page += 1;
        self.next = match self.resolver.provider.listing.paging {
            Paging::NextField { .. } => next.map(|next| self.follow(&url, &next)).transpose()?,
            Paging::TotalHeader { .. } => {
                let more = !rows.is_empty() && total.is_none_or(|total| self.seen < total);
                if more && self.last == rows {
                    let title = self.resolver.provider.title;
                    return Err(answer::protocol(title).why("it sends the same page again"));
                }
                self.last.clone_from(&rows);
                more.then(|| numbered(&url, self.page))
            }
        };
        if self.next.is_none() && total.is_some_and(|total| self.seen < total) {
            log::warn!(
                "the list ended early: {} of {} rows",
                self.seen,
                total.unwrap_or(0)
            );
        }
        let listing = &self.resolver.provider.listing;
        let mut found = Vec::with_capacity(rows.len());
        for row in &rows {
            let row = self.row(row)?;
            if self.filter.matches(&row, listing) {
                found.push(row);
            } else {
                self.exact = false;
            }
        }
        self.total = total;
        Ok(Some(found))
    }

    /// Only the query of a `next` link counts: the credential goes to no host that an answer names,
    /// and a scheme that a proxy in front of the API got wrong does no harm.
    fn follow(&mut self, current: &Url, next: &str) -> Result<Url> {
        let title = self.resolver.provider.title;
        let next = current
            .join(next)
            .map_err(|_| answer::protocol(title).why("the URL of the next page is none"))?;
        let query = next.query().unwrap_or_default().to_owned();
        let mut url = current.clone();
        url.set_query(Some(&query));
        if !self.asked.insert(query) {
            return Err(answer::protocol(title).why("its pages lead to one another for ever"));
        }
        Ok(url)
    }

    async fn ask(
        &self,
        url: &Url,
        patience: Duration,
    ) -> Result<(Vec<Value>, Option<u64>, Option<String>)> {
        let title = self.resolver.provider.title;
        let reply = self
            .resolver
            .authorized(Ask {
                patience,
                ..Ask::new(Method::GET, url)
            })
            .await
            .map_err(|failure| failure.error)?;
        if reply.status() != 200 {
            return Err(self.refusal(reply).await);
        }
        match self.resolver.provider.listing.paging {
            Paging::NextField { rows, next, count } => {
                let mut page: Map<String, Value> = answer::json(title, &reply.body(PAGE).await?)?;
                let total = page.get(count).and_then(Value::as_u64);
                let total = total.map(|total| total.min(LARGEST_SIZE));
                let next = match page.get(next) {
                    None | Some(Value::Null) => None,
                    Some(Value::String(next)) => Some(next.clone()),
                    Some(_) => return Err(answer::protocol(title).why(format!("{next} is no URL"))),
                };
                match page.remove(rows) {
                    Some(Value::Array(rows)) => Ok((rows, total, next)),
                    _ => Err(answer::protocol(title).why(format!("{rows} is missing"))),
                }
            }
            Paging::TotalHeader { total } => {
                let total = headers::count(reply.headers(), total);
                Ok((answer::json(title, &reply.body(PAGE).await?)?, total, None))
            }
        }
    }

    async fn refusal(&self, reply: Reply) -> Error {
        let what = format!("the list of {}s", self.resolver.provider.thing());
        self.resolver.refusal(&what, reply).await
    }

    fn row(&self, row: &Value) -> Result<Row> {
        let provider = &self.resolver.provider;
        let listing = &provider.listing;
        let text = |field: &str| row.get(field).and_then(Value::as_str).map(str::to_owned);
        let malformed = |why: String| -> Error { answer::protocol(provider.title).why(why) };
        let id =
            text(listing.id).ok_or_else(|| malformed(format!("a row has no {}", listing.id)))?;
        let id = DocumentId::parse(&id, provider.id_uri_prefix)
            .map_err(|rule| malformed(format!("a row's {} is no id: {rule}", listing.id)))?;
        if is_in(id.as_str()) {
            return Err(malformed(format!("a row's {} is a secret", listing.id)));
        }
        let clean = |mut value: Value| {
            redact_value(&mut value, false);
            value
        };
        let kind = provider
            .resource
            .map(|kind| ("resource", kind.name().into()));
        let own = listing.fields.iter().map(|field| {
            let value = row.get(*field).cloned();
            (*field, clean(value.unwrap_or(Value::Null)))
        });
        let own = kind.into_iter().chain(own);
        Ok(Row {
            provider: provider.name,
            id: id.as_str().to_owned(),
            name: listing
                .name
                .iter()
                .find_map(|field| text(field))
                .filter(|name| !is_in(name)),
            size: listing
                .size
                .and_then(|field| row.get(field)?.as_u64())
                .filter(|size| *size <= LARGEST_SIZE),
            modified: text(listing.modified).map(|text| redact(&text).into_owned()),
            fields: own
                .map(|(field, value)| (field.to_owned(), value))
                .collect(),
        })
    }
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
    use crate::provider::{Auth, Provider, Resource, one_codex};
    use serde_json::json;
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
            base_variable: "DOCFETCH_NO_SUCH_BASE",
            auth: Auth::Key {
                header: "x-api-key",
                key: "PATH", // which is always set
                bearer: "DOCFETCH_NO_SUCH_TOKEN",
                home_file: None,
            },
            ..one_codex(Resource::Documents)
        }
    }

    #[tokio::test]
    async fn a_total_is_told_only_while_it_counts_what_is_listed() {
        let connection = Connection {
            ca_cert: None,
            proxy: None,
            connect_timeout: Duration::from_secs(10),
            stall_timeout: Duration::from_secs(10),
            retries: 0,
            retry_max_time: Duration::from_secs(10),
            rate_limit: None,
            allow_recharge: false,
            max_charges: None,
            allow_private: false,
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
            let resolver = Resolver::new(provider, &connection).unwrap();
            let mut pages = resolver.list(&filter, None);
            assert_eq!(pages.total(), None);
            for total in totals {
                assert!(pages.next().await.unwrap().is_some());
                assert_eq!(pages.total(), total, "{filter:?}");
            }
        }
    }
}
