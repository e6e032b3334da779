//! The pages of a service's lists, in each kind of paging.

use super::answers::AnswerJson;
use super::received::{Received, encoded};
use crate::provider::{
    BodyTemplate, Cursor, CursorPlace, Paging, RowsRoute, ServerFilterRule, SlotValues, Total,
};
use crate::sandbox::answer::{Answer, insert_header, json};
use hyper::header::LINK;
use serde_json::{Map, Value, json};
use std::net::SocketAddr;

/// The parameter of a page's number where the table names none.
const PAGE: &str = "page";
/// How many rows a page has at most where the table does not say.
const DEFAULT_PAGE_ROWS: usize = 100;
/// A list is sent in about this many pages, so that a few documents need several pages, too.
const USUAL_PAGES: usize = 3;
/// No page is made smaller than this.
const MIN_PAGE_ROWS: usize = 2;

/// A request for a page.
pub(super) struct PageCall<'a> {
    pub(super) route: &'a RowsRoute,
    pub(super) filters: Vec<&'a ServerFilterRule>,
    pub(super) values: &'a SlotValues<'a>,
    pub(super) received: &'a Received,
    /// The query parameter of the credential.
    pub(super) key_parameter: Option<&'a str>,
    /// Whether the request came on the path of the pages after the first.
    pub(super) continues: bool,
    /// Where the service listens.
    pub(super) address: SocketAddr,
}

/// What a request for a page selects.
#[derive(Debug, Default)]
struct PageSelection {
    number: Option<usize>,
    /// How many rows come before the page, as a cursor says.
    cursor: Option<usize>,
    rows: Option<usize>,
}

impl PageCall<'_> {
    /// The answer with the page of `rows`.
    ///
    /// # Errors
    /// How the request differs from the one that the table describes.
    pub(super) fn answer(&self, rows: &[Value]) -> Result<Answer, String> {
        let selection = self.selection()?;
        let usual = rows.len().div_ceil(USUAL_PAGES).max(MIN_PAGE_ROWS);
        let most = self
            .route
            .page
            .as_ref()
            .map_or(DEFAULT_PAGE_ROWS, |page| page.rows);
        let size = match self.route.paging {
            Paging::Single => rows.len(),
            _ => selection.rows.unwrap_or(most).min(most).min(usual),
        };
        let (_, first) = self.numbered().unwrap_or((PAGE, 1));
        let number = selection.number.unwrap_or(first);
        let Some(number) = number.checked_sub(first) else {
            return Err(format!("there is no page {number}"));
        };
        let start = match self.route.paging {
            Paging::Offset { .. } => number,
            Paging::Cursor(_) => selection.cursor.unwrap_or_default(),
            _ => number.saturating_mul(size),
        };
        let start = start.min(rows.len());
        let end = (start + size).min(rows.len());
        let next = (end < rows.len()).then_some(end);
        Ok(self.page(
            &rows[start..end],
            rows.len(),
            next.map(|next| (next, first + number + 1)),
        ))
    }

    /// The answer with these rows, of `count` in all. `next` is the number of the first row behind them, and the number
    /// of the next page.
    fn page(&self, rows: &[Value], count: usize, next: Option<(usize, usize)>) -> Answer {
        let mut answer = AnswerJson::default();
        answer.put_at(&self.route.rows, &rows.to_vec().into());
        if let Some(Total::At(at)) = self.total() {
            answer.put_at(at, &count.into());
        }
        match &self.route.paging {
            Paging::Next { at, .. } => {
                if let Some((_, number)) = next {
                    answer.put(at, &self.url(number).into());
                }
            }
            Paging::Cursor(cursor) => put_cursor(&mut answer, cursor, next.map(|(row, _)| row)),
            _ => {}
        }
        let mut answer = json(200, &answer.into_json());
        if let Some(Total::Header(name)) = self.total() {
            insert_header(&mut answer, name.clone(), &count.to_string());
        }
        if let (Paging::Link, Some((_, number))) = (&self.route.paging, next) {
            let (first, next) = (self.url(1), self.url(number));
            let link = format!("<{first}>; rel=\"first\", <{next}>; rel=\"next\"");
            insert_header(&mut answer, LINK, &link);
        }
        answer
    }

    fn total(&self) -> Option<&Total> {
        match &self.route.paging {
            Paging::Next { total, .. }
            | Paging::Page { total, .. }
            | Paging::Offset { total, .. } => Some(total),
            _ => None,
        }
    }

    /// The URL of the page with this number: that of the request, without the credential.
    fn url(&self, number: usize) -> String {
        let (parameter, _) = self.numbered().unwrap_or((PAGE, 1));
        let query = self.received.query.iter();
        let others = query
            .filter(|(name, _)| name != parameter && Some(name.as_str()) != self.key_parameter);
        let pairs = others.map(|(name, value)| format!("{}={}", encoded(name), encoded(value)));
        let mut pairs: Vec<String> = pairs.collect();
        pairs.push(format!("{}={number}", encoded(parameter)));
        let path = self.route.request.path.fill_path(self.values);
        format!("http://{}{path}?{}", self.address, pairs.join("&"))
    }

    /// The parameter with the number of the page or its first row, and the first number.
    fn numbered(&self) -> Option<(&str, usize)> {
        let (parameter, first) = match &self.route.paging {
            Paging::Next { first, .. } => {
                let first = first.as_ref();
                first.map_or((PAGE, 1), |(parameter, first)| (parameter.as_str(), *first))
            }
            Paging::Link => (PAGE, 1),
            Paging::Page {
                parameter, first, ..
            }
            | Paging::Offset {
                parameter, first, ..
            } => (parameter.as_str(), *first),
            Paging::Single | Paging::Cursor(_) => return None,
        };
        Some((parameter, usize::try_from(first).unwrap_or(usize::MAX)))
    }

    /// Which page the request selects.
    ///
    /// # Errors
    /// How the request differs from the one that the table describes.
    fn selection(&self) -> Result<PageSelection, String> {
        let mut selection = PageSelection::default();
        let query = if self.continues {
            self.received.query.clone()
        } else {
            self.received
                .other_query(&self.route.request, self.values)?
        };
        for (name, value) in query {
            let number = || value.parse().map_err(|_| format!("{name} is not a number"));
            let page = self.route.page.as_ref().map(|page| page.parameter.as_str());
            let numbered = self.numbered().map(|(parameter, _)| parameter);
            if Some(name.as_str()) == self.key_parameter {
            } else if Some(name.as_str()) == numbered {
                selection.number = Some(number()?);
            } else if Some(name.as_str()) == page {
                selection.rows = Some(number()?).filter(|rows| *rows > 0);
            } else if Some(name.as_str()) == self.query_cursor() {
                let cursor = row_of_cursor(&value.as_str().into());
                selection.cursor = Some(cursor.ok_or("the cursor is unknown")?);
            } else {
                self.check_filter(&name, &value)?;
            }
        }
        match &self.route.paging {
            Paging::Cursor(cursor) if cursor.place == CursorPlace::Json => {
                selection.cursor = self.json_cursor(cursor)?;
            }
            _ => {
                let body = self.route.request.body.as_ref();
                self.received.demand_body(body, self.values)?;
            }
        }
        if self.continues && selection.cursor.is_none() {
            return Err("the request for a further page has no cursor".to_owned());
        }
        Ok(selection)
    }

    fn query_cursor(&self) -> Option<&str> {
        match &self.route.paging {
            Paging::Cursor(cursor) if cursor.place == CursorPlace::Query => Some(&cursor.parameter),
            _ => None,
        }
    }

    /// The row of the cursor in the body, which is otherwise as the table says.
    fn json_cursor(&self, cursor: &Cursor) -> Result<Option<usize>, String> {
        let own = self.route.request.body.as_ref();
        let mut fields = match self.received.json() {
            Some(Value::Object(fields)) => fields,
            _ => Map::new(),
        };
        let Some(row) = fields.get(&cursor.parameter).and_then(row_of_cursor) else {
            return self.received.demand_body(own, self.values).map(|()| None);
        };
        fields.remove(&cursor.parameter);
        let template = match (&cursor.json, own) {
            (Some(json), _) | (None, Some(BodyTemplate::Json(json))) => Some(json),
            _ => None,
        };
        let mut expected = match template {
            Some(json) => json.fill(self.values).map_err(|why| why.to_string())?,
            None => json!({}),
        };
        if let Some(expected) = expected.as_object_mut() {
            expected.remove(&cursor.parameter);
        }
        if Value::Object(fields) != expected {
            return Err(format!(
                "beside the cursor, the body is not the JSON {expected}"
            ));
        }
        Ok(Some(row))
    }

    /// The sandbox accepts the filters of the table. docfetch compares the rows itself, too.
    fn check_filter(&self, name: &str, value: &str) -> Result<(), String> {
        for filter in &self.filters {
            let (parameter, is_json) = match filter {
                ServerFilterRule::Parameter(parameter) => (parameter, false),
                ServerFilterRule::Field { parameter, .. }
                | ServerFilterRule::Json { parameter, .. } => (parameter, true),
            };
            if parameter == name {
                let is_object = || {
                    let json = serde_json::from_str::<Value>(value);
                    json.is_ok_and(|json| json.is_object())
                };
                return if is_json && !is_object() {
                    Err(format!("{name} is not a JSON object"))
                } else {
                    Ok(())
                };
            }
        }
        Err(format!("the query parameter {name} is unknown"))
    }
}

/// Puts the cursor of the page that begins at `row`, if there is such a page.
fn put_cursor(answer: &mut AnswerJson, rule: &Cursor, row: Option<usize>) {
    if let Some(more) = &rule.more {
        answer.put_at(more, &row.is_some().into());
    }
    // A service that says whether there is more sends a cursor with the last page, too.
    let end = rule.more.as_ref().map(|_| usize::MAX);
    let Some(row) = row.or(end) else {
        return;
    };
    let cursor = if rule.place == CursorPlace::Json && rule.path.is_none() {
        json!({"row": row})
    } else {
        json!(format!("row {row}"))
    };
    answer.put(&rule.at, &cursor);
}

/// The row at which the page of a cursor begins. None for what is no cursor of the sandbox.
fn row_of_cursor(cursor: &Value) -> Option<usize> {
    match cursor {
        Value::String(text) => text.strip_prefix("row ")?.parse().ok(),
        cursor => usize::try_from(cursor.get("row")?.as_u64()?).ok(),
    }
}
