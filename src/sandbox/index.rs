//! The documents of a sandbox, by id and in the orders of the listings.

use super::document::Document;
use jiff::Timestamp;
use std::cmp::Reverse;
use std::collections::HashMap;

/// The order of a listing.
#[derive(Clone, Copy, Debug)]
pub(super) enum ListingOrder {
    /// The order in which the caller gave the documents.
    AsGiven,
    /// By creation time, and where that is the same, as given.
    OldestFirst,
    /// By creation time from the newest on, and where that is the same, as given.
    NewestFirst,
}

/// A document, and the time in its `created`.
#[derive(Clone, Copy, Debug)]
pub(super) struct IndexedDocument<'a> {
    pub document: &'a Document,
    /// `None` when `created` is no time.
    pub created: Option<Timestamp>,
}

/// The documents of a sandbox. The index computes each order once, so that listings of many documents are
/// fast.
#[derive(Debug)]
pub(super) struct DocumentIndex {
    documents: Vec<Document>,
    created: Vec<Option<Timestamp>>,
    by_id: HashMap<String, usize>,
    oldest_first: Vec<usize>,
    newest_first: Vec<usize>,
}

impl DocumentIndex {
    /// An index of these documents.
    pub(super) fn new(documents: Vec<Document>) -> Self {
        let created: Vec<_> = documents.iter().map(|d| d.created.parse().ok()).collect();
        let mut by_id = HashMap::with_capacity(documents.len());
        for (at, document) in documents.iter().enumerate() {
            by_id.entry(document.id.clone()).or_insert(at);
        }
        let mut oldest_first: Vec<_> = (0..documents.len()).collect();
        let mut newest_first = oldest_first.clone();
        oldest_first.sort_by_key(|at| created[*at]);
        newest_first.sort_by_key(|at| Reverse(created[*at]));
        Self {
            documents,
            created,
            by_id,
            oldest_first,
            newest_first,
        }
    }

    /// All documents, as given.
    pub(super) fn all(&self) -> &[Document] {
        &self.documents
    }

    /// The first document with this id.
    pub(super) fn get(&self, id: &str) -> Option<&Document> {
        self.by_id.get(id).map(|at| &self.documents[*at])
    }

    /// All documents in an order.
    pub(super) fn ordered(&self, order: ListingOrder) -> impl Iterator<Item = IndexedDocument<'_>> {
        (0..self.documents.len()).map(move |rank| {
            let at = match order {
                ListingOrder::AsGiven => rank,
                ListingOrder::OldestFirst => self.oldest_first[rank],
                ListingOrder::NewestFirst => self.newest_first[rank],
            };
            IndexedDocument {
                document: &self.documents[at],
                created: self.created[at],
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, Instant};

    fn index() -> DocumentIndex {
        let document = |id: &str, day: &str| {
            Document::new(id, "x")
                .with_id(id)
                .with_created(&format!("2026-10-{day}T00:00:00Z"))
        };
        DocumentIndex::new(vec![
            document("a", "02"),
            document("b", "01"),
            document("c", "02"),
            document("d", "03"),
        ])
    }

    #[test]
    fn orders_are_stable() {
        let index = index();
        let ids = |order| -> String {
            let entries = index.ordered(order);
            entries.map(|entry| entry.document.id.as_str()).collect()
        };
        assert_eq!(ids(ListingOrder::AsGiven), "abcd");
        assert_eq!(ids(ListingOrder::OldestFirst), "bacd");
        assert_eq!(ids(ListingOrder::NewestFirst), "dacb");
    }

    #[test]
    fn many_documents_are_found_fast() {
        let document = Document::new("a", "x");
        let many = (0..100_000).map(|id| document.clone().with_id(&id.to_string()));
        let index = DocumentIndex::new(many.collect());
        let start = Instant::now();
        assert!(index.all().iter().all(|d| index.get(&d.id).is_some()));
        // One after another it would take minutes.
        assert!(start.elapsed() < Duration::from_secs(20));
    }

    #[test]
    fn the_first_of_an_id_is_found() {
        let twice = ["one", "two"].map(|name| Document::new(name, "x").with_id("a"));
        let index = DocumentIndex::new(twice.into());
        assert_eq!(index.get("a").map(|found| found.name.as_str()), Some("one"));
        assert!(index.get("b").is_none());
    }
}
