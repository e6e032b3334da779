//! How files are named: every hostile name of the tests' table made safe, and templates.

#![allow(clippy::unwrap_used, reason = "a benchmark may end where it stands")]

mod corpus;

use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use docfetch::{DocumentId, internals};

fn main() {
    divan::main();
}

const NAME: &str = "Q3 2026 – Portfolio Übersicht (final).pdf";

fn id() -> DocumentId {
    DocumentId::parse("5891ee65711c4d5e", None).unwrap()
}

#[divan::bench]
fn safe_hostile_names(bencher: Bencher) {
    let names = corpus::texts("filename_attacks.json", "name");
    bencher.counter(ItemsCount::new(names.len())).bench(|| {
        for name in &names {
            internals::safe_name(black_box(name));
        }
    });
}

#[divan::bench]
fn safe_usual_name() {
    internals::safe_name(black_box(NAME));
}

#[divan::bench]
fn parse_template() {
    internals::parse_template(black_box("{provider}-{id}-{stem}.{ext}"));
}

#[divan::bench]
fn fill_template(bencher: Bencher) {
    let id = id();
    bencher.bench(internals::fill_template(
        "{provider}-{id}-{stem}.{ext}",
        &id,
        NAME,
    ));
}

#[divan::bench]
fn path_in_mirror(bencher: Bencher) {
    let value = |field: &str| match field {
        "company_id" => "c-77aa".to_owned(),
        _ => "2026-11-24T20:34:56Z".to_owned(),
    };
    let (id, layout) = (id(), "{company_id}/{uploaded_at}-{name}");
    let fields = ["company_id", "uploaded_at"];
    bencher.bench(internals::path_in_mirror(layout, &fields, &id, NAME, value));
}
