//! Reads secrets from a variable, from the file that `<VARIABLE>_FILE` names, or from a file that the
//! service's own tool made. No flag holds a secret.

use super::variables::{FILE_SUFFIX, value};
use crate::error::{Code, Error, Result};
use crate::secret::Secret;
use crate::text::{Utf16Text, without_byte_order_mark};
use std::env::VarError;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

/// docfetch reads at most this many bytes of a file with a credential.
const MAX_CREDENTIAL_FILE_BYTES: u64 = 64 << 10;

/// The secret in `variable`, else in the file that `<variable>_FILE` names. None where neither is set.
///
/// # Errors
/// [`Code::Config`] when the file cannot be read, or the value cannot be sent in a header.
pub(crate) fn secret(variable: &str) -> Result<Option<Secret>> {
    if matches!(std::env::var(variable), Err(VarError::NotUnicode(_))) {
        return Err(
            Error::new(Code::Config, format!("{variable} cannot be a credential"))
                .with_cause("it is not UTF-8"),
        );
    }
    if let Some(text) = value(variable) {
        return sendable(text.trim(), variable).map(Some);
    }
    let file_variable = format!("{variable}{FILE_SUFFIX}");
    let Some(file) = value(&file_variable) else {
        return Ok(None);
    };
    // The message does not repeat the path: a user may have set the variable to the secret itself.
    let unusable = |why: String| {
        let what = format!("cannot use the file that {file_variable} names");
        Error::new(Code::Config, what).with_cause(why)
    };
    let text = read(Path::new(&file)).map_err(|error| match error.kind() {
        io::ErrorKind::InvalidData => unusable(error.to_string()).with_hint(Utf16Text::HINT),
        _ => unusable(error.to_string()),
    })?;
    let text = text.trim();
    if text.is_empty() {
        return Err(unusable("it is empty".into()));
    }
    sendable(text, &file_variable).map(Some)
}

/// The secret at `pointer` (RFC 6901) in the JSON file `name` of the home folder. None where there is no such
/// file or no such text.
///
/// # Errors
/// [`Code::Config`] when the file exists and cannot be read, is no JSON, or holds a value that cannot be sent
/// in a header.
pub(crate) fn home_json(name: &str, pointer: &str) -> Result<Option<Secret>> {
    let Some(home) = value("HOME") else {
        return Ok(None);
    };
    let path = PathBuf::from(home).join(name);
    let text = match read(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unusable(&path).with_cause(error.to_string())),
    };
    // A parser's message can quote the text, which is a secret, so that docfetch names only the line.
    let json: serde_json::Value = serde_json::from_str(&text).map_err(|error| {
        unusable(&path).with_cause(format!("it is not JSON: line {}", error.line()))
    })?;
    match json.pointer(pointer).and_then(serde_json::Value::as_str) {
        Some(text) if !text.trim().is_empty() => {
            sendable(text.trim(), &path.display().to_string()).map(Some)
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

fn sendable(text: &str, place: &str) -> Result<Secret> {
    if text.chars().any(char::is_control) {
        return Err(Error::new(
            Code::Config,
            format!("the value of {place} cannot be a credential"),
        )
        .with_cause("it contains line breaks or other control characters"));
    }
    Ok(Secret::new(text))
}
