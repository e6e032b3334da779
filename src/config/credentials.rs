//! Where secrets are read from: a variable, the file that `<VARIABLE>_FILE` names, or a file that
//! another tool made. Never a flag.

use super::variables::{FILE_SUFFIX, value};
use crate::error::{Code, Error, Result};
use crate::secret::Secret;
use std::path::{Path, PathBuf};

/// The secret in `variable`, else in the file that `<variable>_FILE` names, else none.
///
/// # Errors
/// [`Code::Config`] when the file cannot be read, or the value cannot be sent in a header.
pub fn secret(variable: &str) -> Result<Option<Secret>> {
    if let Some(text) = value(variable) {
        return sendable(text.trim(), variable).map(Some);
    }
    let file_variable = format!("{variable}{FILE_SUFFIX}");
    let Some(file) = value(&file_variable) else {
        return Ok(None);
    };
    let text = std::fs::read_to_string(&file).map_err(|error| {
        Error::new(
            Code::Config,
            format!("cannot read the file that {file_variable} names, {file}"),
        )
        .why(error.to_string())
    })?;
    let text = text.trim();
    if text.is_empty() {
        return Err(Error::new(
            Code::Config,
            format!("the file that {file_variable} names, {file}, is empty"),
        ));
    }
    sendable(text, &file_variable).map(Some)
}

/// The text at `pointer` (RFC 6901) of the JSON file `name` in the home folder, when there is one.
///
/// # Errors
/// [`Code::Config`] when the file is there and cannot be used.
pub fn home_json(name: &str, pointer: &str) -> Result<Option<Secret>> {
    let Some(home) = value("HOME") else {
        return Ok(None);
    };
    let path = PathBuf::from(home).join(name);
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unusable(&path).why(error.to_string())),
    };
    // A parser's message can quote the text, which is a secret: only the place is told.
    let json: serde_json::Value = serde_json::from_str(&text)
        .map_err(|error| unusable(&path).why(format!("no JSON at line {}", error.line())))?;
    match json.pointer(pointer).and_then(serde_json::Value::as_str) {
        Some(text) if !text.trim().is_empty() => {
            sendable(text.trim(), &path.display().to_string()).map(Some)
        }
        _ => Ok(None),
    }
}

fn unusable(path: &Path) -> Error {
    Error::new(
        Code::Config,
        format!("cannot use the credentials file {}", path.display()),
    )
    .hint("correct or remove that file")
}

fn sendable(text: &str, place: &str) -> Result<Secret> {
    if text.chars().any(char::is_control) {
        return Err(Error::new(
            Code::Config,
            format!("the value of {place} cannot be a credential"),
        )
        .why("it contains line breaks or other control characters"));
    }
    Ok(Secret::new(text))
}
