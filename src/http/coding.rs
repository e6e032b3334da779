//! The text of an API's answer, decoded.
//!
//! docfetch requests `identity`. Some servers and filters code their answers all the same, and an answer may
//! have been paid for. So docfetch decodes gzip and deflate (RFC 9110 section 8.4.1), and drops a byte order
//! mark, which JSON must not have (RFC 8259 section 8.1). The decoded text is bounded, whatever the size of
//! the coded one.
//!
//! The first bytes decide before the header does: some servers name a coding that the body does not have, and
//! some filters drop the name.

use super::headers;
use flate2::write::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};
use reqwest::header::{self, HeaderMap};
use std::io::{self, Write};

/// The first bytes of gzip (RFC 1952 section 2.3.1).
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];
/// How many bytes of a body tell its coding.
const MAGIC_BYTES: usize = 2;
const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// The text of a body while the body arrives.
pub(super) struct BodyText {
    /// The value of `Content-Encoding`, in lower case; empty where the header is missing.
    named: String,
    coding: Coding,
    limit: usize,
    is_broken: bool,
}

enum Coding {
    /// Fewer bytes arrived than tell the coding.
    Undecided(Vec<u8>),
    Identity(Vec<u8>),
    /// A coding that docfetch does not decode.
    Foreign,
    Gzip(Box<MultiGzDecoder<Bounded>>),
    Zlib(Box<ZlibDecoder<Bounded>>),
    Deflate(Box<DeflateDecoder<Bounded>>),
}

/// Text that has at most one byte more than its limit.
struct Bounded {
    text: Vec<u8>,
    limit: usize,
}

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = (self.limit + 1).saturating_sub(self.text.len());
        if room == 0 {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        let taken = &bytes[..bytes.len().min(room)];
        self.text.extend_from_slice(taken);
        Ok(taken.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl BodyText {
    /// The text of a body with these headers. The caller stops when the text is longer than `limit` bytes.
    pub(super) fn new(headers: &HeaderMap, limit: usize) -> Self {
        let named = headers::text(headers, header::CONTENT_ENCODING).unwrap_or_default();
        Self {
            named: named.trim().to_ascii_lowercase(),
            coding: Coding::Undecided(Vec::new()),
            limit,
            is_broken: false,
        }
    }

    /// Adds a piece of the body.
    pub(super) fn push(&mut self, piece: &[u8]) {
        if let Coding::Undecided(begin) = &mut self.coding {
            begin.extend_from_slice(piece);
            if begin.len() < MAGIC_BYTES {
                return;
            }
            let begin = std::mem::take(begin);
            self.coding = self.decide(&begin);
            self.decode(&begin);
        } else {
            self.decode(piece);
        }
    }

    fn decide(&self, begin: &[u8]) -> Coding {
        let bounded = || Bounded {
            text: Vec::new(),
            limit: self.limit,
        };
        let is_json = begin.starts_with(&BYTE_ORDER_MARK[..MAGIC_BYTES])
            || matches!(begin[0], b'{' | b'[' | b' ' | b'\t' | b'\r' | b'\n');
        // RFC 1950 section 2.2
        let is_zlib =
            begin[0] & 0xf == 8 && u16::from_be_bytes([begin[0], begin[1]]).is_multiple_of(31);
        match self.named.as_str() {
            _ if is_json => Coding::Identity(Vec::new()),
            "" | "identity" | "gzip" | "x-gzip" if begin.starts_with(&GZIP_MAGIC) => {
                Coding::Gzip(Box::new(MultiGzDecoder::new(bounded())))
            }
            "deflate" if is_zlib => Coding::Zlib(Box::new(ZlibDecoder::new(bounded()))),
            // Some servers leave out the zlib header.
            "deflate" => Coding::Deflate(Box::new(DeflateDecoder::new(bounded()))),
            "" | "identity" | "gzip" | "x-gzip" => Coding::Identity(Vec::new()),
            _ => Coding::Foreign,
        }
    }

    fn decode(&mut self, piece: &[u8]) {
        let decoder: &mut dyn Write = match &mut self.coding {
            Coding::Identity(text) => return text.extend_from_slice(piece),
            Coding::Undecided(_) | Coding::Foreign => return,
            Coding::Gzip(decoder) => decoder,
            Coding::Zlib(decoder) => decoder,
            Coding::Deflate(decoder) => decoder,
        };
        let written = decoder.write_all(piece).and_then(|()| decoder.flush());
        self.is_broken |= written.is_err();
    }

    /// The text so far, without a byte order mark.
    pub(super) fn text(&self) -> &[u8] {
        let text = match &self.coding {
            Coding::Undecided(text) | Coding::Identity(text) => text,
            Coding::Foreign => &[][..],
            Coding::Gzip(decoder) => &decoder.get_ref().text,
            Coding::Zlib(decoder) => &decoder.get_ref().text,
            Coding::Deflate(decoder) => &decoder.get_ref().text,
        };
        text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text)
    }

    /// The text, up to the limit.
    pub(super) fn into_text(mut self) -> Vec<u8> {
        let mut text = match &mut self.coding {
            Coding::Undecided(text) | Coding::Identity(text) => std::mem::take(text),
            Coding::Foreign => Vec::new(),
            Coding::Gzip(decoder) => std::mem::take(&mut decoder.get_mut().text),
            Coding::Zlib(decoder) => std::mem::take(&mut decoder.get_mut().text),
            Coding::Deflate(decoder) => std::mem::take(&mut decoder.get_mut().text),
        };
        if text.starts_with(BYTE_ORDER_MARK) {
            text.drain(..BYTE_ORDER_MARK.len());
        }
        text.truncate(self.limit);
        text
    }

    /// Why the text is not that of the whole body, once the body is here.
    pub(super) fn flaw(&mut self) -> Option<String> {
        let ended = match &mut self.coding {
            Coding::Undecided(_) | Coding::Identity(_) => return None,
            Coding::Foreign => {
                return Some(format!(
                    "its body has the content coding {:?}, although docfetch requested none",
                    self.named
                ));
            }
            Coding::Gzip(decoder) => decoder.try_finish(),
            Coding::Zlib(decoder) => decoder.try_finish(),
            Coding::Deflate(decoder) => decoder.try_finish(),
        };
        (self.is_broken || ended.is_err())
            .then(|| "its compressed body cannot be decoded to the end".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};

    const JSON: &[u8] = br#"{"download_uri":"https://storage.example.com/x"}"#;

    fn headers(coding: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        if !coding.is_empty() {
            headers.insert(header::CONTENT_ENCODING, coding.parse().unwrap());
        }
        headers
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    /// The text and the flaw of a body that arrives in pieces of this size.
    fn read(coding: &str, body: &[u8], piece: usize) -> (Vec<u8>, Option<String>) {
        let mut text = BodyText::new(&headers(coding), 1000);
        for piece in body.chunks(piece) {
            text.push(piece);
        }
        let flaw = text.flaw();
        (text.into_text(), flaw)
    }

    #[test]
    fn codings_are_decoded_however_the_body_arrives() {
        let mut zlib = ZlibEncoder::new(Vec::new(), Compression::default());
        zlib.write_all(JSON).unwrap();
        let mut deflate = DeflateEncoder::new(Vec::new(), Compression::default());
        deflate.write_all(JSON).unwrap();
        let (zlib, deflate) = (zlib.finish().unwrap(), deflate.finish().unwrap());
        let marked = [BYTE_ORDER_MARK, JSON].concat();
        let members = [gzip(&JSON[..9]), gzip(&JSON[9..])].concat();
        for (coding, body) in [
            ("", JSON),
            ("identity", JSON),
            ("gzip", JSON), // named, and not done
            ("br", JSON),
            ("utf-8", &marked),
            ("", &marked),
            ("gzip", &gzip(JSON)),
            ("GZip", &gzip(&marked)),
            ("x-gzip", &members),
            ("", &gzip(JSON)), // done, and not named
            ("deflate", &zlib),
            ("deflate", &deflate),
        ] {
            for piece in [1, 2, 7, 1000] {
                let (text, flaw) = read(coding, body, piece);
                assert_eq!((text.as_slice(), flaw), (JSON, None), "{coding} {piece}");
            }
        }
    }

    #[test]
    fn a_bomb_is_bounded() {
        let bomb = gzip(&vec![b' '; 50 << 20]);
        let mut text = BodyText::new(&headers("gzip"), 1000);
        text.push(&bomb);
        assert_eq!(text.text().len(), 1001);
        assert_eq!(text.into_text().len(), 1000);
    }

    #[test]
    fn a_body_that_cannot_be_decoded_says_why_and_keeps_what_can() {
        let whole = gzip(JSON);
        let mut wrong = whole.clone();
        *wrong.last_mut().unwrap() ^= 1;
        for body in [&whole[..whole.len() - 4], &wrong] {
            let (text, flaw) = read("gzip", body, 1000);
            assert_eq!(text, JSON);
            assert!(flaw.unwrap().contains("cannot be decoded"));
        }
        for coding in ["br", "zstd", "gzip, gzip"] {
            let (text, flaw) = read(coding, &[0xce, 0xb2, 0xcf, 0x81], 1000);
            assert_eq!(text, b"");
            assert!(flaw.unwrap().contains(&format!("{coding:?}")));
        }
    }
}
