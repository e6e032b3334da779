//! Values that must never be seen: keys, tokens, secrets, presigned URLs.
//!
//! A [`Secret`] can be sent but not shown: it has no `Display`, and its `Debug` is a placeholder. Servers
//! echo what they are sent, in error texts, file names, entity tags or rows. So the process remembers
//! every secret that it knows ([`register_url`], [`Secret::new`]), and whatever leaves it as text goes
//! through [`redact`] or [`redact_json`]. A name or a tag for which [`is_in`] holds is not used at all.

mod known;
mod parameters;

pub(crate) use known::PLACEHOLDER;
use known::{Known, decoded};
pub(crate) use parameters::path_opens;
use serde_json::Value;
use std::borrow::Cow;
use std::fmt;
use std::sync::{LazyLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use url::Url;

/// The secrets of this process.
static KNOWN: LazyLock<RwLock<Known>> = LazyLock::new(RwLock::default);

fn known() -> RwLockReadGuard<'static, Known> {
    KNOWN.read().unwrap_or_else(PoisonError::into_inner)
}

fn known_mut() -> RwLockWriteGuard<'static, Known> {
    KNOWN.write().unwrap_or_else(PoisonError::into_inner)
}

/// A string that is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a credential. From here on no text that leaves the process shows it.
    pub fn new(value: impl Into<String>) -> Self {
        let secret = Self::unlisted(value);
        secret.register();
        secret
    }

    /// Wraps a value that is not looked for in texts: it is made of secrets that are, or of none.
    pub fn unlisted(value: impl Into<String>) -> Self {
        Self(value.into())
    }

    /// Sees to it that no text that leaves the process shows it.
    pub fn register(&self) {
        known_mut().add_credential(&self.0);
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
pub(crate) mod kept {
    use super::Secret;
    use serde::{Deserialize as _, Deserializer, Serializer};

    /// Writes the value itself.
    pub(crate) fn serialize<S: Serializer>(
        secret: &Secret,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(secret.expose())
    }

    /// Reads the value.
    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Secret, D::Error> {
        String::deserialize(deserializer).map(Secret)
    }
}

/// Sees to it that no text that leaves the process shows what makes this URL open its document.
pub(crate) fn register_url(url: &Url) {
    let openers = parameters::openers(url);
    known_mut().add_url(&openers);
}

/// Says that a text is the id or the name of a document, or of a part of it: where a URL has it as the
/// value of a parameter, that value is no secret.
pub(crate) fn admit(text: &str) {
    known_mut().admit(text);
}

/// `text` without any secret that this process knows, and without the parameters of presigned URLs.
pub(crate) fn redact(text: &str) -> Cow<'_, str> {
    known().redact(text, true)
}

/// The same for a line of JSON: its strings lose their secrets, and it stays JSON.
pub(crate) fn redact_json(line: &str) -> Cow<'_, str> {
    // An escaped character may hide a secret: such a line is read.
    if !line.contains('\\') && matches!(known().redact(line, true), Cow::Borrowed(_)) {
        return Cow::Borrowed(line);
    }
    let Ok(mut value) = serde_json::from_str(line) else {
        return redact(line);
    };
    redact_value(&mut value, true);
    Cow::Owned(value.to_string())
}

/// Takes the secrets out of every string of a JSON value. Those of less than 8 bytes are looked for in
/// sentences only: they may be part of an id or a name by chance.
pub(crate) fn redact_value(value: &mut Value, is_sentence: bool) {
    match value {
        Value::String(text) => {
            if let Cow::Owned(clean) = known().redact(text, is_sentence) {
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

/// Whether a name, an entity tag or another short text of a server holds a secret: then it is not used.
/// One of less than 8 bytes does not count: it may be there by chance.
pub(crate) fn is_in(text: &str) -> bool {
    known().is_in(text)
}

/// A server's own words without anything that looks like a URL or a part of a presigned one, whoever
/// made it, and without secrets.
pub(crate) fn scrub(text: &str) -> String {
    let shown = |word: &str| {
        let plain = decoded(word);
        if plain.contains("://") || parameters::has_secret(&plain) {
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
    fn a_secret_shows_nothing_of_itself() {
        let secret = Secret::unlisted("hunter2");
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
