//! Where the documents of a batch come from: a source of ids, each of which counts once.

use crate::error::{Error, Result};
use crate::fingerprint::digest128;
use crate::model::DocumentId;
use std::collections::{HashSet, VecDeque};

/// What a source reads.
#[derive(Debug)]
pub(crate) enum BatchItem<D> {
    /// A document, with what the source tells of it.
    Document(DocumentId, D),
    /// Text that is no id, as docfetch shows it, and why. The text counts as a document that failed.
    Unusable(String, Error),
}

/// A source of documents, read as the batch needs them.
pub(crate) trait Source {
    /// What the source tells of a document besides its id.
    type Detail;

    /// Reads the next item; none after the last one.
    ///
    /// # Errors
    /// What ends the batch: a file that cannot be read, or a listing that fails.
    fn next(&mut self) -> impl Future<Output = Result<Option<BatchItem<Self::Detail>>>>;

    /// Further items that are known without reading: the user named them, or they were read together with the
    /// last item.
    fn known_items(&self) -> Vec<BatchItem<()>> {
        Vec::new()
    }

    /// Whether the known items are all further items.
    fn is_known(&self) -> bool {
        false
    }
}

/// A source without its repetitions: each document comes once, and a limit bounds their number.
///
/// A batch is fetched from this type alone, so that no document is fetched twice.
#[derive(Debug)]
pub(crate) struct DistinctSource<S: Source> {
    source: S,
    /// How many further documents may come.
    left: usize,
    /// Digests of the ids that were read. A batch may have millions of them.
    seen: HashSet<u128>,
    /// Items that were read to count them.
    ahead: VecDeque<BatchItem<S::Detail>>,
}

impl<S: Source> DistinctSource<S> {
    /// The documents of `source`, at most `limit` of them.
    pub(crate) fn new(source: S, limit: Option<usize>) -> Self {
        Self {
            source,
            left: limit.unwrap_or(usize::MAX),
            seen: HashSet::new(),
            ahead: VecDeque::new(),
        }
    }

    /// The next item; none after the last one.
    ///
    /// # Errors
    /// As [`Source::next`].
    pub(crate) async fn next(&mut self) -> Result<Option<BatchItem<S::Detail>>> {
        match self.ahead.pop_front() {
            Some(item) => Ok(Some(item)),
            None => self.read().await,
        }
    }

    /// Whether there are at least `count` more items. Reads no more than `count` items.
    ///
    /// # Errors
    /// As [`Source::next`].
    pub(crate) async fn has(&mut self, count: usize) -> Result<bool> {
        while self.ahead.len() < count {
            match self.read().await? {
                Some(item) => self.ahead.push_back(item),
                None => return Ok(false),
            }
        }
        Ok(true)
    }

    /// How many items are left; none where the source must read to know.
    pub(crate) fn total(&self) -> Option<u64> {
        self.source.is_known().then(|| self.known_rest())
    }

    /// Whether the source listed this document so far.
    pub(crate) fn has_read(&self, id: &DocumentId) -> bool {
        self.seen.contains(&digest(id))
    }

    /// The source itself.
    pub(crate) fn source(&self) -> &S {
        &self.source
    }

    /// How many more items are known without reading.
    pub(super) fn known_rest(&self) -> u64 {
        (self.ahead.len() + self.known_items().len()) as u64
    }

    /// The documents that are known without reading, in their order.
    pub(crate) fn known_documents(&self) -> Vec<DocumentId> {
        let document = |item| match item {
            BatchItem::Document(id, ()) => Some(id),
            BatchItem::Unusable(..) => None,
        };
        self.known_items()
            .into_iter()
            .filter_map(document)
            .collect()
    }

    /// The items that are known without reading, each document once, and within the limit.
    fn known_items(&self) -> Vec<BatchItem<()>> {
        let (mut seen, mut left) = (HashSet::new(), self.left);
        let mut known = self.source.known_items();
        known.retain(|item| match item {
            BatchItem::Document(id, ()) => {
                let digest = digest(id);
                let is_new = !self.seen.contains(&digest) && seen.insert(digest) && left > 0;
                left -= usize::from(is_new);
                is_new
            }
            BatchItem::Unusable(..) => left > 0,
        });
        known
    }

    async fn read(&mut self) -> Result<Option<BatchItem<S::Detail>>> {
        while self.left > 0 {
            let item = self.source.next().await?;
            if let Some(BatchItem::Document(id, _)) = &item {
                if !self.seen.insert(digest(id)) {
                    continue;
                }
                self.left -= 1;
            }
            return Ok(item);
        }
        Ok(None)
    }
}

fn digest(id: &DocumentId) -> u128 {
    digest128(&[id.as_str().as_bytes()])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Code;

    fn id(text: &str) -> DocumentId {
        DocumentId::parse(text, None).unwrap()
    }

    /// Ids that are known, and one that is read; `!` is no id.
    struct Texts(VecDeque<&'static str>, Vec<&'static str>);

    impl Source for Texts {
        type Detail = ();

        async fn next(&mut self) -> Result<Option<BatchItem<()>>> {
            Ok(self.0.pop_front().map(|text| match text {
                "!" => BatchItem::Unusable(text.into(), Error::new(Code::Usage, "no id")),
                text => BatchItem::Document(id(text), ()),
            }))
        }

        fn known_items(&self) -> Vec<BatchItem<()>> {
            let unusable = || BatchItem::Unusable("!".into(), Error::new(Code::Usage, "no id"));
            let items = self.1.iter().map(|text| match *text {
                "!" => unusable(),
                text => BatchItem::Document(id(text), ()),
            });
            items.collect()
        }

        fn is_known(&self) -> bool {
            self.0.is_empty()
        }
    }

    fn source(texts: &[&'static str], limit: Option<usize>) -> DistinctSource<Texts> {
        DistinctSource::new(Texts(texts.iter().copied().collect(), Vec::new()), limit)
    }

    async fn all(mut source: DistinctSource<Texts>) -> Vec<String> {
        let mut read = Vec::new();
        while let Some(item) = source.next().await.unwrap() {
            read.push(match item {
                BatchItem::Document(id, ()) => id.to_string(),
                BatchItem::Unusable(text, _) => text,
            });
        }
        read
    }

    #[tokio::test]
    async fn a_document_comes_once_and_text_that_is_no_id_each_time() {
        let read = all(source(&["a", "b", "a", "!", "!", "b", "c"], None)).await;
        assert_eq!(read, ["a", "b", "!", "!", "c"]);
    }

    #[tokio::test]
    async fn a_limit_counts_documents_and_no_repetitions() {
        let read = all(source(&["a", "a", "!", "b", "c"], Some(2))).await;
        assert_eq!(read, ["a", "!", "b"]);
        assert!(all(source(&["a"], Some(0))).await.is_empty());
    }

    #[tokio::test]
    async fn what_was_read_to_count_it_still_comes() {
        let mut counted = source(&["a", "a", "b", "c"], None);
        assert!(counted.has(2).await.unwrap());
        assert_eq!(counted.known_rest(), 2);
        assert!(!counted.has(4).await.unwrap());
        assert_eq!(all(counted).await, ["a", "b", "c"]);
    }

    #[tokio::test]
    async fn known_items_are_counted_once_and_not_after_they_were_read() {
        let known = || vec!["a", "b", "!", "b", "!", "c"];
        let limited = DistinctSource::new(Texts(["a"].into(), known()), Some(2));
        assert_eq!(limited.known_rest(), 2);
        assert_eq!(limited.known_documents(), ["a", "b"].map(id));
        let mut counted = DistinctSource::new(Texts(["a"].into(), known()), None);
        assert_eq!((counted.total(), counted.known_rest()), (None, 5));
        assert!(!counted.has_read(&id("a")));
        counted.next().await.unwrap();
        assert!(counted.has_read(&id("a")) && !counted.has_read(&id("b")));
        assert_eq!(counted.total(), Some(4));
    }
}
