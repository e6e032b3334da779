//! What the benchmarks in `benches/` measure, and what the fuzz targets in `fuzz/` run. Not part of the library:
//! feature `internals`, off by default.

pub mod fuzz;

use crate::commands::ids::{IdOrigin, IdSource};
use crate::fetch::batch::DistinctSource;
use crate::fetch::target::{Template, naming};
use crate::http;
use crate::http::PresignedUrl;
use crate::http::headers::{self, content_disposition};
use crate::manifest;
use crate::mirror::Layout;
use crate::model::DocumentId;
use crate::provider;
use crate::resolve::ledger::table::{
    RecordKey, RetrievalEvent, RetrievalRecord, RetrievalRequest, Verdict, record_after, verdict,
};
use crate::state::records::{Durability, StateFolder};
use jiff::{SignedDuration, Timestamp};
use reqwest::header::HeaderMap;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::time::SystemTime;
use tokio::runtime::Builder;
use url::Url;

const NOW: Timestamp = Timestamp::UNIX_EPOCH;
const HOUR: SignedDuration = SignedDuration::from_hours(1);

/// Parses a `Content-Disposition` header.
pub fn content_disposition(header: &[u8]) {
    black_box(content_disposition::file_name(header));
}

/// Parses a `Content-Range` header.
pub fn content_range(response: &HeaderMap) {
    black_box(headers::content_range(response));
}

/// Finds the checksum of the whole object.
pub fn checksum(response: &HeaderMap) {
    black_box(headers::checksum(response, true));
}

/// Parses a `Retry-After` header.
pub fn retry_after(response: &HeaderMap) {
    black_box(headers::retry_after(response, SystemTime::UNIX_EPOCH));
}

/// Reads the length, the entity tag and the media type of a response.
pub fn entity(response: &HeaderMap) {
    black_box((
        headers::content_length(response),
        headers::entity_tag(response),
        headers::media_type(response),
    ));
}

/// Finds the expiry of a presigned URL.
pub fn expiry_of_url(url: &Url) {
    black_box(http::presigned::expiry_of(url));
}

/// Makes a file name safe.
pub fn safe_name(name: &str) {
    black_box(naming::safe(name));
}

/// Parses a name template.
pub fn parse_template(template: &str) {
    let _ = black_box(Template::parse(template));
}

/// Fills a name template, at each call.
pub fn fill_template(template: &str, id: &DocumentId, name: &str) -> impl Fn() {
    let template = Template::parse(template).ok();
    move || {
        black_box(
            template
                .as_ref()
                .map(|template| template.fill(id, name, "sm")),
        );
    }
}

/// Names a document of a mirror, at each call, `layout` being a template with `fields`.
pub fn path_in_mirror(
    layout: &str,
    fields: &[&str],
    id: &DocumentId,
    name: &str,
    value: impl Fn(&str) -> String,
) -> impl Fn() {
    let layout = Layout::parse(layout, fields).ok();
    move || {
        black_box(
            layout
                .as_ref()
                .map(|layout| layout.place(id, Some(name), "sm", &value)),
        );
    }
}

/// How many ids of Standard Metrics the file at `path` has.
pub fn count_ids(path: &Path) -> usize {
    let Ok(runtime) = Builder::new_current_thread().build() else {
        return 0;
    };
    let ids = IdSource::new(
        provider::all().swap_remove(0),
        [IdOrigin::File(path.to_owned())],
    );
    let mut ids = DistinctSource::new(ids, None);
    runtime.block_on(async {
        let mut count = 0;
        while let Ok(Some(_)) = ids.next().await {
            count += 1;
        }
        count
    })
}

/// How many files a manifest lists.
pub fn count_files(manifest: &[u8]) -> usize {
    match manifest::read(manifest) {
        Ok(Some(manifest)) => manifest.entries.len(),
        _ => 0,
    }
}

/// A record of the ledger whose document was delivered.
#[derive(Debug)]
pub struct LedgerRecord(RetrievalRecord);

impl LedgerRecord {
    /// The record after a request was sent and answered with `url`, and the document delivered.
    pub fn delivered(id: &DocumentId, url: &Url) -> Option<Self> {
        let key = || RecordKey {
            provider: "example",
            base: "https://app.onecodex.com",
            id,
        };
        let url = PresignedUrl::new(url.clone(), Some(NOW + HOUR));
        let events = [
            RetrievalEvent::Sending,
            RetrievalEvent::Answered((&url).into()),
            RetrievalEvent::Delivered(Some(&url)),
        ];
        let next = |record, event| record_after(key(), record, None, event, NOW);
        events.into_iter().fold(None, next).map(Self)
    }

    /// The record as JSON.
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(&self.0).unwrap_or_default()
    }

    /// The record from JSON.
    pub fn from_json(json: &[u8]) -> Option<Self> {
        serde_json::from_slice(json).ok().map(Self)
    }

    /// What the ledger permits `seconds` after the delivery.
    pub fn verdict(&self, seconds: i64) {
        let request = RetrievalRequest {
            dry_run_at: Some(NOW + SignedDuration::from_secs(seconds)),
            ..RetrievalRequest::default()
        };
        let _: Verdict = black_box(verdict(Some(&self.0), request));
    }

    /// Writes the record to the state folder and reads it back.
    pub fn write_and_read(&self, folder: PathBuf, synced: bool) -> Option<Self> {
        let records = StateFolder::new(Some(folder)).records("ledger");
        let durability = if synced {
            Durability::Synced
        } else {
            Durability::Buffered
        };
        records.write("one", &self.0, durability).ok()?;
        records.read("one").ok().flatten().map(Self)
    }
}
