//! Files whose names have another Unicode normal form than a manifest says: some file systems, such as HFS+, change the
//! form of names, and a copy keeps the names as they are there.

use icu_normalizer::{ComposingNormalizer, DecomposingNormalizer};
use std::borrow::Cow;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

/// The path below `folder` at which there is a file: `path` itself, or else a path whose names differ from those of
/// `path` only in their Unicode normal form. `path` where there is no such file.
pub(crate) fn existing_form<'a>(folder: &Path, path: &'a Path) -> Cow<'a, Path> {
    if path.as_os_str().as_bytes().is_ascii() || exists(&folder.join(path)) {
        return Cow::Borrowed(path);
    }
    let mut found = PathBuf::new();
    for part in path {
        let forms = [Cow::Borrowed(part)].into_iter().chain(forms(part));
        let mut existing = forms.filter(|form| exists(&folder.join(&found).join(form)));
        let Some(form) = existing.next() else {
            return Cow::Borrowed(path);
        };
        found.push(form);
    }
    Cow::Owned(found)
}

fn exists(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_ok()
}

/// A name in the composed and in the decomposed form. None for a name that is not UTF-8.
fn forms(name: &OsStr) -> impl Iterator<Item = Cow<'_, OsStr>> {
    let forms = name.to_str().map(|name| {
        let composed = ComposingNormalizer::new_nfc().normalize(name);
        let decomposed = DecomposingNormalizer::new_nfd().normalize(name);
        [composed, decomposed].map(|form| Cow::Owned(form.into_owned().into()))
    });
    forms.into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_found_by_its_name_in_any_normal_form() {
        let folder = tempfile::tempdir().unwrap();
        let (composed, decomposed) = ("\u{e9}t\u{e9}/\u{fc}.pdf", "e\u{301}te\u{301}/u\u{308}.pdf");
        let form = |path: &'static str| existing_form(folder.path(), Path::new(path)).into_owned();
        assert_eq!(form(composed), Path::new(composed), "there is no file");
        let disk = folder.path().join(decomposed);
        std::fs::create_dir(disk.parent().unwrap()).unwrap();
        std::fs::write(&disk, "").unwrap();
        for path in [composed, decomposed, "\u{e9}te\u{301}/\u{fc}.pdf"] {
            assert_eq!(form(path), Path::new(decomposed), "{path}");
        }
        assert_eq!(
            form("\u{c9}t\u{e9}/\u{fc}.pdf"),
            Path::new("\u{c9}t\u{e9}/\u{fc}.pdf"),
            "another case"
        );
    }
}
