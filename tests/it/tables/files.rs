//! What the tests of `github`, `box` and `dropbox` share.

use crate::standins::{Document, Side, StandIn};
use crate::support::World;
use crate::support::raw::Request;
use serde_json::Value;

/// The requests to the API whose path contains `part`.
pub fn requests(stand_in: &StandIn, part: &str) -> Vec<Request> {
    let seen = stand_in.log.of(Side::Api).into_iter();
    let requests = seen.map(|seen| seen.request);
    requests
        .filter(|request| request.path().contains(part))
        .collect()
}

/// The fields of a form.
pub fn form(request: &Request) -> Vec<(String, String)> {
    url::form_urlencoded::parse(&request.body)
        .into_owned()
        .collect()
}

/// The rows of a list, by their ids.
pub fn rows(world: &World, arguments: &[&str]) -> Vec<(String, Value)> {
    let run = world.run(&[&["list"], arguments, &["--json"]].concat());
    let rows = run.exits(0).records().into_iter();
    rows.map(|row| (row["id"].as_str().unwrap().to_owned(), row))
        .collect()
}

/// Fails unless each document is a row of the list, with its name, size and time, and no row is another.
#[track_caller]
pub fn assert_lists(
    rows: &[(String, Value)],
    prefix: &str,
    documents: &[Document],
    modified: &str,
) {
    let ids: Vec<&str> = rows.iter().map(|(id, _)| id.as_str()).collect();
    let known: Vec<String> = documents
        .iter()
        .map(|document| format!("{prefix}{}", document.id))
        .collect();
    assert_eq!(ids, known);
    for ((_, row), document) in rows.iter().zip(documents) {
        assert_eq!(row["name"], *document.name);
        assert_eq!(row["size"], document.content.len());
        assert_eq!(row["modified"], modified, "{row}");
    }
}
