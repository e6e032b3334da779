//! The fuzz targets on their seeds. `DOCFETCH_WRITE_SEEDS=1` also writes the seeds where cargo-fuzz looks for
//! them.

use super::*;
use serde::Deserialize;
use std::fs;
use std::path::Path;

use crate::fetch::target::corpora::tables::{Attack, load, unhex};

/// Stands between two seeds in a file.
const SEPARATOR: &str = "\n%%\n";

#[derive(Deserialize)]
struct Header {
    header: String,
    header_hex: Option<String>,
}

/// The seeds of a target: those in its file, and `others`.
fn seeds(target: &str, others: impl IntoIterator<Item = Vec<u8>>) -> Vec<Vec<u8>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(root.join(format!("tests/data/seeds/{target}.txt"))).unwrap();
    let text = text.strip_suffix('\n').unwrap();
    let own = text.split(SEPARATOR).map(|seed| seed.as_bytes().to_vec());
    let seeds: Vec<_> = own.chain(others).collect();
    if std::env::var_os("DOCFETCH_WRITE_SEEDS").is_some() {
        let folder = root.join("fuzz/corpus").join(target);
        fs::create_dir_all(&folder).unwrap();
        for (number, seed) in seeds.iter().enumerate() {
            fs::write(folder.join(format!("seed-{number}")), seed).unwrap();
        }
    }
    seeds
}

fn bytes(text: &str, hex: Option<&str>) -> Vec<u8> {
    hex.map_or_else(|| text.as_bytes().to_vec(), unhex)
}

#[test]
fn headers_keep_the_rules() {
    let table: Vec<Header> = load("content_disposition.json");
    let table = table.iter().map(|case| {
        let value = bytes(&case.header, case.header_hex.as_deref());
        [b"Content-Disposition: ", &*value].concat()
    });
    for seed in seeds("headers", table) {
        headers(&seed);
    }
}

#[test]
fn names_keep_the_rules() {
    let table: Vec<Attack> = load("filename_attacks.json");
    let table = table.iter().map(|attack| {
        let name = bytes(&attack.name, attack.bytes_hex.as_deref());
        [b"{stem}-{id}.{ext}\nd1\n", &*name].concat()
    });
    for seed in seeds("names", table) {
        names(&seed);
    }
}

#[test]
fn state_keeps_the_rules() {
    for seed in seeds("state", []) {
        state(&seed);
    }
}

#[test]
fn rows_keep_the_rules() {
    for seed in seeds("rows", []) {
        rows(&seed);
    }
}

#[test]
fn answers_keep_the_rules() {
    for seed in seeds("answers", []) {
        answers(&seed);
    }
}
