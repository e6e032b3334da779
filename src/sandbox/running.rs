//! What a client of a running sandbox needs to know.

use super::document::Document;
use super::table::ServedTable;

/// What a client of a running sandbox needs to know.
#[derive(Debug)]
pub(crate) struct RunningSandbox {
    /// The documents of the stand-ins that are no tables.
    pub documents: Vec<Document>,
    /// The tables that the sandbox serves.
    pub tables: Vec<ServedTable>,
    /// The variables that lead docfetch to the stand-ins.
    pub variables: Vec<(String, String)>,
    /// The variables that would lead docfetch elsewhere.
    pub unset: Vec<String>,
}
