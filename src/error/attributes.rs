//! Attributes that keep every user from changing a file or a folder, whatever its permissions say.

use rustix::fs::{AtFlags, CWD, StatxAttributes, StatxFlags, statx};
use std::path::Path;

/// The attributes that `chattr(1)` sets, with their letters there.
const ATTRIBUTES: [(StatxAttributes, &str, char); 2] = [
    (StatxAttributes::IMMUTABLE, "immutable", 'i'),
    (StatxAttributes::APPEND, "append-only", 'a'),
];

/// An attribute that forbids changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ForbiddingAttribute {
    /// Why a change fails, in one line.
    pub cause: String,
    /// What the user can do about it, for a hint.
    pub remedy: String,
}

impl ForbiddingAttribute {
    /// The attribute of the file or folder at `path`, if the file system tells.
    pub(crate) fn of(path: &Path) -> Option<Self> {
        let flags = AtFlags::SYMLINK_NOFOLLOW;
        let found = statx(CWD, path, flags, StatxFlags::empty()).ok()?;
        let mut known = ATTRIBUTES.into_iter();
        let (_, name, letter) = known.find(|(one, ..)| found.stx_attributes.contains(*one))?;
        Some(Self {
            cause: format!("{} is {name}", path.display()),
            remedy: format!("remove that attribute with `chattr -{letter}`"),
        })
    }

    /// As [`ForbiddingAttribute::of`], also of the folder that the file at `path` is in.
    pub(super) fn near(path: &Path) -> Option<Self> {
        let folder = path.parent().map(|folder| {
            let is_current = folder.as_os_str().is_empty();
            if is_current { Path::new(".") } else { folder }
        });
        Self::of(path).or_else(|| folder.and_then(Self::of))
    }
}
