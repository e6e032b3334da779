//! All documents, found by id at once, and in the orders of the listings.

use super::store::Document;
use jiff::Timestamp;
use std::cmp::Reverse;
use std::collections::HashMap;

/// The order of a listing.
#[derive(Clone, Copy, Debug)]
pub(super) enum Order {
    /// As the sandbox was given them.
    AsGiven,
    /// By creation; what came at the same time stays as it was given.
    OldestFirst,
    /// By creation, the other way; what came at the same time stays as it was given.
    NewestFirst,
}

/// A document and what its `created` says; none where that is no time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry<'a> {
    pub document: &'a Document,
    pub created: Option<Timestamp>,
}

/// The documents of a sandbox. All that a listing needs is worked out once: there may be many.
#[derive(Debug)]
pub(super) struct Shelf {
    documents: Vec<Document>,
    created: Vec<Option<Timestamp>>,
    by_id: HashMap<String, usize>,
    oldest_first: Vec<usize>,
    newest_first: Vec<usize>,
}

impl Shelf {
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

    pub(super) fn all(&self) -> &[Document] {
        &self.documents
    }

    /// The first with this id.
    pub(super) fn get(&self, id: &str) -> Option<&Document> {
        self.by_id.get(id).map(|at| &self.documents[*at])
    }

    pub(super) fn entries(&self, order: Order) -> impl Iterator<Item = Entry<'_>> {
        (0..self.documents.len()).map(move |place| {
            let at = match order {
                Order::AsGiven => place,
                Order::OldestFirst => self.oldest_first[place],
                Order::NewestFirst => self.newest_first[place],
            };
            Entry {
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

    fn shelf() -> Shelf {
        let document = |id: &str, day: &str| {
            Document::new(id, "x")
                .with_id(id)
                .with_created(&format!("2026-10-{day}T00:00:00Z"))
        };
        Shelf::new(vec![
            document("a", "02"),
            document("b", "01"),
            document("c", "02"),
            document("d", "03"),
        ])
    }

    #[test]
    fn orders_are_stable() {
        let shelf = shelf();
        let ids = |order| -> String {
            let entries = shelf.entries(order);
            entries.map(|entry| entry.document.id.as_str()).collect()
        };
        assert_eq!(ids(Order::AsGiven), "abcd");
        assert_eq!(ids(Order::OldestFirst), "bacd");
        assert_eq!(ids(Order::NewestFirst), "dacb");
    }

    #[test]
    fn many_are_found_without_looking_at_all_of_them() {
        let document = Document::new("a", "x");
        let many = (0..100_000).map(|id| document.clone().with_id(&id.to_string()));
        let shelf = Shelf::new(many.collect());
        let start = Instant::now();
        assert!(shelf.all().iter().all(|d| shelf.get(&d.id).is_some()));
        // One after another it would take minutes.
        assert!(start.elapsed() < Duration::from_secs(20));
    }

    #[test]
    fn the_first_of_an_id_is_found() {
        let twice = ["one", "two"].map(|name| Document::new(name, "x").with_id("a"));
        let shelf = Shelf::new(twice.into());
        assert_eq!(shelf.get("a").map(|found| found.name.as_str()), Some("one"));
        assert!(shelf.get("b").is_none());
    }
}
