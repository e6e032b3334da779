//! The pages of a listing.

use super::answer::{Answer, json};
use super::state::SandboxState;
use serde_json::{Value, json};
use url::form_urlencoded;

/// A page has at most this many rows.
const MAX_PAGE_SIZE: usize = 100;

/// Which page of a listing the client requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PageRequest {
    /// Counts from 1.
    pub(super) number: usize,
    /// How many rows a page has.
    pub(super) size: usize,
}

impl PageRequest {
    /// Parses the page of a query. Returns the other parameters as well. `None` for a page that cannot exist.
    pub(super) fn parse<'a>(
        query: &'a [(String, String)],
        size_parameter: &str,
    ) -> Option<(Self, Vec<&'a (String, String)>)> {
        let mut page = Self {
            number: 1,
            size: MAX_PAGE_SIZE,
        };
        let mut others = Vec::new();
        for pair in query {
            let number = || pair.1.parse().ok().filter(|number| *number > 0);
            match pair.0.as_str() {
                "page" => page.number = number()?,
                name if name == size_parameter => page.size = number()?.min(MAX_PAGE_SIZE),
                _ => others.push(pair),
            }
        }
        Some((page, others))
    }

    /// The items of this page, and how many items there are in all.
    pub(super) fn of<T>(self, items: impl Iterator<Item = T>) -> (Vec<T>, usize) {
        let first = (self.number - 1).saturating_mul(self.size);
        let on_page = first..first.saturating_add(self.size);
        let mut rows = Vec::new();
        let mut count = 0;
        for item in items {
            if on_page.contains(&count) {
                rows.push(item);
            }
            count += 1;
        }
        (rows, count)
    }

    /// The answer of Standard Metrics with the `rows` of this page at `path`, of `count` in all. The URLs of other pages
    /// have the request's other `parameters`.
    pub(super) fn answer(
        self,
        state: &SandboxState,
        path: &str,
        parameters: &[&(String, String)],
        count: usize,
        rows: &[Value],
    ) -> Answer {
        let link = |number: usize| {
            let mut query = form_urlencoded::Serializer::new(String::new());
            query
                .append_pair("page", &number.to_string())
                .append_pair("page_size", &self.size.to_string())
                .extend_pairs(parameters.iter().map(|(name, value)| (name, value)));
            format!("http://{}{path}?{}", state.api, query.finish())
        };
        let next = (self.number.saturating_mul(self.size) < count).then(|| link(self.number + 1));
        let previous = (self.number > 1).then(|| link(self.number - 1));
        json(
            200,
            &json!({"count": count, "next": next, "previous": previous, "results": rows}),
        )
    }
}
