//! The paths that the documents of a batch have claimed: two documents never share a file, however a file
//! system compares names.

use crate::fetch::target::name_order::{NameOrder, NameTicket};
use crate::fingerprint::digest128;
use crate::mutex::locked;
use crate::state::files::FileIdentity;
use icu_casemap::CaseMapper;
use icu_normalizer::{ComposingNormalizer, DecomposingNormalizer};
use std::borrow::Cow;
use std::collections::HashMap;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Mutex;

/// The targets of a batch. Paths and ids are kept as hashes, because there may be many.
#[derive(Debug, Default)]
pub(crate) struct ClaimedPaths {
    /// The document of each path.
    owners: Mutex<HashMap<u64, u64>>,
    /// The document of each published file, for file systems that compare names in another way than
    /// [`folded`].
    files: Mutex<HashMap<FileIdentity, u64>>,
    name_order: NameOrder,
}

impl ClaimedPaths {
    /// Claims `path` for the document `id`. Returns false when another document has claimed a path that
    /// some file system takes for the same.
    pub(crate) fn claim(&self, path: &Path, id: &str) -> bool {
        let path = path.to_string_lossy();
        let (path, id) = (short_hash(&folded(&path)), short_hash(id));
        *locked(&self.owners).entry(path).or_insert(id) == id
    }

    /// Records that `file` becomes the file of the document `id`.
    pub(crate) fn record_file(&self, file: Option<FileIdentity>, id: &str) {
        if let Some(file) = file {
            locked(&self.files).insert(file, short_hash(id));
        }
    }

    /// Claims an existing file, whose metadata is `found`, for the document `id`. Returns false when it is
    /// the file of another document.
    pub(crate) fn claim_file(&self, found: &Metadata, id: &str) -> bool {
        let (file, id) = (FileIdentity::of(found), short_hash(id));
        found.nlink() > 1 || *locked(&self.files).entry(file).or_insert(id) == id
    }

    /// Whether the existing file whose metadata is `found` is that of another document than `id`. A file
    /// with several names (hard links) belongs to no document: tools that save disk space link files of
    /// equal content.
    pub(crate) fn belongs_to_another(&self, found: &Metadata, id: &str) -> bool {
        let file = FileIdentity::of(found);
        let owner = locked(&self.files).get(&file).copied();
        found.nlink() == 1 && owner.is_some_and(|owner| owner != short_hash(id))
    }

    /// The ticket of the batch's document at the place `order`. Call in ascending `order`.
    pub(crate) fn ticket(&self, order: u64) -> NameTicket<'_> {
        self.name_order.ticket(order)
    }
}

/// Half of a fingerprint. If two paths have the same one, the later document gets its id into its name.
fn short_hash(text: &str) -> u64 {
    #[allow(clippy::cast_possible_truncation, reason = "half of it is enough")]
    let half = digest128(&[text.as_bytes()]) as u64;
    half
}

/// A text that is equal for all names that some file system takes for the same. APFS, HFS+, NTFS and ext4
/// folders with casefolding compare names without case, in a Unicode normal form, or both. The text is NFC
/// of the full case folding (Unicode section 3.13.5, canonical caseless matching), without the characters
/// that HFS+ and ext4 ignore.
fn folded(name: &str) -> Cow<'_, str> {
    if name.is_ascii() {
        return if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
            Cow::Owned(name.to_ascii_lowercase())
        } else {
            Cow::Borrowed(name)
        };
    }
    let visible: String = name.chars().filter(|c| !is_ignored(*c)).collect();
    let decomposed = DecomposingNormalizer::new_nfd();
    let decomposed = decomposed.normalize(&visible);
    let mapper = CaseMapper::new();
    let folded = mapper.fold_string(&decomposed);
    let composed = ComposingNormalizer::new_nfc();
    Cow::Owned(composed.normalize(&folded).into_owned())
}

/// Default-ignorable code points (Unicode section 5.21).
fn is_ignored(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
        | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}'
        | '\u{fff0}'..='\u{fff8}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
        | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_a_disk_takes_for_one_are_the_same() {
        for [one, other] in [
            ["A.PDF", "a.pdf"],
            ["caf\u{e9}", "cafe\u{301}"],
            ["CAF\u{c9}", "cafe\u{301}"],
            ["stra\u{df}e", "STRASSE"],
            ["stra\u{1e9e}e", "strasse"],
            [
                "\u{3c3}\u{3bf}\u{3c6}\u{3cc}\u{3c2}",
                "\u{3a3}\u{39f}\u{3a6}\u{38c}\u{3a3}",
            ],
            ["\u{17f}et", "Set"],
            ["\u{fb01}le", "FILE"],
            ["\u{212a}elvin", "kelvin"],
            ["\u{212b}", "a\u{30a}"],
            ["\u{345}\u{3b1}", "\u{3b9}\u{3b1}"],
            ["a\u{327}\u{301}", "A\u{301}\u{327}"],
            ["\u{130}", "i\u{307}"],
            ["a\u{200d}b\u{fe0f}", "ab"],
            ["\u{1e98}", "W\u{30a}"],
        ] {
            assert_eq!(folded(one), folded(other), "{one} {other}");
        }
        for [one, other] in [
            ["a", "b"],
            ["\u{e9}", "e"],
            ["o\u{308}", "o"],
            ["1", "\u{b9}"],
        ] {
            assert_ne!(folded(one), folded(other), "{one} {other}");
        }
        assert!(matches!(folded("report-7.pdf"), Cow::Borrowed(_)));
    }
}
