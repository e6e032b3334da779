//! Files whose names have another Unicode normal form than a manifest says: some file systems, such as HFS+, change the
//! form of names, and a copy keeps the names as they are there.

use icu_normalizer::{ComposingNormalizer, DecomposingNormalizer};
use std::borrow::Cow;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

/// The path below `folder` at which there is a file: `path` itself, or else a path whose names differ from those of
/// `path` only in their Unicode normal form. Where there is no such file, the folders in the path that exist have
/// their form on disk, and the other names their form in `path`.
pub(crate) fn existing_form<'a>(folder: &Path, path: &'a Path) -> Cow<'a, Path> {
    if path.as_os_str().as_bytes().is_ascii() || exists(&folder.join(path)) {
        return Cow::Borrowed(path);
    }
    let names: Vec<&OsStr> = path.iter().collect();
    let Deepest { found, missing } = search(folder, PathBuf::new(), &names);
    Cow::Owned(missing.iter().fold(found, |path, name| path.join(name)))
}

/// The longest existing beginning of a path.
struct Deepest<'n> {
    /// The beginning, as it is on disk.
    found: PathBuf,
    /// The names behind the beginning.
    missing: &'n [&'n OsStr],
}

/// Searches for `names` behind `found`, a path below `folder`, in every form. Two folders may differ only in their
/// forms, and either may have the file.
fn search<'n>(folder: &Path, found: PathBuf, names: &'n [&'n OsStr]) -> Deepest<'n> {
    let mut deepest = Deepest {
        found,
        missing: names,
    };
    let Some((name, rest)) = names.split_first() else {
        return deepest;
    };
    let paths = forms(name).map(|form| deepest.found.join(form));
    for path in paths.collect::<Vec<_>>() {
        if deepest.missing.is_empty() {
            break;
        }
        if exists(&folder.join(&path)) {
            let other = search(folder, path, rest);
            if other.missing.len() < deepest.missing.len() {
                deepest = other;
            }
        }
    }
    deepest
}

fn exists(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_ok()
}

/// The name as it is, and in the composed and the decomposed form where they differ. A name that is not UTF-8 has no
/// other form.
fn forms(name: &OsStr) -> impl Iterator<Item = Cow<'_, OsStr>> {
    let others = name.to_str().map(|name| {
        let composed = ComposingNormalizer::new_nfc().normalize(name);
        let decomposed = DecomposingNormalizer::new_nfd().normalize(name);
        [composed, decomposed].map(|form| Cow::Owned(form.into_owned().into()))
    });
    let others = others.into_iter().flatten();
    let others = others.filter(move |form: &Cow<'_, OsStr>| **form != *name);
    std::iter::once(Cow::Borrowed(name)).chain(others)
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMPOSED: &str = "\u{e9}t\u{e9}/\u{fc}.pdf";
    const DECOMPOSED: &str = "e\u{301}te\u{301}/u\u{308}.pdf";

    fn form(folder: &tempfile::TempDir, path: &str) -> String {
        let form = existing_form(folder.path(), Path::new(path)).into_owned();
        form.into_os_string().into_string().unwrap()
    }

    fn write(folder: &tempfile::TempDir, path: &str) {
        let path = folder.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, "").unwrap();
    }

    #[test]
    fn a_file_is_found_by_its_name_in_any_normal_form() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(form(&folder, COMPOSED), COMPOSED, "there is no file");
        write(&folder, DECOMPOSED);
        for path in [COMPOSED, DECOMPOSED, "\u{e9}te\u{301}/\u{fc}.pdf"] {
            assert_eq!(form(&folder, path), DECOMPOSED, "{path}");
        }
        let other_case = "\u{c9}t\u{e9}/\u{fc}.pdf";
        assert_eq!(form(&folder, other_case), other_case);
    }

    #[test]
    fn a_file_is_found_in_each_of_two_folders_that_differ_in_their_normal_form() {
        let folder = tempfile::tempdir().unwrap();
        write(&folder, DECOMPOSED);
        write(&folder, "\u{e9}t\u{e9}/\u{e9}/a.pdf");
        assert_eq!(form(&folder, COMPOSED), DECOMPOSED);
        let other = "e\u{301}te\u{301}/e\u{301}/a.pdf";
        assert_eq!(form(&folder, other), "\u{e9}t\u{e9}/\u{e9}/a.pdf");
    }

    #[test]
    fn a_missing_file_is_in_the_deepest_folder_that_exists_in_any_normal_form() {
        let folder = tempfile::tempdir().unwrap();
        write(&folder, DECOMPOSED);
        let missing = "e\u{301}te\u{301}/\u{e4}/\u{e9}.pdf";
        assert_eq!(form(&folder, "\u{e9}t\u{e9}/\u{e4}/\u{e9}.pdf"), missing);
        write(&folder, "\u{e9}t\u{e9}/a\u{308}/b.pdf");
        let missing = "\u{e9}t\u{e9}/a\u{308}/\u{e9}.pdf";
        assert_eq!(
            form(&folder, "\u{e9}t\u{e9}/\u{e4}/\u{e9}.pdf"),
            missing,
            "deeper"
        );
    }
}
