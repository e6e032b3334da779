//! Reads secrets from a variable, from the file that `<VARIABLE>_FILE` names, or from a file that the
//! service's own tool made. No flag holds a secret.

use super::variables::{FILE_SUFFIX, os_value, value};
use crate::error::{Code, Error, Result, system_text};
use crate::secret::Secret;
use crate::text::{Utf16Text, without_byte_order_mark};
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
    if let Some(text) = value(variable)? {
        return sendable(text.trim(), variable.to_owned()).map(Some);
    }
    let file_variable = format!("{variable}{FILE_SUFFIX}");
    match os_value(&file_variable) {
        Some(file) => secret_in_file(Path::new(&file), &file_variable).map(Some),
        None => Ok(None),
    }
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

/// The secret at `pointer` (RFC 6901) in the JSON file `name` of the home folder. None where there is no such
/// file or no such text.
///
/// # Errors
/// [`Code::Config`] when the file exists and cannot be read, is no JSON, or holds a value that cannot be sent
/// in a header.
pub(crate) fn home_json(name: &str, pointer: &str) -> Result<Option<SourcedSecret>> {
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
    let json: serde_json::Value = serde_json::from_str(&text).map_err(|error| {
        unusable(&path).with_cause(format!("it is not JSON: line {}", error.line()))
    })?;
    match json.pointer(pointer).and_then(serde_json::Value::as_str) {
        Some(text) if !text.trim().is_empty() => {
            sendable(text.trim(), path.display().to_string()).map(Some)
        }
        _ => Ok(None),
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

fn sendable(text: &str, source: String) -> Result<SourcedSecret> {
    if text.chars().any(char::is_control) {
        let what = format!("the value of {source} cannot be a credential");
        return Err(Error::new(Code::Config, what)
            .with_cause("the value contains line breaks or other control characters")
            .with_hint(format!("correct {source}")));
    }
    Ok(SourcedSecret {
        secret: Secret::new(text),
        source,
    })
}
