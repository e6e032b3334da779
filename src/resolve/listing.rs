//! Pages of documents, one after another.

use super::{ANSWER, Ask, Resolver, answer};
use crate::error::{Error, Result};
use crate::http::headers;
use crate::model::DocumentId;
use crate::provider::Paging;
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
    next: Option<Url>,
    page: usize,
    seen: u64,
    /// Queries of the pages that were asked for.
    asked: HashSet<String>,
    /// The rows of the page before, where pages are only counted.
    last: Vec<Value>,
}

impl Resolver {
    /// Starts a listing; `most` rows are all that will be wanted.
    pub fn list(&self, most: Option<usize>) -> Pages<'_> {
        let listing = &self.provider.listing;
        let mut url = self.route(listing.path, None);
        let rows = most.unwrap_or(usize::MAX).clamp(1, listing.page_rows);
        url.query_pairs_mut()
            .extend_pairs(listing.query)
            .append_pair("page", "1")
            .append_pair(listing.page_size, &rows.to_string());
        Pages {
            resolver: self,
            asked: HashSet::from([url.query().unwrap_or_default().to_owned()]),
            next: Some(url),
            page: 1,
            seen: 0,
            last: Vec::new(),
        }
    }
}

impl Pages<'_> {
    /// The next page, none after the last.
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
        rows.iter()
            .map(|row| self.row(row))
            .collect::<Result<_>>()
            .map(Some)
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
            return Err(self.resolver.refusal("the list of documents", reply).await);
        }
        match self.resolver.provider.listing.paging {
            Paging::NextField { rows, next, count } => {
                let mut page: Map<String, Value> = answer::json(title, &reply.body(ANSWER).await?)?;
                let total = page.get(count).and_then(Value::as_u64);
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
                let total = headers::text(reply.headers(), total).and_then(|n| n.parse().ok());
                Ok((
                    answer::json(title, &reply.body(ANSWER).await?)?,
                    total,
                    None,
                ))
            }
        }
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
        let own = listing.fields.iter().map(|field| {
            (
                (*field).to_owned(),
                row.get(*field).cloned().unwrap_or(Value::Null),
            )
        });
        Ok(Row {
            provider: provider.name,
            id: id.as_str().to_owned(),
            name: text(listing.name),
            size: listing.size.and_then(|field| row.get(field)?.as_u64()),
            modified: text(listing.modified),
            fields: own.collect(),
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
