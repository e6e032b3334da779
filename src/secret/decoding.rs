//! Percent-decoding that remembers where each byte comes from.

use std::borrow::Cow;
use std::ops::Range;

/// How often a text is percent-decoded at most.
pub(super) const MAX_DECODINGS: usize = 3;

/// A text in lower case, with the position of each byte in the original text.
pub(super) struct DecodedText {
    pub(super) text: Vec<u8>,
    /// None where the text is the original.
    origins: Option<Vec<usize>>,
}

impl DecodedText {
    pub(super) fn of(text: &str) -> Self {
        Self {
            text: text.as_bytes().to_ascii_lowercase(),
            origins: None,
        }
    }

    /// The range of the original text that `range` of this text comes from.
    pub(super) fn original(&self, range: Range<usize>) -> Range<usize> {
        match &self.origins {
            Some(origins) => origins[range.start]..origins[range.end],
            None => range,
        }
    }

    /// This text percent-decoded once; none where nothing is encoded.
    pub(super) fn decoded(&self) -> Option<Self> {
        let (mut text, mut origins) = (Vec::new(), Vec::new());
        let mut at = 0;
        while let Some(byte) = self.text.get(at) {
            let (byte, length) = match percent_encoded_byte(&self.text[at..]) {
                Some(byte) => (byte.to_ascii_lowercase(), 3),
                None => (*byte, 1),
            };
            text.push(byte);
            origins.push(self.original(at..at).start);
            at += length;
        }
        origins.push(self.original(at..at).start);
        let origins = Some(origins);
        (text.len() < self.text.len()).then_some(Self { text, origins })
    }
}

/// The byte that a percent-encoded `text` starts with.
fn percent_encoded_byte(text: &[u8]) -> Option<u8> {
    let [b'%', high, low, ..] = text else {
        return None;
    };
    let digit = |byte: &u8| char::from(*byte).to_digit(16);
    u8::try_from(digit(high)? << 4 | digit(low)?).ok()
}

/// `text` in lower case, percent-decoded [`MAX_DECODINGS`] times at most.
pub(super) fn decoded(text: &str) -> Cow<'_, str> {
    if !text.contains('%') {
        return Cow::Borrowed(text);
    }
    let mut layer = DecodedText::of(text);
    for _ in 0..MAX_DECODINGS {
        match layer.decoded() {
            Some(next) => layer = next,
            None => break,
        }
    }
    Cow::Owned(String::from_utf8_lossy(&layer.text).into_owned())
}
