//! What the sandbox tells of a table that it serves or cannot serve.

use crate::sandbox::document::Document;
use std::io;

/// Why the sandbox cannot serve a table.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UnservableTable {
    /// The table has something that a stand-in cannot have.
    #[error("{0}")]
    Key(String),
    /// The system refused something.
    #[error(transparent)]
    System(#[from] io::Error),
}

/// A table that the sandbox serves, and what a client needs for it.
#[derive(Debug)]
pub(crate) struct ServedTable {
    /// The name of the provider.
    pub(crate) name: String,
    /// The environment variables that point docfetch at the stand-in.
    pub(crate) variables: Vec<(String, String)>,
    /// What `--in` of `list` and `sync` names. None where the list has no scope.
    pub(crate) scope: Option<String>,
    /// The ids of the things of the first kind, and their documents.
    pub(crate) things: Vec<(String, Document)>,
}
