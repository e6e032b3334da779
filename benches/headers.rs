//! What answers say: the whole corpus of real `Content-Disposition` headers, and the headers of one
//! answer of an object store.

#![allow(clippy::unwrap_used, reason = "a benchmark may end where it stands")]

mod corpus;

use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use docfetch::internals;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use url::Url;

fn main() {
    divan::main();
}

/// What S3 answers to a range of an object that was uploaded with a checksum.
const ANSWER: [(&str, &str); 12] = [
    (
        "x-amz-id-2",
        "Vvag1LuByRx9e6j5Onimru9pO4ZVKnJ2Qz7/C1NPcfTWAtRPfTaOFg==",
    ),
    ("x-amz-request-id", "656c76696e6727732072657175657374"),
    ("date", "Tue, 24 Nov 2026 20:34:56 GMT"),
    ("last-modified", "Sat, 14 Nov 2026 17:50:01 GMT"),
    ("etag", "\"fba9dede5f27731c9771645a39863328\""),
    ("x-amz-checksum-crc64nvme", "AAAAAAAAAAA="),
    ("x-amz-checksum-type", "FULL_OBJECT"),
    ("accept-ranges", "bytes"),
    ("content-range", "bytes 1048576-209715199/209715200"),
    ("content-type", "application/pdf; charset=binary"),
    ("content-length", "208666624"),
    ("retry-after", "Tue, 24 Nov 2026 20:35:26 GMT"),
];

const PRESIGNED: &str = "https://documents.s3.us-east-1.amazonaws.com/portfolio/8c1f/deck.pdf\
    ?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAEXAMPLE%2F20261124%2Fus-east-1%2Fs3%2Faws4_request\
    &X-Amz-Date=20261124T203456Z&X-Amz-Expires=3600&X-Amz-SignedHeaders=host\
    &X-Amz-Signature=0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

fn answer() -> HeaderMap {
    let pair = |(name, value)| {
        (
            HeaderName::from_static(name),
            HeaderValue::from_static(value),
        )
    };
    ANSWER.into_iter().map(pair).collect()
}

#[divan::bench]
fn content_disposition_corpus(bencher: Bencher) {
    let corpus = corpus::texts("content_disposition.json", "header");
    bencher.counter(ItemsCount::new(corpus.len())).bench(|| {
        for header in &corpus {
            internals::content_disposition(black_box(header.as_bytes()));
        }
    });
}

#[divan::bench]
fn content_range(bencher: Bencher) {
    let answer = answer();
    bencher.bench(|| internals::content_range(black_box(&answer)));
}

#[divan::bench]
fn checksum(bencher: Bencher) {
    let answer = answer();
    bencher.bench(|| internals::checksum(black_box(&answer)));
}

#[divan::bench]
fn retry_after(bencher: Bencher) {
    let answer = answer();
    bencher.bench(|| internals::retry_after(black_box(&answer)));
}

#[divan::bench]
fn entity(bencher: Bencher) {
    let answer = answer();
    bencher.bench(|| internals::entity(black_box(&answer)));
}

#[divan::bench]
fn expiry_of_url(bencher: Bencher) {
    let url = Url::parse(PRESIGNED).unwrap();
    bencher.bench(|| internals::expiry_of_url(black_box(&url)));
}
