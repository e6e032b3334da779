//! The configuration file: where it is, whether docfetch trusts it, and its text.
//!
//! The file decides where docfetch writes and what docfetch pays. docfetch therefore refuses a file that another user
//! could have written.

use super::folders;
use super::toml_file::TomlFile;
use super::variables::{CONFIG, os_value};
use crate::error::{Code, Error, Result, system_text};
use crate::text::{Utf16Text, without_byte_order_mark};
use rustix::fs::{Mode, OFlags};
use std::fs::{File, FileType, Metadata};
use std::io::{self, Read as _};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

/// The longest configuration file that docfetch reads.
const MAX_FILE_BYTES: u64 = 1 << 20;
/// The name of the file in the folder of the configuration.
const FILE_NAME: &str = "config.toml";
/// The permission bits with which a group, or everyone, can write a file.
const GROUP_WRITES: u32 = 0o020;
const OTHERS_WRITE: u32 = 0o002;

/// Where the configuration file is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ConfigPlace {
    /// The path of the file.
    pub path: PathBuf,
    /// Whether `DOCFETCH_CONFIG` names the file, which must then exist.
    pub is_named: bool,
}

/// The place of the configuration file: `DOCFETCH_CONFIG`, else `docfetch/config.toml` in `$XDG_CONFIG_HOME` or
/// `~/.config`. None where the environment names no home folder.
///
/// # Errors
/// [`Code::Config`] for a relative `DOCFETCH_CONFIG`, with which every working folder would have its own settings.
pub(crate) fn place() -> Result<Option<ConfigPlace>> {
    let Some(path) = os_value(CONFIG).map(PathBuf::from) else {
        let folder = folders::configuration();
        return Ok(folder.map(|folder| ConfigPlace {
            path: folder.join(FILE_NAME),
            is_named: false,
        }));
    };
    if path.is_relative() {
        return Err(
            Error::new(Code::Config, format!("{CONFIG} is not an absolute path"))
                .with_cause("the settings would depend on the working folder")
                .with_hint(format!("set {CONFIG} to a path that begins with /")),
        );
    }
    Ok(Some(ConfigPlace {
        path,
        is_named: true,
    }))
}

/// Reads the configuration file. None where the default place has no file. `/dev/null` is an empty file.
///
/// # Errors
/// [`Code::Config`] for a missing file that `DOCFETCH_CONFIG` names, a file that docfetch cannot read or does not trust,
/// a file of more than [`MAX_FILE_BYTES`], and a text that is not UTF-8. [`Code::LocalIo`] when the system has too few
/// file descriptors.
pub(crate) fn read(place: &ConfigPlace) -> Result<Option<TomlFile>> {
    let path = &place.path;
    let file = match open(path) {
        Ok(file) => file,
        Err(error) if is_missing(&error) && !place.is_named => return Ok(None),
        Err(error) => return Err(unreadable(place, &error)),
    };
    let found = file.metadata().map_err(|error| unreadable(place, &error))?;
    let bytes = if found.file_type().is_file() {
        check_trust(path, &found)?;
        content(&file, &found).map_err(|error| unreadable(place, &error))?
    } else if is_null(&found) {
        Vec::new()
    } else {
        let kind = kind(found.file_type());
        return Err(unusable(path, &format!("it is {kind}"))
            .with_hint(format!("name a regular file in {CONFIG}")));
    };
    if bytes.len() as u64 > MAX_FILE_BYTES {
        let why = "the file is larger than 1 MiB";
        return Err(unusable(path, why).with_hint("remove from the file what is no setting"));
    }
    let text = without_byte_order_mark(&bytes)
        .map_err(|error| unusable(path, &error.to_string()).with_hint(Utf16Text::HINT))?;
    let text = std::str::from_utf8(text).map_err(|error| {
        let before = &text[..error.valid_up_to()];
        let line = before.split(|byte| *byte == b'\n').count();
        let what = format!("{}, line {line}: this is not UTF-8", path.display());
        Error::new(Code::Config, what)
            .with_cause("a configuration file is TOML, which is UTF-8")
            .with_hint("save the file as UTF-8")
    })?;
    Ok(Some(TomlFile::new(path.display().to_string(), text)))
}

/// Opens the file without waiting for the writer of a pipe, and without taking a terminal.
fn open(path: &Path) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    Ok(rustix::fs::open(path, flags, Mode::empty())?.into())
}

/// At most one byte more than docfetch accepts.
fn content(file: &File, found: &Metadata) -> io::Result<Vec<u8>> {
    let length = found.len().min(MAX_FILE_BYTES) + 1;
    let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or_default());
    file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Whether no file has this path.
fn is_missing(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

/// Checks that no other user could have written the file.
///
/// # Errors
/// [`Code::Config`], with the command that mends the file.
fn check_trust(path: &Path, found: &Metadata) -> Result<()> {
    let user = rustix::process::geteuid().as_raw();
    let (mode, owner, group) = (found.mode(), found.uid(), found.gid());
    // Inside a user namespace, root may have the number of the owner of `/`.
    let is_root = |owner| owner == 0 || std::fs::metadata("/").is_ok_and(|top| top.uid() == owner);
    let Some(why) = distrust(mode, owner, group, user, is_root) else {
        return Ok(());
    };
    let remedy = if why == FOREIGN_OWNER {
        "chown \"$(id -u)\""
    } else {
        "chmod go-w"
    };
    let hint = format!("look through the file, then run `{remedy}` on the file");
    Err(unusable(path, why).with_hint(hint))
}

const FOREIGN_OWNER: &str = "another user owns the file";

/// Why `user` does not trust a file with these permissions; none when the user does. A group with the number of the
/// user is the user's own.
fn distrust(
    mode: u32,
    owner: u32,
    group: u32,
    user: u32,
    is_root: impl FnOnce(u32) -> bool,
) -> Option<&'static str> {
    if owner != user && !is_root(owner) {
        Some(FOREIGN_OWNER)
    } else if mode & OTHERS_WRITE != 0 {
        Some("every user can write the file")
    } else if mode & GROUP_WRITES != 0 && group != user {
        Some("a group of users can write the file")
    } else {
        None
    }
}

/// Whether this is `/dev/null`, which no user can fill.
fn is_null(found: &Metadata) -> bool {
    let null = || std::fs::metadata("/dev/null").map(|null| null.rdev());
    found.file_type().is_char_device() && null().is_ok_and(|null| null == found.rdev())
}

/// What a file is that is no regular file.
fn kind(kind: FileType) -> &'static str {
    if kind.is_dir() {
        "a folder"
    } else if kind.is_fifo() {
        "a pipe"
    } else {
        "a device or a socket"
    }
}

fn unreadable(place: &ConfigPlace, error: &io::Error) -> Error {
    let wrong = unusable(&place.path, &system_text(error));
    if let Some(shortage) = Error::shortage(wrong.what(), error) {
        return shortage;
    }
    if place.is_named {
        wrong.with_hint(format!("correct or unset {CONFIG}"))
    } else {
        wrong.with_hint(format!(
            "make the file readable, or set {CONFIG} to another file; /dev/null stands for no settings"
        ))
    }
}

fn unusable(path: &Path, why: &str) -> Error {
    let what = format!("cannot use the configuration file {}", path.display());
    Error::new(Code::Config, what).with_cause(why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_user_and_root_may_write_the_file() {
        let is_root = |owner| owner == 0;
        for (mode, owner, group, trusted) in [
            (0o600, 1000, 1000, true),
            (0o644, 1000, 100, true),
            (0o644, 0, 0, true),
            (0o664, 1000, 1000, true),
            (0o664, 1000, 100, false),
            (0o664, 0, 0, false),
            (0o646, 1000, 1000, false),
            (0o602, 0, 0, false),
            (0o600, 1001, 1000, false),
        ] {
            let why = distrust(mode, owner, group, 1000, is_root);
            assert_eq!(why.is_none(), trusted, "{mode:o} {owner} {group}: {why:?}");
        }
    }
}
