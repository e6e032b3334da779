//! The names of partials and of the files that belong to them.
//!
//! `.docfetch-DOCUMENT.part` is the one partial of a document where locks exclude other processes.
//! Elsewhere each process has a partial of its own, `.docfetch-DOCUMENT.PROCESS-NUMBER.part`. The sidecar
//! of a partial ends in `.json`, a temporary file of the sidecar in `.json.new`.

use crate::state::process::ProcessIdentity;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

const PREFIX: &str = ".docfetch-";
const PARTIAL_ENDING: &str = ".part";
/// The endings of all files of a partial, the partial's own one last.
const ENDINGS: [&str; 3] = [".json.new", ".json", PARTIAL_ENDING];
/// How many hexadecimal digits the name of a document has.
const DOCUMENT_DIGITS: usize = 32;

/// How many partials of one document a run can find in a folder that its user may not read.
const MAX_FINDABLE: u32 = 4;

/// What the name of a partial tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PartialName {
    /// The document, provider and account, as a fingerprint.
    pub document: String,
    /// The process that writes the partial. `None` for the partial that processes share.
    pub owner: Option<ProcessIdentity>,
    /// Tells the partials of one process apart.
    number: u32,
}

impl PartialName {
    /// The partial number `number` of `owner`.
    pub(super) fn own(document: &str, owner: &ProcessIdentity, number: u32) -> Self {
        Self {
            document: document.to_owned(),
            owner: Some(owner.clone()),
            number,
        }
    }

    /// The partial that all processes share.
    pub(super) fn shared(document: &str) -> Self {
        Self {
            document: document.to_owned(),
            owner: None,
            number: 0,
        }
    }

    /// The names under which partials of single processes stay in a folder that this user may not read, so that a
    /// later run can compute the names.
    pub(super) fn findable(document: &str) -> impl Iterator<Item = Self> {
        let none = ProcessIdentity::of_no_process();
        (0..MAX_FINDABLE).map(move |number| Self::own(document, &none, number))
    }

    /// Parses the name of a partial, or of a file that belongs to one. `None` for any other name.
    pub(super) fn parse(name: &OsStr) -> Option<Self> {
        let name = name.to_str()?.strip_prefix(PREFIX)?;
        let stem = ENDINGS
            .iter()
            .find_map(|ending| name.strip_suffix(ending))?;
        let Some((document, owner)) = stem.split_once('.') else {
            return Some(Self::shared(stem));
        };
        let (owner, number) = owner.rsplit_once('-')?;
        Some(Self {
            document: document.to_owned(),
            owner: Some(ProcessIdentity::parse(owner)?),
            number: number.parse().ok()?,
        })
    }

    /// The partial's path in `folder`.
    pub(super) fn path(&self, folder: &Path) -> PathBuf {
        let Self {
            document,
            owner,
            number,
        } = self;
        match owner {
            None => shared_path(folder, document),
            Some(owner) => folder.join(format!(
                "{PREFIX}{document}.{owner}-{number}{PARTIAL_ENDING}"
            )),
        }
    }

    /// Whether docfetch makes such names of documents.
    pub(super) fn is_of_document(&self) -> bool {
        let is_digit = |c: u8| matches!(c, b'0'..=b'9' | b'a'..=b'f');
        self.document.len() == DOCUMENT_DIGITS && self.document.bytes().all(is_digit)
    }
}

/// The path of the partial that all processes share.
pub(super) fn shared_path(folder: &Path, document: &str) -> PathBuf {
    folder.join(format!("{PREFIX}{document}{PARTIAL_ENDING}"))
}

/// Whether `name` is that of a partial, whatever the document.
pub(super) fn is_partial_name(name: &OsStr) -> bool {
    let name = name.as_encoded_bytes();
    name.starts_with(PREFIX.as_bytes()) && name.ends_with(PARTIAL_ENDING.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_partial_tells_the_document_and_the_process() {
        let folder = Path::new("/tmp");
        let own = PartialName::own("0af1", ProcessIdentity::own(), 3);
        let path = own.path(folder);
        assert_eq!(PartialName::parse(path.file_name().unwrap()), Some(own));
        let shared = shared_path(folder, "0af1");
        assert_eq!(shared, Path::new("/tmp/.docfetch-0af1.part"));
        for ending in ["part", "json", "json.new"] {
            let path = shared.with_extension(ending);
            let parsed = PartialName::parse(path.file_name().unwrap()).unwrap();
            assert_eq!(
                (&*parsed.document, &parsed.owner),
                ("0af1", &None),
                "{ending}"
            );
            assert_eq!(parsed.path(folder), shared);
        }
    }

    #[test]
    fn other_names_are_of_no_partial() {
        let others = [
            ".docfetch",
            ".docfetch-0af1",
            ".docfetch-0af1.txt",
            "docfetch-0af1.part",
            ".docfetch-0af1.x.part",
            ".docfetch-0af1.host-system-1-2.part",
            ".docfetch-0af1.host-system-1-2-x.part",
        ];
        for name in others {
            assert_eq!(PartialName::parse(OsStr::new(name)), None, "{name}");
        }
        let parsed = PartialName::parse(OsStr::new(".docfetch-probe.part")).unwrap();
        assert!(!parsed.is_of_document());
    }
}
