//! Lists of 100,000 documents: ids as lines and as the JSON lines of a listing, and manifests.

#![allow(clippy::unwrap_used, reason = "a benchmark may end where it stands")]

use divan::Bencher;
use divan::counter::ItemsCount;
use docfetch::internals;
use std::io::Write as _;

fn main() {
    divan::main();
}

const ROWS: usize = 100_000;

fn plain(number: usize) -> String {
    format!("{number:016x}\n")
}

/// As `docfetch list sm --json` writes it.
fn listed(number: usize) -> String {
    format!(
        "{{\"provider\":\"sm\",\"id\":\"{number:016x}\",\"name\":\"Board report {number}.pdf\",\
         \"size\":null,\"modified\":\"2026-10-01T08:30:00Z\",\"company_id\":\"c{}\",\
         \"information_request_id\":null,\"parse_state\":\"completed\",\
         \"parsed_at\":\"2026-10-01T08:30:00Z\",\"uploaded_at\":\"2026-10-01T08:30:00Z\",\
         \"source\":\"upload\",\"submitted_date\":null}}\n",
        number % 100
    )
}

/// As `--manifest` writes it.
fn noted(number: usize) -> String {
    format!(
        "{{\"type\":\"document\",\"provider\":\"sm\",\"id\":\"{number:016x}\",\"status\":\"fetched\",\
         \"path\":\"decks/{number:016x}.pdf\",\"name\":\"{number:016x}.pdf\",\"bytes\":51200,\
         \"sha256\":\"{number:064x}\",\"media_type\":\"application/pdf\",\"etag\":\"\\\"5d41\\\"\",\"resumed_from\":0,\"attempts\":1,\
         \"resolves\":1,\"elapsed_ms\":12}}\n"
    )
}

/// As `sha256sum` writes it.
fn summed(number: usize) -> String {
    format!("{number:064x}  decks/{number:016x}.pdf\n")
}

fn list(line: fn(usize) -> String) -> String {
    (0..ROWS).map(line).collect()
}

fn ids(bencher: Bencher, list: &str) {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(list.as_bytes()).unwrap();
    bencher
        .counter(ItemsCount::new(ROWS))
        .bench_local(|| assert_eq!(internals::count_ids(file.path()), ROWS));
}

fn manifest(bencher: Bencher, list: &str) {
    bencher
        .counter(ItemsCount::new(ROWS))
        .bench(|| assert_eq!(internals::count_files(list.as_bytes()), ROWS));
}

#[divan::bench(sample_count = 10)]
fn ids_from_lines(bencher: Bencher) {
    ids(bencher, &list(plain));
}

#[divan::bench(sample_count = 10)]
fn ids_from_listing(bencher: Bencher) {
    ids(bencher, &list(listed));
}

#[divan::bench(sample_count = 10)]
fn manifest_of_records(bencher: Bencher) {
    manifest(bencher, &list(noted));
}

#[divan::bench(sample_count = 10)]
fn manifest_of_sha256sum(bencher: Bencher) {
    manifest(bencher, &list(summed));
}
