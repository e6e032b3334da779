//! Finds the secrets of this process in a text: as they are, form-encoded, percent-encoded (several times,
//! too) and inside base64, in upper or lower case.

use super::decoding::{DecodedText, MAX_DECODINGS};
use super::filter::PrefixFilter;
use super::parameters::{UrlSecret, is_signature_parameter};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::ops::Range;
use url::form_urlencoded::byte_serialize;

/// Replaces a secret in a text.
pub(crate) const PLACEHOLDER: &str = "[redacted]";

/// How many bytes of a secret the table is keyed by. A shorter secret is compared with whole words only.
const PREFIX_BYTES: usize = 8;
/// The registry knows the secrets of at least this many of the latest URLs, so that a long batch takes
/// bounded memory.
const MAX_RECENT_URLS: usize = 2048;
/// How many ids and names the registry remembers as public.
const MAX_PUBLIC_TEXTS: usize = 8192;
/// Encoded forms of secrets in lower case, by their first [`PREFIX_BYTES`] bytes.
type EncodedForms = HashMap<u64, Vec<Box<[u8]>>>;

/// The secrets of this process.
#[derive(Default)]
pub(super) struct Registry {
    credentials: EncodedForms,
    /// Credentials that are shorter than [`PREFIX_BYTES`], and words that are no secrets by themselves.
    short: Vec<String>,
    /// Names of query parameters with a credential, in lower case.
    parameters: Vec<Box<[u8]>>,
    /// Secrets of the latest URLs, and of those before them.
    urls: [EncodedForms; 2],
    /// Values of those URLs that are secrets, unless an id or a name is equal to them.
    possible: [EncodedForms; 2],
    /// How many URLs the first of these tables knows.
    recent_count: usize,
    filter: PrefixFilter,
    /// Ids and names, which are no secrets.
    public: HashSet<String>,
}

impl Registry {
    /// Adds a credential.
    pub(super) fn add_credential(&mut self, secret: &str) {
        if secret.is_empty() {
            return;
        }
        if secret.len() < PREFIX_BYTES {
            if !self.short.iter().any(|short| short == secret) {
                self.short.push(secret.to_owned());
            }
            return;
        }
        for form in forms(secret) {
            add(&mut self.credentials, &mut self.filter, form);
        }
    }

    /// Adds a word that is redacted in sentences. A short word may be a part of them by chance.
    pub(super) fn register_word(&mut self, word: &str) {
        if word.len() >= PREFIX_BYTES && !self.short.iter().any(|short| short == word) {
            self.short.push(word.to_owned());
        }
    }

    /// Adds the name of a query parameter whose value is a credential.
    pub(super) fn register_parameter(&mut self, name: &str) {
        let name = name.to_ascii_lowercase().into_bytes().into_boxed_slice();
        if !self.parameters.contains(&name) {
            self.parameters.push(name);
        }
    }

    fn is_secret_parameter(&self, name: &[u8]) -> bool {
        is_signature_parameter(name) || self.parameters.iter().any(|known| **known == *name)
    }

    /// Adds the secrets of one URL.
    pub(super) fn add_url_secrets(&mut self, secrets: &[UrlSecret]) {
        if self.recent_count >= MAX_RECENT_URLS {
            self.recent_count = 0;
            for forms in [&mut self.urls, &mut self.possible] {
                forms.swap(0, 1);
                forms[0].clear();
            }
            let starts = self.forms().into_iter().flat_map(EncodedForms::keys);
            self.filter = starts.copied().collect();
        }
        self.recent_count += 1;
        for UrlSecret { value, certain } in secrets {
            let registry = match certain {
                true => &mut self.urls[0],
                false if self.public.contains(value) => continue,
                false => &mut self.possible[0],
            };
            for form in forms(value) {
                add(registry, &mut self.filter, form);
            }
        }
    }

    /// Adds an id or a name: an equal value of a URL, unless it is certainly a secret, is none.
    pub(super) fn register_public(&mut self, text: &str) {
        let stem = text.rsplit_once('.').map(|(stem, _)| stem);
        for text in text.split('/').chain([text]).chain(stem) {
            if text.len() < PREFIX_BYTES || self.public.contains(text) {
                continue;
            }
            if self.public.len() >= MAX_PUBLIC_TEXTS {
                self.public.clear();
            }
            self.public.insert(text.to_owned());
            for form in forms(text) {
                for possible in &mut self.possible {
                    if let Some(registry) =
                        prefix(&form).and_then(|prefix| possible.get_mut(&prefix))
                    {
                        registry.retain(|registry| **registry != *form);
                    }
                }
            }
        }
    }

    fn forms(&self) -> [&EncodedForms; 5] {
        let ([urls, older_urls], [possible, older]) = (&self.urls, &self.possible);
        [&self.credentials, urls, older_urls, possible, older]
    }

    /// Whether a text holds a secret.
    pub(super) fn contains_secret(&self, text: &str) -> bool {
        !self.positions(text).is_empty()
    }

    /// `text` with a placeholder for each secret. Short secrets are replaced only in a `sentence`.
    pub(super) fn redact<'a>(&self, text: &'a str, sentence: bool) -> Cow<'a, str> {
        let mut positions = self.positions(text);
        if sentence {
            positions.extend(self.short.iter().flat_map(|short| words(text, short)));
        }
        if positions.is_empty() {
            return Cow::Borrowed(text);
        }
        positions.sort_by_key(|place| place.start);
        let (mut clean, mut end) = (String::with_capacity(text.len()), 0);
        for place in positions {
            let place = text.floor_char_boundary(place.start)..text.ceil_char_boundary(place.end);
            if place.start >= end {
                clean.push_str(&text[end..place.start]);
                clean.push_str(PLACEHOLDER);
            }
            end = end.max(place.end);
        }
        clean.push_str(&text[end..]);
        Cow::Owned(clean)
    }

    /// The positions of the secrets in `text` that have at least [`PREFIX_BYTES`] bytes.
    fn positions(&self, text: &str) -> Vec<Range<usize>> {
        let mut found = Vec::new();
        let mut layer = DecodedText::of(text);
        for _ in 0..=MAX_DECODINGS {
            self.search(&layer, &mut found);
            match layer.decoded() {
                Some(next) => layer = next,
                None => break,
            }
        }
        found
    }

    fn search(&self, layer: &DecodedText, found: &mut Vec<Range<usize>>) {
        let text = &layer.text[..];
        for (at, window) in text.windows(PREFIX_BYTES).enumerate() {
            let Some(start) = prefix(window) else {
                continue;
            };
            if !self.filter.may_contain(start) {
                continue;
            }
            let registry = self
                .forms()
                .into_iter()
                .filter_map(|forms| forms.get(&start));
            let here = registry
                .flatten()
                .filter(|form| text[at..].starts_with(form));
            if let Some(length) = here.map(|form| form.len()).max() {
                found.push(layer.original(at..at + length));
            }
        }
        for at in (0..text.len()).filter(|at| text[*at] == b'=') {
            let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
            let name = text[..at]
                .iter()
                .rev()
                .take_while(|byte| is_name(byte))
                .count();
            if !self.is_secret_parameter(&text[at - name..at]) {
                continue;
            }
            let is_value = |byte: &u8| byte.is_ascii_graphic() && !b"&\"'<>\\;,)}]".contains(byte);
            let value = text[at + 1..]
                .iter()
                .take_while(|byte| is_value(byte))
                .count();
            if value > 0 {
                found.push(layer.original(at - name..at + 1 + value));
            }
        }
    }
}

/// The ways to write a secret that the registry compares with, in lower case. Percent-encoded text is
/// decoded before the comparison.
fn forms(secret: &str) -> Vec<Box<[u8]>> {
    let mut forms: Vec<Box<[u8]>> = Vec::with_capacity(7);
    let mut push = |form: &str| {
        let form = form.as_bytes().to_ascii_lowercase().into_boxed_slice();
        if form.len() >= PREFIX_BYTES && !forms.contains(&form) {
            forms.push(form);
        }
    };
    push(secret);
    push(&secret.replace(' ', "+"));
    let form: String = byte_serialize(secret.as_bytes()).collect();
    let percent = utf8_percent_encode(secret, NON_ALPHANUMERIC).to_string();
    let mut encoded = vec![secret, &form, &percent];
    encoded.dedup();
    // The base64 (RFC 4648) of a secret within a longer text depends on how many bytes precede the secret.
    // Characters that also encode bits of the neighbouring bytes are left out.
    for text in encoded {
        for (before, first) in [(0, 0), (1, 2), (2, 3)] {
            let bytes = [&[0; 2][..before], text.as_bytes()].concat();
            let last = bytes.len() * 8 / 6;
            push(&STANDARD_NO_PAD.encode(&bytes)[first..last]);
            push(&URL_SAFE_NO_PAD.encode(&bytes)[first..last]);
        }
    }
    forms
}

fn prefix(form: &[u8]) -> Option<u64> {
    form.first_chunk().map(|start| u64::from_le_bytes(*start))
}

fn add(forms: &mut EncodedForms, filter: &mut PrefixFilter, form: Box<[u8]>) {
    let Some(start) = prefix(&form) else { return };
    let registry = forms.entry(start).or_default();
    if !registry.contains(&form) {
        filter.add(start);
        registry.push(form);
    }
}

/// The positions of `word` in `text` where neither neighbour is a letter or a digit.
fn words(text: &str, word: &str) -> Vec<Range<usize>> {
    let is_inside = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
    let positions = text.match_indices(word).filter(|(at, _)| {
        let (before, behind) = (&text[..*at], &text[at + word.len()..]);
        !is_inside(before.chars().next_back()) && !is_inside(behind.chars().next())
    });
    positions.map(|(at, _)| at..at + word.len()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::engine::general_purpose::STANDARD;
    use proptest::prelude::*;

    fn registry(secret: &str) -> Registry {
        let mut registry = Registry::default();
        registry.add_credential(secret);
        registry
    }

    fn possible_secret(value: &str) -> UrlSecret {
        let (value, certain) = (value.to_owned(), false);
        UrlSecret { value, certain }
    }

    fn every_byte_encoded(text: &str) -> String {
        let bytes = text.bytes();
        let encoded: String = bytes.map(percent_encoding::percent_encode_byte).collect();
        encoded.to_lowercase()
    }

    #[test]
    fn a_secret_is_found_in_every_form() {
        let secret = "p+w /s3cret~\u{e4}";
        let registry = registry(secret);
        let form: String = byte_serialize(secret.as_bytes()).collect();
        let percent = utf8_percent_encode(secret, NON_ALPHANUMERIC).to_string();
        for text in [
            secret.to_owned(),
            secret.to_ascii_uppercase(),
            form.clone(),
            percent.clone(),
            percent.to_lowercase(),
            every_byte_encoded(secret),
            utf8_percent_encode(&percent, NON_ALPHANUMERIC).to_string(),
            STANDARD.encode(secret),
            URL_SAFE_NO_PAD.encode(secret),
            STANDARD.encode(&form),
            STANDARD.encode(&percent),
        ] {
            let clean = registry.redact(&text, false).into_owned();
            assert!(clean.starts_with(PLACEHOLDER), "{text}: {clean}");
            let clean = registry
                .redact(&format!("\u{e4}({text})\u{e4}"), false)
                .into_owned();
            assert!(clean.starts_with("\u{e4}([redacted]"), "{text}: {clean}");
        }
        for before in ["", "a", "ab", "abc"] {
            let text = STANDARD.encode(format!("{before}{secret}:and more"));
            assert!(registry.contains_secret(&text), "{text}");
        }
        assert!(!registry.contains_secret("p+w/s3cret"));
    }

    #[test]
    fn a_short_secret_is_found_among_the_words_of_a_sentence() {
        let registry = registry("k3y");
        assert_eq!(
            registry.redact("bad k3y, k3ys (k3y)", true),
            "bad [redacted], k3ys ([redacted])"
        );
        assert!(!registry.contains_secret("k3y.pdf"));
        assert_eq!(registry.redact("k3y", false), "k3y");
    }

    #[test]
    fn parameters_of_presigned_urls_are_found_of_any_service() {
        let registry = Registry::default();
        for (text, clean) in [
            ("x.pdf?X-Amz-Signature=abc&x=1", "x.pdf?[redacted]&x=1"),
            (
                "x%3FX-Amz-Signature%3Dabc%26x%3D1",
                "x%3F[redacted]%26x%3D1",
            ),
            ("x-amz-signature=abc\"", "[redacted]\""),
            ("signature=", "signature="),
            ("a=b", "a=b"),
        ] {
            assert_eq!(registry.redact(text, false), clean);
        }
    }

    #[test]
    fn the_parameter_of_a_key_and_the_word_of_a_user_are_redacted() {
        let mut registry = Registry::default();
        registry.register_parameter("Api_Key");
        assert_eq!(
            registry.redact("/a?api_key=k&x=1", false),
            "/a?[redacted]&x=1"
        );
        registry.register_word("analytics");
        registry.register_word("api");
        let text = "no analytics at api.example for you";
        let clean = "no [redacted] at api.example for you";
        assert_eq!(registry.redact(text, true), clean);
        assert_eq!(registry.redact("analytics.pdf", false), "analytics.pdf");
        assert!(!registry.contains_secret("analytics.pdf"));
    }

    #[test]
    fn an_id_or_a_name_is_no_secret_of_a_url() {
        let mut registry = Registry::default();
        registry.register_public("documents/0123456789abcdef0123");
        registry.add_url_secrets(&[
            possible_secret("0123456789abcdef0123"),
            possible_secret("a-rather-long-name-of-1"),
        ]);
        assert!(!registry.contains_secret("0123456789abcdef0123"));
        assert!(registry.contains_secret("a-rather-long-name-of-1"));
        registry.register_public("a-rather-long-name-of-1.pdf");
        assert!(!registry.contains_secret("a-rather-long-name-of-1.pdf"));
        let value = "the-signature".to_owned();
        registry.add_url_secrets(&[UrlSecret {
            value,
            certain: true,
        }]);
        registry.register_public("the-signature");
        assert!(registry.contains_secret("the-signature"));
    }

    #[test]
    fn the_secrets_of_old_urls_are_forgotten_and_those_of_late_ones_are_not() {
        let mut registry = registry("the-credential");
        let of = |number: usize| format!("signature-{number:06}");
        for number in 0..3 * MAX_RECENT_URLS {
            registry.add_url_secrets(&[possible_secret(&of(number))]);
        }
        assert!(registry.contains_secret("the-credential"));
        assert!(
            registry.contains_secret(&of(3 * MAX_RECENT_URLS - 1))
                && registry.contains_secret(&of(2 * MAX_RECENT_URLS))
        );
        assert!(!registry.contains_secret(&of(0)));
        assert!(
            registry.possible.iter().map(HashMap::len).sum::<usize>() <= 2 * 7 * MAX_RECENT_URLS
        );
    }

    proptest! {
        #[test]
        fn no_text_breaks_the_search(text in any::<String>(), secret in "[a-z%+/ \u{e4}]{8,12}", encoded in any::<bool>()) {
            let registry = registry(&secret);
            let inside = if encoded { every_byte_encoded(&secret) } else { secret.clone() };
            let clean = registry.redact(&format!("{text}{inside}{text}"), true).into_owned();
            prop_assert!(clean.contains(PLACEHOLDER));
            let _ = registry.redact(&text, true);
            let _ = super::super::decoding::decoded(&text);
        }
    }
}
