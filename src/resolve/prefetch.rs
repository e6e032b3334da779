//! The storage of last time: where the next document of the same account most likely is.

use crate::fingerprint::fingerprint;
use crate::http::PresignedUrl;
use crate::mutex::locked;
use crate::resolve::Resolver;
use crate::state::records::{Durability, ORIGINS, Records, StateFolder};
use serde::{Deserialize, Serialize};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use url::Url;

/// The origin of the storage that was used last by one account.
#[derive(Debug)]
pub(super) struct LastStorage {
    records: Records,
    name: String,
    /// What is on record, as far as this process knows.
    known: Mutex<Option<Origin>>,
    opened: AtomicBool,
    /// Set when a document is to be fetched, and none is on record.
    unknown: AtomicBool,
}

/// Scheme, host and port, and nothing else of a URL.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Origin {
    origin: String,
}

impl Origin {
    fn of(url: &Url) -> Self {
        let origin = url.origin().ascii_serialization();
        Self { origin }
    }

    /// The URL of its root; none of what is more, or less, than an origin.
    fn url(&self) -> Option<Url> {
        let url = Url::parse(&self.origin).ok()?;
        (Self::of(&url) == *self).then_some(url)
    }
}

impl LastStorage {
    /// The storage of the account that is told apart by `identity`.
    pub(super) fn new(identity: &[&[u8]], state: &StateFolder) -> Self {
        Self {
            records: state.records(ORIGINS),
            name: fingerprint(identity),
            known: Mutex::default(),
            opened: AtomicBool::default(),
            unknown: AtomicBool::default(),
        }
    }

    /// The recorded one, once a run. A record that cannot be trusted is none.
    fn take(&self) -> Option<Url> {
        if self.opened.swap(true, Ordering::Relaxed) {
            return None;
        }
        let recorded: Option<Origin> = self.records.read(&self.name).ok().flatten();
        let url = recorded.as_ref().and_then(Origin::url);
        *locked(&self.known) = recorded;
        self.unknown.store(url.is_none(), Ordering::Relaxed);
        url
    }

    /// Records where a document came from, where that is news.
    async fn note(&self, url: &Url) {
        let origin = Origin::of(url);
        if locked(&self.known).as_ref() == Some(&origin) {
            return;
        }
        *locked(&self.known) = Some(origin.clone());
        // Another process that writes it at the same time knows as much.
        let what = "noting a storage";
        let Ok(_lock) = self.records.lock(&self.name, Duration::ZERO, what).await else {
            return;
        };
        if let Err(error) = self
            .records
            .write(&self.name, &origin, Durability::Buffered)
        {
            log::info!("the storage is not remembered: {}", error.message());
        }
    }
}

impl Resolver {
    /// Opens a connection to the storage of last time, for the first document of a run: what the API
    /// names is probably there, and then the connection stands already. Nothing is sent on it, and a
    /// failure costs nothing. Without effect where that storage may not be spoken to, or through a
    /// proxy.
    pub fn preconnect(&self) {
        if let Some(origin) = self.storage.take() {
            self.http.preconnect(&origin);
        }
    }

    /// The same for the storage that an answer names, where none was known: while that answer is
    /// recorded. Several documents share the connections that they make anyway.
    pub(super) fn open_meanwhile(&self, url: &PresignedUrl) {
        if self.ledger.run().has_single_document()
            && self.storage.unknown.swap(false, Ordering::Relaxed)
            && let Some(origin) = Origin::of(url.expose()).url()
        {
            self.http.preconnect(&origin);
        }
    }

    /// Remembers the storage of a document that came.
    pub(super) async fn remember_storage(&self, url: &PresignedUrl) {
        self.storage.note(url.expose()).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_no_url() {
        let of = |text: &str| Origin::of(&Url::parse(text).unwrap()).origin;
        assert_eq!(
            of("https://user:pw@a.example:8443/x?sig=1#y"),
            "https://a.example:8443"
        );
        let url = |text: &str| {
            let origin = text.to_owned();
            Origin { origin }.url()
        };
        assert!(url("https://a.example").is_some());
        for more in [
            "https://a.example/x",
            "https://a@b.example",
            "file:///x",
            "x",
            "",
        ] {
            assert!(url(more).is_none(), "{more}");
        }
    }
}
