//! The rows of a listing, as a source of documents for a batch.

use crate::error::Result;
use crate::fetch::batch::{BatchItem, Source};
use crate::fetch::events::Progress;
use crate::provider::Provider;
use crate::resolve::{BadRow, Page, Pages, Row};
use serde_json::Value;
use std::collections::VecDeque;

/// The fields of a row of `provider` that a layout may use.
pub(crate) fn row_fields(provider: &Provider) -> Vec<&str> {
    let own = provider.table.own_row_fields();
    own.chain(["modified", "size"]).collect()
}

/// The text of one of the [`row_fields`]; empty if the row has no value.
pub(super) fn field_text(row: &Row, field: &str) -> String {
    let own = match field {
        "modified" => return row.modified.clone().unwrap_or_default(),
        "size" => return row.size.map(|size| size.to_string()).unwrap_or_default(),
        field => row.fields.get(field),
    };
    match own {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

/// The rows of a listing, page by page.
pub(crate) struct RowSource<'a> {
    pages: Pages<'a>,
    provider: &'a Provider,
    limit: u64,
    progress: &'a dyn Progress,
    page: Option<Page<'a>>,
    /// The rows of that page that the batch has not taken.
    ready: VecDeque<Result<Row, BadRow>>,
    /// Whether the batch took a row that is no document.
    has_bad_rows: bool,
    is_ended: bool,
}

impl<'a> RowSource<'a> {
    /// The rows of `pages`. Tells `progress` their number, `limit` at most.
    pub(crate) fn new(
        pages: Pages<'a>,
        provider: &'a Provider,
        limit: Option<usize>,
        progress: &'a dyn Progress,
    ) -> Self {
        Self {
            pages,
            provider,
            limit: limit.map_or(u64::MAX, |limit| limit as u64),
            progress,
            page: None,
            ready: VecDeque::new(),
            has_bad_rows: false,
            is_ended: false,
        }
    }

    /// Whether the batch took every row of the list, and every row is a document.
    pub(crate) fn is_complete(&self) -> bool {
        self.is_ended && !self.has_bad_rows && self.pages.is_complete()
    }

    fn item(&self, row: Result<Row, BadRow>) -> BatchItem<Row> {
        let read = row.map_err(|bad| (bad.error(&self.provider.table.title), bad.shown_id));
        let read = read.and_then(|row| match self.provider.document_id(&row.id) {
            Ok(id) => Ok((id, row)),
            Err(error) => Err((error, row.id)),
        });
        match read {
            Ok((id, row)) => BatchItem::Document(id, row),
            Err((error, shown)) => BatchItem::Unusable(shown, error),
        }
    }
}

impl Source for RowSource<'_> {
    type Detail = Row;

    async fn next(&mut self) -> Result<Option<BatchItem<Row>>> {
        loop {
            if let Some(row) = self.ready.pop_front() {
                let item = self.item(row);
                self.has_bad_rows |= matches!(item, BatchItem::Unusable(..));
                return Ok(Some(item));
            }
            if let Some(rows) = self.page.as_mut().and_then(Page::rows) {
                tokio::task::yield_now().await; // lets docfetch notice a signal during a long page
                self.ready = rows.into();
                let total = self.pages.total();
                self.progress
                    .expect(total.map(|total| total.min(self.limit)));
                continue;
            }
            self.page = self.pages.next().await?;
            if self.page.is_none() {
                self.is_ended = true;
                return Ok(None);
            }
        }
    }

    fn known_items(&self) -> Vec<BatchItem<()>> {
        let without_row = |row: &Result<Row, BadRow>| match self.item(row.clone()) {
            BatchItem::Document(id, _) => BatchItem::Document(id, ()),
            BatchItem::Unusable(shown, error) => BatchItem::Unusable(shown, error),
        };
        self.ready.iter().map(without_row).collect()
    }
}
