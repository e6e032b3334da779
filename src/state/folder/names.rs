//! Which file names a folder takes.
//!
//! exFAT, NTFS and SMB refuse characters; encrypting file systems take shorter names than others. docfetch tries
//! each name that is not plain, and learns from a refusal.

use super::scratch::Scratch;
use crate::mutex::locked;
use std::collections::{BTreeSet, HashSet};
use std::ffi::OsStr;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Mutex;

/// The longest name that common file systems take, in bytes.
pub(crate) const MAX_NAME_BYTES: usize = 255;
/// Every file system takes a plain name of as many bytes.
const MAX_PLAIN_BYTES: usize = 64;

/// The limits that a folder sets for names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NameLimits {
    /// Characters that the file system refuses.
    pub refused: BTreeSet<char>,
    /// Whether names may have plain characters only: letters and digits of ASCII, dots, blanks, `-` and `_`.
    pub is_plain: bool,
    /// The longest name in bytes.
    pub max_bytes: usize,
}

impl Default for NameLimits {
    /// The limits of ordinary file systems.
    fn default() -> Self {
        Self {
            refused: BTreeSet::new(),
            is_plain: false,
            max_bytes: MAX_NAME_BYTES,
        }
    }
}

impl NameLimits {
    /// The limits for a name that every file system takes.
    pub(crate) fn strictest() -> Self {
        Self {
            refused: BTreeSet::new(),
            is_plain: true,
            max_bytes: MAX_PLAIN_BYTES,
        }
    }

    /// Whether a name may have this character.
    pub(crate) fn allows(&self, character: char) -> bool {
        if self.is_plain {
            is_plain(character)
        } else {
            !self.refused.contains(&character)
        }
    }
}

/// The names that one folder takes, as docfetch learns them.
#[derive(Debug, Default)]
pub(super) struct FolderNames(Mutex<KnownNames>);

/// What docfetch has learned.
#[derive(Debug, Default)]
struct KnownNames {
    limits: NameLimits,
    /// Characters that the file system takes.
    taken: HashSet<char>,
    /// The longest name that the file system has taken, in bytes.
    max_taken_bytes: usize,
}

impl KnownNames {
    /// Whether the folder takes this name, as far as docfetch knows without a trial.
    fn takes(&self, name: &str) -> bool {
        let is_taken = |character| is_plain(character) || self.taken.contains(&character);
        !name.ends_with(['.', ' '])
            && name.len() <= self.max_taken_bytes.max(MAX_PLAIN_BYTES)
            && name.chars().all(is_taken)
    }

    /// Learns from a name that the folder takes.
    fn note_taken(&mut self, name: &str) {
        self.taken.extend(name.chars());
        self.max_taken_bytes = self.max_taken_bytes.max(name.len());
    }

    /// Finds out why the folder refuses this name: tries each of its characters, or else shorter names.
    fn note_refused(&mut self, name: &str, scratch: &Scratch) {
        let mut is_refused_character = false;
        for character in name.chars().filter(|character| !is_plain(*character)) {
            if !self.taken.contains(&character) && !self.limits.refused.contains(&character) {
                match scratch.takes(format!("a{character}a").as_ref()) {
                    Some(true) => self.taken.insert(character),
                    Some(false) => self.limits.refused.insert(character),
                    None => false,
                };
            }
            is_refused_character |= self.limits.refused.contains(&character);
        }
        if is_refused_character {
            return;
        }
        let is_taken = |bytes: usize| {
            let shorter = name[..name.floor_char_boundary(bytes)].trim_end_matches(['.', ' ']);
            scratch.takes(shorter.as_ref()) == Some(true)
        };
        let (mut longest, mut too_long) = (MAX_PLAIN_BYTES, name.len());
        if longest >= too_long || !is_taken(longest) {
            return;
        }
        while longest + 1 < too_long {
            let middle = usize::midpoint(longest, too_long);
            if is_taken(middle) {
                longest = middle;
            } else {
                too_long = middle;
            }
        }
        self.limits.max_bytes = self.limits.max_bytes.min(longest);
    }
}

impl FolderNames {
    /// What docfetch knows of the names that the folder takes.
    pub(super) fn limits(&self) -> NameLimits {
        locked(&self.0).limits.clone()
    }

    /// Whether the folder, which is at `folder`, takes a name. When it does not, [`FolderNames::limits`] tells
    /// more than before, if docfetch could find out why.
    pub(super) fn takes(&self, folder: &Path, name: &OsStr) -> bool {
        let mut known = locked(&self.0);
        let text = name.to_str();
        if text.is_some_and(|text| known.takes(text)) {
            return true;
        }
        let Some(scratch) = Scratch::new(folder) else {
            return true; // the publication finds out
        };
        let is_taken = scratch.takes(name).unwrap_or(true);
        match text {
            Some(text) if is_taken => known.note_taken(text),
            Some(text) => known.note_refused(text, &scratch),
            None => {}
        }
        is_taken
    }

    /// Why the folder has refused this name, in one line.
    pub(super) fn refusal(&self, name: &OsStr) -> String {
        let (limits, text) = (self.limits(), name.to_string_lossy());
        let refused: BTreeSet<char> = text.chars().filter(|c| !limits.allows(*c)).collect();
        if !refused.is_empty() {
            let mut why = "the file system refuses these characters in names:".to_owned();
            for character in refused {
                let _ = write!(why, " {}", shown(character));
            }
            why
        } else if text.len() > limits.max_bytes {
            let (max, length) = (limits.max_bytes, text.len());
            format!("the file system takes names of at most {max} bytes, and this one has {length}")
        } else if text.ends_with(['.', ' ']) {
            "the file system refuses names that end in a dot or a blank".to_owned()
        } else {
            "the file system refuses this name".to_owned()
        }
    }
}

/// A character for a message.
fn shown(character: char) -> String {
    if character.is_control() || character.is_whitespace() {
        format!("U+{:04X}", u32::from(character))
    } else {
        character.to_string()
    }
}

/// Whether every file system takes this character inside of a name.
fn is_plain(character: char) -> bool {
    character.is_ascii_alphanumeric() || matches!(character, '-' | '_' | '.' | ' ')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_taken_once_needs_no_trial() {
        let mut names = KnownNames::default();
        assert!(names.takes("report 7-a_b.pdf"));
        for unknown in ["a?.pdf", "\u{e9}.pdf", "a.", "a ", &"a".repeat(65)] {
            assert!(!names.takes(unknown), "{unknown}");
        }
        names.note_taken(&format!("\u{e9}{}", "a".repeat(100)));
        assert!(names.takes("\u{e9}.pdf") && names.takes(&"a".repeat(102)));
        assert!(!names.takes(&"a".repeat(103)) && !names.takes("\u{e8}.pdf"));
    }

    #[test]
    fn the_strictest_limits_allow_plain_characters_only() {
        let (strictest, usual) = (NameLimits::strictest(), NameLimits::default());
        for character in ['?', '\u{e9}', '\u{1}', ':'] {
            assert!(!strictest.allows(character) && usual.allows(character));
        }
        assert!(strictest.allows('a') && strictest.allows('.'));
    }
}
