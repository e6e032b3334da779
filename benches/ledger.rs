//! The ledger of paid retrievals: its records as JSON, its two tables, and a record on disk.

#![allow(clippy::unwrap_used, reason = "a benchmark may end where it stands")]

use divan::{Bencher, black_box};
use docfetch::DocumentId;
use docfetch::internals::LedgerRecord;
use url::Url;

fn main() {
    divan::main();
}

const PRESIGNED: &str = "https://documents.s3.us-east-1.amazonaws.com/reports/8c1f.pdf\
    ?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAEXAMPLE%2F20261124%2Fus-east-1%2Fs3%2Faws4_request\
    &X-Amz-Date=20261124T203456Z&X-Amz-Expires=3600&X-Amz-SignedHeaders=host\
    &X-Amz-Signature=0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

fn id() -> DocumentId {
    DocumentId::parse("5891ee65711c4d5e", None).unwrap()
}

fn url() -> Url {
    Url::parse(PRESIGNED).unwrap()
}

fn delivered() -> LedgerRecord {
    LedgerRecord::delivered(&id(), &url()).unwrap()
}

#[divan::bench]
fn encode(bencher: Bencher) {
    let record = delivered();
    bencher.bench(|| black_box(&record).to_json());
}

#[divan::bench]
fn decode(bencher: Bencher) {
    let json = delivered().to_json();
    bencher.bench(|| LedgerRecord::from_json(black_box(&json)).unwrap());
}

#[divan::bench]
fn life_of_a_document(bencher: Bencher) {
    let (id, url) = (id(), url());
    bencher.bench(|| LedgerRecord::delivered(black_box(&id), black_box(&url)));
}

#[divan::bench(args = [1, 7200])]
fn verdict_of_delivered(bencher: Bencher, later: i64) {
    let record = delivered();
    bencher.bench(|| black_box(&record).verdict(later));
}

#[divan::bench(args = [false, true])]
fn write_and_read(bencher: Bencher, synced: bool) {
    let folder = tempfile::tempdir().unwrap();
    let record = delivered();
    bencher.bench_local(|| {
        let folder = folder.path().to_owned();
        record.write_and_read(folder, synced).unwrap()
    });
}
