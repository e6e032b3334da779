//! How files are named: every hostile name of the tests' table made safe, and templates.

#![allow(clippy::unwrap_used, reason = "a benchmark may end where it stands")]

mod corpus;

use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use docfetch::fetch::target::naming::{self, Template};
use docfetch::mirror::layout::Layout;
use docfetch::model::DocumentId;

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
            black_box(naming::safe(black_box(name)));
        }
    });
}

#[divan::bench]
fn safe_usual_name() -> Option<String> {
    naming::safe(black_box(NAME))
}

#[divan::bench]
fn parse_template() -> Result<Template, String> {
    Template::parse(black_box("{provider}-{id}-{stem}.{ext}"))
}

#[divan::bench]
fn fill_template(bencher: Bencher) {
    let (id, template) = (
        id(),
        Template::parse("{provider}-{id}-{stem}.{ext}").unwrap(),
    );
    bencher.bench(|| template.fill(black_box(&id), black_box(NAME), "sm"));
}

#[divan::bench]
fn place_in_mirror(bencher: Bencher) {
    let fields = ["company_id", "uploaded_at"];
    let layout = Layout::parse("{company_id}/{uploaded_at}-{name}", &fields).unwrap();
    let id = id();
    let values = |field: &str| match field {
        "company_id" => "c-77aa".to_owned(),
        _ => "2026-11-24T20:34:56Z".to_owned(),
    };
    bencher.bench(|| layout.place(black_box(&id), Some(black_box(NAME)), "sm", &values));
}
