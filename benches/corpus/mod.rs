//! The tables of real headers and hostile names that the tests read, too.

use serde_json::{Map, Value};
use std::path::Path;

/// The text that each row of a table has in this field.
pub(crate) fn texts(table: &str, field: &str) -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data")
        .join(table);
    let rows: Vec<Map<String, Value>> =
        serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    rows.iter()
        .map(|row| row[field].as_str().unwrap().to_owned())
        .collect()
}
