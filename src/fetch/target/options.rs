//! Where the user wants documents to be written.

use crate::fetch::target::template::Template;
use std::path::PathBuf;

/// What docfetch does when a file exists at a document's target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IfExists {
    /// The document fails with [`Code::TargetExists`](crate::error::Code::TargetExists).
    Fail,
    /// The document counts as fetched.
    Skip,
    /// The document replaces the file once every byte has arrived and is verified.
    Overwrite,
    /// The document's name gets the first free number: `name (2).ext`.
    Rename,
    /// A file with the same content counts as the document. If the content differs, the document's name
    /// gets the document's id.
    Same {
        /// The length of the document in bytes, when its content must not be fetched only for a
        /// comparison: a file of this length counts as the document, unproven.
        length: Option<u64>,
    },
}

/// Where documents are written, and under which names.
#[derive(Clone, Debug)]
pub struct TargetOptions {
    /// The path of a single document, relative to `folder`. Without it, `template` gives the name.
    pub file: Option<PathBuf>,
    /// The folder that documents are written to.
    pub folder: PathBuf,
    /// How file names are made.
    pub template: Template,
    /// What docfetch does when a file exists at a document's target.
    pub if_exists: IfExists,
}
