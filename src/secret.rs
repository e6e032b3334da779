//! Values that must never be seen: keys, tokens, secrets, presigned URLs.
//!
//! A [`Secret`] can be sent but not shown: it has no `Display`, and its `Debug` is a placeholder.
//! [`scrub`] takes known secrets out of text that somebody else wrote, such as an error body that
//! echoes the request.

use std::fmt;

/// What stands where a secret was.
pub const PLACEHOLDER: &str = "[redacted]";

/// A string that is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a value that must not be shown from here on.
    pub fn new(value: impl Into<String>) -> Self {
        Self(value.into())
    }

    /// The value itself, for the one place that sends it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(PLACEHOLDER)
    }
}

/// How a secret is written into a record of the state folder, and read from it: for
/// `#[serde(with = "kept")]` there, and nowhere else.
pub mod kept {
    use super::Secret;
    use serde::{Deserialize as _, Deserializer, Serializer};

    /// Writes the value itself.
    pub fn serialize<S: Serializer>(secret: &Secret, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(secret.expose())
    }

    /// Reads the value.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Secret, D::Error> {
        String::deserialize(deserializer).map(Secret)
    }
}

/// `text` without any of `secrets` and without anything that looks like a URL.
///
/// Meant for text from a server: a refused request is often echoed in its error, credential and
/// all, and a presigned URL is a credential by itself.
pub fn scrub<'a>(text: &str, secrets: impl IntoIterator<Item = &'a Secret>) -> String {
    let mut clean = text.to_owned();
    for secret in secrets {
        if !secret.0.is_empty() {
            clean = clean.replace(secret.expose(), PLACEHOLDER);
        }
    }
    if !clean.contains("://") {
        return clean;
    }
    clean
        .split(' ')
        .map(|word| {
            if word.contains("://") {
                PLACEHOLDER
            } else {
                word
            }
        })
        .collect::<Vec<_>>()
        .join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_shows_nothing_of_itself() {
        let secret = Secret::new("hunter2");
        assert_eq!(format!("{secret:?}"), PLACEHOLDER);
    }

    #[test]
    fn echoed_secrets_and_urls_are_taken_out_of_text() {
        let secrets = [Secret::new("k3y"), Secret::new("")];
        assert_eq!(
            scrub("bad key k3y for https://x/y?sig=1 today", &secrets),
            "bad key [redacted] for [redacted] today"
        );
    }
}
