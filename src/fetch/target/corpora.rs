//! Tests with the tables of real headers and hostile names in `tests/data`.

use super::naming;
use crate::http::headers::content_disposition;
use serde::Deserialize;

#[allow(unreachable_pub, reason = "the integration tests use this file, too")]
#[path = "../../../tests/it/support/corpora.rs"]
pub(crate) mod tables;
use tables::{Attack, assert_safe, load, unhex};

#[derive(Deserialize)]
struct Case {
    id: String,
    header: String,
    header_hex: Option<String>,
    expect: Option<String>,
    #[serde(default)]
    accept: Vec<Option<String>>,
}

/// The name that docfetch derives from a header. `None` if docfetch uses the URL's name instead.
fn derived(header: &[u8]) -> Option<String> {
    content_disposition::file_name(header).and_then(|name| naming::safe(&name))
}

#[test]
fn all_350_headers_give_their_names() {
    let headers: Vec<Case> = load("content_disposition.json");
    assert_eq!(headers.len(), 350);
    let mut wrong = Vec::new();
    for case in &headers {
        let bytes = case
            .header_hex
            .as_deref()
            .map_or(case.header.clone().into_bytes(), unhex);
        let name = derived(&bytes);
        if let Some(name) = &name {
            assert_safe(name, &case.id);
        }
        if name != case.expect && !case.accept.contains(&name) {
            wrong.push(format!(
                "{}: {:?} gave {name:?}, not {:?}",
                case.id, case.header, case.expect
            ));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {}:\n{}",
        wrong.len(),
        headers.len(),
        wrong.join("\n")
    );
}

#[test]
fn most_headers_give_the_very_name_that_the_table_prefers() {
    let headers: Vec<Case> = load("content_disposition.json");
    let exact = headers.iter().filter(|case| {
        let bytes = case
            .header_hex
            .as_deref()
            .map_or(case.header.clone().into_bytes(), unhex);
        derived(&bytes) == case.expect
    });
    assert!(exact.count() >= 340);
}

#[test]
fn all_119_hostile_names_are_safe_or_refused_whatever_their_way_in() {
    let attacks: Vec<Attack> = load("filename_attacks.json");
    assert_eq!(attacks.len(), 119);
    for attack in &attacks {
        let bytes = attack
            .bytes_hex
            .as_deref()
            .map_or(attack.name.clone().into_bytes(), unhex);
        let quoted = [b"attachment; filename=\"".as_slice(), &bytes, b"\""].concat();
        let encoded = percent_encoding::percent_encode(&bytes, percent_encoding::NON_ALPHANUMERIC);
        let extended = format!("attachment; filename*=UTF-8''{encoded}").into_bytes();
        for header in [quoted, extended] {
            if let Some(name) = derived(&header) {
                assert_safe(&name, &attack.name);
            }
        }
        if let Some(name) = naming::safe(&attack.name) {
            assert_safe(&name, &attack.name);
        }
        let url = url::Url::parse(&format!("https://host/{encoded}")).unwrap();
        if let Some(name) = naming::from_url(&url) {
            assert_safe(&name, &attack.name);
        }
    }
}
