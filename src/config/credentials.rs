//! Reads secrets from a variable, from the file that `<VARIABLE>_FILE` names, or from a file that the
//! service's own tool made. No flag holds a secret.

use super::variables::{FILE_SUFFIX, os_value, value};
use crate::error::{Code, Error, Result, system_text};
use crate::secret::Secret;
use crate::text::{Utf16Text, without_byte_order_mark};
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Component, Path, PathBuf};

/// docfetch reads at most this many bytes of a file with a credential.
const MAX_CREDENTIAL_FILE_BYTES: u64 = 64 << 10;

/// A secret, and where docfetch read it.
pub(crate) struct SourcedSecret {
    /// The secret.
    pub secret: Secret,
    /// The variable or the file, as messages name it.
    pub source: String,
}

/// The secret in `variable`, else in the file that `<variable>_FILE` names. None where neither is set.
///
/// # Errors
/// [`Code::Config`] when the file cannot be read, or the value cannot be sent in a header.
pub(crate) fn secret(variable: &str) -> Result<Option<SourcedSecret>> {
    let found = plain(variable)?;
    if let Some(found) = &found {
        found.secret.register();
    }
    Ok(found)
}

/// As [`secret`], for a value that belongs to a credential and that docfetch may show, such as a user name.
///
/// # Errors
/// As [`secret`].
pub(crate) fn plain(variable: &str) -> Result<Option<SourcedSecret>> {
    if let Some(text) = value(variable)? {
        return sendable(text.trim(), variable.to_owned()).map(Some);
    }
    let file_variable = format!("{variable}{FILE_SUFFIX}");
    match os_value(&file_variable) {
        Some(file) => secret_in_file(Path::new(&file), &file_variable).map(Some),
        None => Ok(None),
    }
}

/// Whether `variable` or `<variable>_FILE` is set.
pub(crate) fn is_set(variable: &str) -> bool {
    let file_variable = format!("{variable}{FILE_SUFFIX}");
    let is_blank = |value: OsString| value.to_str().is_some_and(|text| text.trim().is_empty());
    os_value(variable).is_some_and(|value| !is_blank(value)) || os_value(&file_variable).is_some()
}

/// The secret in the file that `variable` names.
fn secret_in_file(path: &Path, variable: &str) -> Result<SourcedSecret> {
    let place = if may_be_shown(path) {
        format!("{variable} ({})", path.display())
    } else {
        variable.to_owned()
    };
    let unusable = |why: String| {
        let hint = match path.to_str() {
            Some(text) if text.starts_with('~') => {
                format!("write the whole path in {variable}: docfetch does not expand ~")
            }
            _ => format!(
                "{variable} must be the path of a readable file with the secret in one line"
            ),
        };
        Error::new(Code::Config, format!("cannot use the file of {place}"))
            .with_cause(why)
            .with_hint(hint)
    };
    let text = read(path).map_err(|error| match error.kind() {
        io::ErrorKind::InvalidData => unusable(error.to_string()).with_hint(Utf16Text::HINT),
        _ => unusable(system_text(&error)),
    })?;
    match text.trim() {
        "" => Err(unusable("the file is empty".into())),
        text if text.contains(['\n', '\r']) => {
            Err(unusable("the file has more than one line".into()))
        }
        text => sendable(text, place),
    }
}

/// Whether a message may show the value of a variable that names a file. A user may set the variable to the secret
/// itself, and a secret can begin as a path does. A path therefore exists, or lies in a folder that exists and that
/// the path names.
fn may_be_shown(path: &Path) -> bool {
    let names_folder = |parent: &Path| {
        let mut parts = parent.components();
        parts.any(|part| matches!(part, Component::Normal(_))) && parent.is_dir()
    };
    path.exists() || path.parent().is_some_and(names_folder)
}

/// A JSON file in the home folder, which the service's own tool made.
pub(crate) struct HomeFile {
    path: PathBuf,
    /// What the file holds.
    pub json: serde_json::Value,
}

impl HomeFile {
    /// Reads the JSON file `name` of the home folder. None where there is no such file.
    ///
    /// # Errors
    /// [`Code::Config`] when the file exists and cannot be read, or is no JSON.
    pub(crate) fn read(name: &str) -> Result<Option<Self>> {
        let Some(home) = os_value("HOME") else {
            return Ok(None);
        };
        let path = PathBuf::from(home).join(name);
        let text = match read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(unusable(&path).with_cause(system_text(&error))),
        };
        // A parser's message can quote the text, which is a secret, so that docfetch names only the line.
        let json = serde_json::from_str(&text).map_err(|error| {
            unusable(&path).with_cause(format!("it is not JSON: line {}", error.line()))
        })?;
        Ok(Some(Self { path, json }))
    }

    /// A value of the file. None for anything but text, and for blank text.
    ///
    /// # Errors
    /// [`Code::Config`] for a value that cannot be sent in a header.
    pub(crate) fn text(&self, value: Option<&serde_json::Value>) -> Result<Option<SourcedSecret>> {
        match value.and_then(serde_json::Value::as_str) {
            Some(text) if !text.trim().is_empty() => {
                sendable(text.trim(), self.path.display().to_string()).map(Some)
            }
            _ => Ok(None),
        }
    }
}

/// The first [`MAX_CREDENTIAL_FILE_BYTES`] bytes of a file, without a byte order mark.
///
/// # Errors
/// Those of the file system; `InvalidData` for a text that is not UTF-8.
fn read(path: &Path) -> io::Result<String> {
    let invalid = |why: &str| io::Error::new(io::ErrorKind::InvalidData, why.to_owned());
    let mut bytes = Vec::new();
    File::open(path)?
        .take(MAX_CREDENTIAL_FILE_BYTES)
        .read_to_end(&mut bytes)?;
    let text = without_byte_order_mark(&bytes).map_err(|error| invalid(&error.to_string()))?;
    let text = std::str::from_utf8(text).map_err(|_| invalid("the text is not UTF-8"))?;
    Ok(text.to_owned())
}

fn unusable(path: &Path) -> Error {
    Error::new(
        Code::Config,
        format!("cannot use the credentials file {}", path.display()),
    )
    .with_hint("correct or remove that file")
}

/// A value that is not registered as a secret yet.
fn sendable(text: &str, source: String) -> Result<SourcedSecret> {
    if text.chars().any(char::is_control) {
        let what = format!("the value of {source} cannot be a credential");
        return Err(Error::new(Code::Config, what)
            .with_cause("the value contains line breaks or other control characters")
            .with_hint(format!("correct {source}")));
    }
    Ok(SourcedSecret {
        secret: Secret::unregistered(text),
        source,
    })
}
