//! Where the user wants documents to be written.

use crate::fetch::target::template::Template;
use std::path::PathBuf;

/// What docfetch does when a file exists at a document's target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
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
#[non_exhaustive]
pub struct TargetOptions {
    /// The path of a single document, relative to `folder`. With `None`, `template` gives the name.
    /// Default: `None`.
    pub file: Option<PathBuf>,
    /// The folder that documents are written to; docfetch makes a missing one. Default: the working folder.
    pub folder: PathBuf,
    /// How file names are made. Default: `{name}`, the document's own name.
    pub template: Template,
    /// What docfetch does when a file exists at a document's target. Default: [`IfExists::Fail`].
    pub if_exists: IfExists,
}

impl Default for TargetOptions {
    fn default() -> Self {
        Self {
            file: None,
            folder: PathBuf::from("."),
            template: Template::default(),
            if_exists: IfExists::Fail,
        }
    }
}
