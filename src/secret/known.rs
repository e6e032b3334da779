//! Looks for the secrets of this process in a text: as they are, form-encoded, percent-encoded (also
//! more than once) and inside base64, in upper or lower case.

use super::parameters::{Opener, is_signed};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::ops::Range;
use url::form_urlencoded::byte_serialize;

/// What stands where a secret was.
pub(crate) const PLACEHOLDER: &str = "[redacted]";

/// So many bytes of a secret are looked up at once. A shorter one is looked for among the words.
const START: usize = 8;
/// Of so many URLs are the secrets known at least; the batch goes on, and no memory lasts for ever.
const URLS: usize = 2048;
/// So many texts are known not to be secret.
const ADMITTED: usize = 8192;
/// A text is decoded so often.
const LAYERS: usize = 3;

/// Forms of secrets in lower case, by their first bytes.
type Forms = HashMap<u64, Vec<Box<[u8]>>>;

/// The secrets of this process.
#[derive(Default)]
pub(super) struct Known {
    credentials: Forms,
    /// Credentials that are too short for that.
    short: Vec<String>,
    /// Of the latest URLs, and of those before.
    urls: [Forms; 2],
    /// The same of what may be secret, unless an id or a name reads the same.
    guesses: [Forms; 2],
    /// How many URLs there are among the latest.
    latest: usize,
    filter: Filter,
    /// Ids and names.
    admitted: HashSet<String>,
}

impl Known {
    /// Takes in a credential.
    pub(super) fn add_credential(&mut self, secret: &str) {
        if secret.is_empty() {
            return;
        }
        if secret.len() < START {
            if !self.short.iter().any(|short| short == secret) {
                self.short.push(secret.to_owned());
            }
            return;
        }
        for form in forms(secret) {
            add(&mut self.credentials, &mut self.filter, form);
        }
    }

    /// Takes in what makes a URL open its document.
    pub(super) fn add_url(&mut self, openers: &[Opener]) {
        if self.latest >= URLS {
            self.latest = 0;
            for forms in [&mut self.urls, &mut self.guesses] {
                forms.swap(0, 1);
                forms[0].clear();
            }
            let starts = self.forms().into_iter().flat_map(Forms::keys);
            self.filter = starts.copied().collect();
        }
        self.latest += 1;
        for Opener { value, sure } in openers {
            let known = match sure {
                true => &mut self.urls[0],
                false if self.admitted.contains(value) => continue,
                false => &mut self.guesses[0],
            };
            for form in forms(value) {
                add(known, &mut self.filter, form);
            }
        }
    }

    /// Takes note of an id or a name, which is no secret of a URL.
    pub(super) fn admit(&mut self, text: &str) {
        let stem = text.rsplit_once('.').map(|(stem, _)| stem);
        for text in text.split('/').chain([text]).chain(stem) {
            if text.len() < START || self.admitted.contains(text) {
                continue;
            }
            if self.admitted.len() >= ADMITTED {
                self.admitted.clear();
            }
            self.admitted.insert(text.to_owned());
            for form in forms(text) {
                for guesses in &mut self.guesses {
                    if let Some(known) = start(&form).and_then(|start| guesses.get_mut(&start)) {
                        known.retain(|known| **known != *form);
                    }
                }
            }
        }
    }

    fn forms(&self) -> [&Forms; 5] {
        let ([urls, older_urls], [guesses, older]) = (&self.urls, &self.guesses);
        [&self.credentials, urls, older_urls, guesses, older]
    }

    /// Whether a text holds a secret.
    pub(super) fn is_in(&self, text: &str) -> bool {
        !self.places(text).is_empty()
    }

    /// The text without secrets; of those that are short only where it is a `sentence`.
    pub(super) fn redact<'a>(&self, text: &'a str, sentence: bool) -> Cow<'a, str> {
        let mut places = self.places(text);
        if sentence {
            places.extend(self.short.iter().flat_map(|short| words(text, short)));
        }
        if places.is_empty() {
            return Cow::Borrowed(text);
        }
        places.sort_by_key(|place| place.start);
        let (mut clean, mut end) = (String::with_capacity(text.len()), 0);
        for place in places {
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

    /// Where secrets are, of 8 bytes or more.
    fn places(&self, text: &str) -> Vec<Range<usize>> {
        let mut found = Vec::new();
        let mut layer = Layer::of(text);
        for _ in 0..=LAYERS {
            self.look(&layer, &mut found);
            match layer.decoded() {
                Some(next) => layer = next,
                None => break,
            }
        }
        found
    }

    fn look(&self, layer: &Layer, found: &mut Vec<Range<usize>>) {
        let text = &layer.text[..];
        for (at, window) in text.windows(START).enumerate() {
            let Some(start) = start(window) else { continue };
            if !self.filter.has(start) {
                continue;
            }
            let known = self
                .forms()
                .into_iter()
                .filter_map(|forms| forms.get(&start));
            let here = known.flatten().filter(|form| text[at..].starts_with(form));
            if let Some(length) = here.map(|form| form.len()).max() {
                found.push(layer.place(at..at + length));
            }
        }
        for at in (0..text.len()).filter(|at| text[*at] == b'=') {
            let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
            let name = text[..at]
                .iter()
                .rev()
                .take_while(|byte| is_name(byte))
                .count();
            if !is_signed(&text[at - name..at]) {
                continue;
            }
            let is_value = |byte: &u8| byte.is_ascii_graphic() && !b"&\"'<>\\;,)}]".contains(byte);
            let value = text[at + 1..]
                .iter()
                .take_while(|byte| is_value(byte))
                .count();
            if value > 0 {
                found.push(layer.place(at - name..at + 1 + value));
            }
        }
    }
}

/// A text in lower case, and where each of its bytes comes from.
struct Layer {
    text: Vec<u8>,
    /// None for the text itself.
    origins: Option<Vec<usize>>,
}

impl Layer {
    fn of(text: &str) -> Self {
        Self {
            text: text.as_bytes().to_ascii_lowercase(),
            origins: None,
        }
    }

    fn place(&self, range: Range<usize>) -> Range<usize> {
        match &self.origins {
            Some(origins) => origins[range.start]..origins[range.end],
            None => range,
        }
    }

    /// The same, percent-decoded once; none where nothing is encoded.
    fn decoded(&self) -> Option<Self> {
        let (mut text, mut origins) = (Vec::new(), Vec::new());
        let mut at = 0;
        while let Some(byte) = self.text.get(at) {
            let (byte, length) = match triplet(&self.text[at..]) {
                Some(byte) => (byte.to_ascii_lowercase(), 3),
                None => (*byte, 1),
            };
            text.push(byte);
            origins.push(self.place(at..at).start);
            at += length;
        }
        origins.push(self.place(at..at).start);
        let origins = Some(origins);
        (text.len() < self.text.len()).then_some(Self { text, origins })
    }
}

/// The byte that a text starts with, where it is percent-encoded.
fn triplet(text: &[u8]) -> Option<u8> {
    let [b'%', high, low, ..] = text else {
        return None;
    };
    let digit = |byte: &u8| char::from(*byte).to_digit(16);
    u8::try_from(digit(high)? << 4 | digit(low)?).ok()
}

/// A text that is percent-decoded as often as it may have been encoded.
pub(super) fn decoded(text: &str) -> Cow<'_, str> {
    if !text.contains('%') {
        return Cow::Borrowed(text);
    }
    let mut layer = Layer::of(text);
    for _ in 0..LAYERS {
        match layer.decoded() {
            Some(next) => layer = next,
            None => break,
        }
    }
    Cow::Owned(String::from_utf8_lossy(&layer.text).into_owned())
}

/// How a secret is written, but for percent-encoding as it is, in lower case.
fn forms(secret: &str) -> Vec<Box<[u8]>> {
    let mut forms: Vec<Box<[u8]>> = Vec::with_capacity(7);
    let mut push = |form: &str| {
        let form = form.as_bytes().to_ascii_lowercase().into_boxed_slice();
        if form.len() >= START && !forms.contains(&form) {
            forms.push(form);
        }
    };
    push(secret);
    push(&secret.replace(' ', "+"));
    let form: String = byte_serialize(secret.as_bytes()).collect();
    let percent = utf8_percent_encode(secret, NON_ALPHANUMERIC).to_string();
    let mut encoded = vec![secret, &form, &percent];
    encoded.dedup();
    // Inside a longer text its base64 (RFC 4648) depends on how many bytes precede it; characters that
    // bits of other bytes are part of are left out.
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

fn start(form: &[u8]) -> Option<u64> {
    form.first_chunk().map(|start| u64::from_le_bytes(*start))
}

fn add(forms: &mut Forms, filter: &mut Filter, form: Box<[u8]>) {
    let Some(start) = start(&form) else { return };
    let known = forms.entry(start).or_default();
    if !known.contains(&form) {
        filter.add(start);
        known.push(form);
    }
}

/// Where `word` stands in a text by itself.
fn words(text: &str, word: &str) -> Vec<Range<usize>> {
    let is_inside = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
    let places = text.match_indices(word).filter(|(at, _)| {
        let (before, behind) = (&text[..*at], &text[at + word.len()..]);
        !is_inside(before.chars().next_back()) && !is_inside(behind.chars().next())
    });
    places.map(|(at, _)| at..at + word.len()).collect()
}

/// Tells for most texts that no secret starts in them, faster than a table can.
struct Filter(Vec<u64>);

impl Filter {
    /// Bits, as a power of two.
    const BITS: u32 = 18;

    fn place(start: u64) -> (usize, u64) {
        let hash = start.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - Self::BITS);
        (usize::try_from(hash / 64).unwrap_or(0), 1 << (hash % 64))
    }

    fn add(&mut self, start: u64) {
        let (word, bit) = Self::place(start);
        self.0[word] |= bit;
    }

    fn has(&self, start: u64) -> bool {
        let (word, bit) = Self::place(start);
        self.0[word] & bit != 0
    }
}

impl FromIterator<u64> for Filter {
    fn from_iter<I: IntoIterator<Item = u64>>(starts: I) -> Self {
        let mut filter = Self::default();
        starts.into_iter().for_each(|start| filter.add(start));
        filter
    }
}

impl Default for Filter {
    fn default() -> Self {
        Self(vec![0; 1 << (Self::BITS - 6)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::engine::general_purpose::STANDARD;
    use proptest::prelude::*;

    fn known(secret: &str) -> Known {
        let mut known = Known::default();
        known.add_credential(secret);
        known
    }

    fn guess(value: &str) -> Opener {
        let (value, sure) = (value.to_owned(), false);
        Opener { value, sure }
    }

    fn every_byte_encoded(text: &str) -> String {
        let bytes = text.bytes();
        let encoded: String = bytes.map(percent_encoding::percent_encode_byte).collect();
        encoded.to_lowercase()
    }

    #[test]
    fn a_secret_is_found_in_every_form() {
        let secret = "p+w /s3cret~\u{e4}";
        let known = known(secret);
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
            let clean = known.redact(&text, false).into_owned();
            assert!(clean.starts_with(PLACEHOLDER), "{text}: {clean}");
            let clean = known
                .redact(&format!("\u{e4}({text})\u{e4}"), false)
                .into_owned();
            assert!(clean.starts_with("\u{e4}([redacted]"), "{text}: {clean}");
        }
        for before in ["", "a", "ab", "abc"] {
            let text = STANDARD.encode(format!("{before}{secret}:and more"));
            assert!(known.is_in(&text), "{text}");
        }
        assert!(!known.is_in("p+w/s3cret"));
    }

    #[test]
    fn a_short_secret_is_found_among_the_words_of_a_sentence() {
        let known = known("k3y");
        assert_eq!(
            known.redact("bad k3y, k3ys (k3y)", true),
            "bad [redacted], k3ys ([redacted])"
        );
        assert!(!known.is_in("k3y.pdf"));
        assert_eq!(known.redact("k3y", false), "k3y");
    }

    #[test]
    fn parameters_of_presigned_urls_are_found_whoever_made_them() {
        let known = Known::default();
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
            assert_eq!(known.redact(text, false), clean);
        }
    }

    #[test]
    fn an_id_or_a_name_is_no_secret_of_a_url() {
        let mut known = Known::default();
        known.admit("documents/0123456789abcdef0123");
        known.add_url(&[
            guess("0123456789abcdef0123"),
            guess("a-rather-long-name-of-1"),
        ]);
        assert!(!known.is_in("0123456789abcdef0123"));
        assert!(known.is_in("a-rather-long-name-of-1"));
        known.admit("a-rather-long-name-of-1.pdf");
        assert!(!known.is_in("a-rather-long-name-of-1.pdf"));
        let value = "the-signature".to_owned();
        known.add_url(&[Opener { value, sure: true }]);
        known.admit("the-signature");
        assert!(known.is_in("the-signature"));
    }

    #[test]
    fn the_secrets_of_old_urls_are_forgotten_and_those_of_late_ones_are_not() {
        let mut known = known("the-credential");
        let of = |number: usize| format!("signature-{number:06}");
        for number in 0..3 * URLS {
            known.add_url(&[guess(&of(number))]);
        }
        assert!(known.is_in("the-credential"));
        assert!(known.is_in(&of(3 * URLS - 1)) && known.is_in(&of(2 * URLS)));
        assert!(!known.is_in(&of(0)));
        assert!(known.guesses.iter().map(HashMap::len).sum::<usize>() <= 2 * 7 * URLS);
    }

    proptest! {
        #[test]
        fn no_text_breaks_the_search(text in any::<String>(), secret in "[a-z%+/ \u{e4}]{8,12}", encoded in any::<bool>()) {
            let known = known(&secret);
            let inside = if encoded { every_byte_encoded(&secret) } else { secret.clone() };
            let clean = known.redact(&format!("{text}{inside}{text}"), true).into_owned();
            prop_assert!(clean.contains(PLACEHOLDER));
            let _ = known.redact(&text, true);
            let _ = decoded(&text);
        }
    }
}
