//! The storage that an account used last. A new run connects to that storage while the API is still
//! answering: the next document is probably there.

use crate::fingerprint::fingerprint;
use crate::http::Http;
use crate::http::PresignedUrl;
use crate::mutex::locked;
use crate::state::records::{Durability, ORIGINS, Records, StateFolder};
use serde::{Deserialize, Serialize};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use url::Url;

/// The storage that one account used last.
#[derive(Debug)]
pub(super) struct LastStorage {
    records: Records,
    name: String,
    /// What is recorded, as far as this process knows.
    recorded: Mutex<Option<StorageOrigin>>,
    is_read: AtomicBool,
    /// Whether a document is to be fetched and no storage is recorded.
    is_unknown: AtomicBool,
}

/// The scheme, host and port of a URL (RFC 6454), and nothing else of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct StorageOrigin {
    origin: String,
}

impl StorageOrigin {
    fn of(url: &Url) -> Self {
        let origin = url.origin().ascii_serialization();
        Self { origin }
    }

    /// The origin as a URL; none for a text that is more, or less, than an origin.
    fn url(&self) -> Option<Url> {
        let url = Url::parse(&self.origin).ok()?;
        (Self::of(&url) == *self).then_some(url)
    }
}

impl LastStorage {
    /// The storage of the account whose fingerprint `identity` makes.
    pub(super) fn new(identity: &[&[u8]], state: &StateFolder) -> Self {
        Self {
            records: state.records(ORIGINS),
            name: fingerprint(identity),
            recorded: Mutex::default(),
            is_read: AtomicBool::default(),
            is_unknown: AtomicBool::default(),
        }
    }

    /// Connects to the recorded storage, for the first document of a run. Nothing is sent on that
    /// connection, and a failure has no effect.
    pub(super) fn preconnect(&self, http: &Http) {
        if let Some(origin) = self.read_once() {
            http.preconnect(&origin);
        }
    }

    /// Connects to the storage of `url` when none was recorded.
    pub(super) fn preconnect_unknown(&self, http: &Http, url: &PresignedUrl) {
        if self.is_unknown.swap(false, Ordering::Relaxed)
            && let Some(origin) = StorageOrigin::of(url.expose()).url()
        {
            http.preconnect(&origin);
        }
    }

    /// The recorded storage, at the first call of a run. A record that cannot be trusted counts as none.
    fn read_once(&self) -> Option<Url> {
        if self.is_read.swap(true, Ordering::Relaxed) {
            return None;
        }
        let recorded: Option<StorageOrigin> = self.records.read(&self.name).ok().flatten();
        let url = recorded.as_ref().and_then(StorageOrigin::url);
        *locked(&self.recorded) = recorded;
        self.is_unknown.store(url.is_none(), Ordering::Relaxed);
        url
    }

    /// Records the storage that a document came from, unless that storage is recorded already.
    pub(super) async fn record(&self, url: &PresignedUrl) {
        if url.api_download().is_some() {
            return;
        }
        let origin = StorageOrigin::of(url.expose());
        if locked(&self.recorded).as_ref() == Some(&origin) {
            return;
        }
        *locked(&self.recorded) = Some(origin.clone());
        // Another process that has the record locked writes a storage as well.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_no_url() {
        let of = |text: &str| StorageOrigin::of(&Url::parse(text).unwrap()).origin;
        assert_eq!(
            of("https://user:pw@a.example:8443/x?sig=1#y"),
            "https://a.example:8443"
        );
        let url = |text: &str| {
            let origin = text.to_owned();
            StorageOrigin { origin }.url()
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
