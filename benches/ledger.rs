//! The ledger of paid retrievals: its records as JSON, its two tables, and a record on disk.

#![allow(clippy::unwrap_used, reason = "a benchmark may end where it stands")]

use divan::{Bencher, black_box};
use docfetch::http::presigned::PresignedUrl;
use docfetch::model::DocumentId;
use docfetch::resolve::ledger::table::{
    About, Event, Record, RetrievalRequest, Verdict, after, verdict,
};
use docfetch::state::records::{Durability, StateFolder};
use jiff::{SignedDuration, Timestamp};
use url::Url;

fn main() {
    divan::main();
}

const NOW: Timestamp = Timestamp::UNIX_EPOCH;
const HOUR: SignedDuration = SignedDuration::from_hours(1);
const PRESIGNED: &str = "https://documents.s3.us-east-1.amazonaws.com/reports/8c1f.pdf\
    ?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAEXAMPLE%2F20261124%2Fus-east-1%2Fs3%2Faws4_request\
    &X-Amz-Date=20261124T203456Z&X-Amz-Expires=3600&X-Amz-SignedHeaders=host\
    &X-Amz-Signature=0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

fn id() -> DocumentId {
    DocumentId::parse("5891ee65711c4d5e", None).unwrap()
}

fn about(id: &DocumentId) -> About<'_> {
    About {
        provider: "onecodex",
        base: "https://app.onecodex.com",
        id,
    }
}

fn url() -> PresignedUrl {
    PresignedUrl::new(Url::parse(PRESIGNED).unwrap(), Some(NOW + HOUR))
}

/// A document's life from the first request to its delivery.
fn delivered(id: &DocumentId, url: &PresignedUrl) -> Record {
    let events = [
        Event::Sending,
        Event::Answered(url),
        Event::Delivered(Some(url)),
    ];
    let next = |record, event| after(about(id), record, None, event, NOW);
    events.into_iter().fold(None, next).unwrap()
}

#[divan::bench]
fn encode(bencher: Bencher) {
    let record = delivered(&id(), &url());
    bencher.bench(|| serde_json::to_vec(black_box(&record)).unwrap());
}

#[divan::bench]
fn decode(bencher: Bencher) {
    let json = serde_json::to_vec(&delivered(&id(), &url())).unwrap();
    bencher.bench(|| serde_json::from_slice::<Record>(black_box(&json)).unwrap());
}

#[divan::bench]
fn life_of_a_document(bencher: Bencher) {
    let (id, url) = (id(), url());
    bencher.bench(|| delivered(black_box(&id), black_box(&url)));
}

/// A recorded URL that lives, and one past its end.
#[divan::bench(args = [1, 7200])]
fn verdict_of_delivered(bencher: Bencher, later: i64) {
    let record = delivered(&id(), &url());
    let request = RetrievalRequest {
        dry_run_at: Some(NOW + SignedDuration::from_secs(later)),
        ..RetrievalRequest::default()
    };
    bencher.bench(|| -> Verdict { verdict(black_box(Some(&record)), request) });
}

#[divan::bench(args = [Durability::Buffered, Durability::Synced])]
fn write_and_read(bencher: Bencher, durability: Durability) {
    let folder = tempfile::tempdir().unwrap();
    let records = StateFolder::new(Some(folder.path().to_owned())).records("ledger");
    let record = delivered(&id(), &url());
    bencher.bench_local(|| {
        records.write("one", &record, durability).unwrap();
        records.read::<Record>("one").unwrap()
    });
}
