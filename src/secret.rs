//! Values that must never be shown: keys, tokens, presigned URLs.
//!
//! A [`Secret`] can be sent but not shown: it has no `Display`, and its `Debug` is a placeholder. Servers
//! echo what they receive in error texts, file names, entity tags and rows. So the process registers every
//! secret ([`Secret::new`], [`register_url`]), and all text that leaves the process passes [`redact`] or
//! [`redact_json`]. docfetch does not use a name or an entity tag at all when [`contains_secret`] is true.

mod decoding;
mod filter;
mod parameters;
mod registry;

use decoding::decoded;
pub(crate) use parameters::has_secret_path;
pub(crate) use registry::PLACEHOLDER;
use registry::Registry;
use serde_json::Value;
use std::borrow::Cow;
use std::fmt;
use std::sync::{LazyLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use url::Url;

/// The secrets of this process.
static REGISTRY: LazyLock<RwLock<Registry>> = LazyLock::new(RwLock::default);

fn registry() -> RwLockReadGuard<'static, Registry> {
    REGISTRY.read().unwrap_or_else(PoisonError::into_inner)
}

fn registry_mut() -> RwLockWriteGuard<'static, Registry> {
    REGISTRY.write().unwrap_or_else(PoisonError::into_inner)
}

/// A string that is sent, and never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a credential and registers it: from then on docfetch redacts the credential in all text that it
    /// prints, logs or records.
    pub fn new(value: impl Into<String>) -> Self {
        let secret = Self::unregistered(value);
        secret.register();
        secret
    }

    /// Wraps a value without registering it, since its parts are registered or are no secrets.
    pub(crate) fn unregistered(value: impl Into<String>) -> Self {
        Self(value.into())
    }

    /// Registers the value, so that docfetch redacts it in all text.
    pub(crate) fn register(&self) {
        registry_mut().add_credential(&self.0);
    }

    /// The value itself, for the code that sends it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(PLACEHOLDER)
    }
}

/// How records of the state folder hold a secret: `#[serde(with = "stored")]`.
pub(crate) mod stored {
    use super::Secret;
    use serde::{Deserialize as _, Deserializer, Serializer};

    /// Writes the value itself.
    ///
    /// # Errors
    /// The error of the serializer.
    pub(crate) fn serialize<S: Serializer>(
        secret: &Secret,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(secret.expose())
    }

    /// Reads the value.
    ///
    /// # Errors
    /// The error of the deserializer, for any value but a string.
    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Secret, D::Error> {
        String::deserialize(deserializer).map(Secret)
    }
}

/// Forgets every secret: a fuzz target registers new ones with each input.
#[cfg(feature = "internals")]
pub(crate) fn forget_all() {
    *registry_mut() = Registry::default();
}

/// Registers the secrets of a presigned URL, so that docfetch redacts them in all text.
pub(crate) fn register_url(url: &Url) {
    let secrets = parameters::url_secrets(url);
    registry_mut().add_url_secrets(&secrets);
}

/// Registers values of an answer, such as headers for the storage, which docfetch redacts in all text. A shorter value
/// than 8 bytes is no secret.
pub(crate) fn register_answer_secrets<'a>(values: impl IntoIterator<Item = &'a str>) {
    add_answer_secrets(values, true);
}

/// Registers a value that a later request to the API carries. The id or the name of a document is no secret.
pub(crate) fn register_captured(value: &str) {
    add_answer_secrets([value], false);
}

fn add_answer_secrets<'a>(values: impl IntoIterator<Item = &'a str>, certain: bool) {
    let secrets = parameters::answer_secrets(values, certain);
    if !secrets.is_empty() {
        registry_mut().add_url_secrets(&secrets);
    }
}

/// Registers a query parameter whose value is a secret, so that docfetch redacts the parameter in all text.
pub(crate) fn register_parameter(name: &str) {
    registry_mut().register_parameter(name);
}

/// Registers a word that sentences of servers repeat and that is no secret by itself, such as a user name: docfetch
/// redacts the word in messages only.
pub(crate) fn register_word(word: &str) {
    registry_mut().register_word(word);
}

/// Registers the id or the name of a document, which is no secret: an equal value in a URL is none either,
/// unless the name of its parameter says that it is one.
pub(crate) fn register_public(text: &str) {
    registry_mut().register_public(text);
}

/// `text` with a placeholder for every registered secret and for the secret parameters of presigned URLs.
pub(crate) fn redact(text: &str) -> Cow<'_, str> {
    registry().redact(text, true)
}

/// Does the same to the strings in a line of JSON, which stays valid JSON.
pub(crate) fn redact_json(line: &str) -> Cow<'_, str> {
    // An escaped character may hide a secret, so that such a line must be parsed.
    if !line.contains('\\') && matches!(registry().redact(line, true), Cow::Borrowed(_)) {
        return Cow::Borrowed(line);
    }
    let Ok(mut value) = serde_json::from_str(line) else {
        return redact(line);
    };
    redact_value(&mut value, true);
    Cow::Owned(value.to_string())
}

/// Redacts every string of a JSON value. Secrets of less than 8 bytes are redacted in sentences only, since
/// an id or a name may contain them by chance.
pub(crate) fn redact_value(value: &mut Value, is_sentence: bool) {
    match value {
        Value::String(text) => {
            if let Cow::Owned(clean) = registry().redact(text, is_sentence) {
                *text = clean;
            }
        }
        Value::Array(values) => {
            for value in values {
                redact_value(value, is_sentence);
            }
        }
        Value::Object(fields) => {
            for (field, value) in fields {
                redact_value(
                    value,
                    matches!(field.as_str(), "message" | "hint" | "error"),
                );
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Whether a name, an entity tag or another short text of a server contains a registered secret of at least
/// 8 bytes. docfetch does not use such a text.
pub(crate) fn contains_secret(text: &str) -> bool {
    registry().contains_secret(text)
}

/// A message of a server without URLs, without anything like a part of a presigned URL, and without
/// registered secrets.
pub(crate) fn scrub(text: &str) -> String {
    let shown = |word: &str| {
        let plain = decoded(word);
        if plain.contains("://") || parameters::mentions_secret(&plain) {
            PLACEHOLDER.to_owned()
        } else {
            word.to_owned()
        }
    };
    let words: Vec<String> = text.split(' ').map(shown).collect();
    redact(&words.join(" ")).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_not_shown() {
        let secret = Secret::unregistered("hunter2");
        assert_eq!(format!("{secret:?}"), PLACEHOLDER);
    }

    #[test]
    fn echoed_secrets_and_urls_are_taken_out_of_text() {
        Secret::new("k3y");
        assert_eq!(
            scrub("bad key k3y for https://x/y?sig=1 today"),
            "bad key [redacted] for [redacted] today"
        );
        for url in [
            "/login?next=https%3A%2F%2Fb.example%2Fk%3FX-Amz-Signature%3Dnever-seen",
            "/login?next=https%253A%252F%252Fb.example%252Fk",
            "b.example/k?X-Amz-Signature=never-seen",
            "k?sig=never-seen",
            "(token=never-seen)",
        ] {
            assert_eq!(scrub(&format!("see {url} now")), "see [redacted] now");
        }
        assert_eq!(scrub("a = b, page=7, key=7"), "a = b, page=7, key=7");
    }

    #[test]
    fn a_line_of_json_stays_one() {
        Secret::new("line\"of\\secrets");
        Secret::new("sh0rt");
        let line = r#"{"id":"sh0rt","name":"a line\"of\\secrets","error":{"message":"bad sh0rt"},"n":[1,"Line\"OF\\secrets"]}"#;
        assert_eq!(
            redact_json(line),
            r#"{"id":"sh0rt","name":"a [redacted]","error":{"message":"bad [redacted]"},"n":[1,"[redacted]"]}"#
        );
        let line = r#"{"id":"sh0rt-7","name":"a\"b"}"#;
        assert_eq!(redact_json(line), line);
    }
}
