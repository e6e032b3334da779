//! One page of a listing, as text. The rows are read one after another, so that a page takes little more
//! memory than its bytes.

use super::answer::AnswerSource;
use crate::error::Result;
use crate::fingerprint::digest128;
use crate::provider::Paging;
use crate::text::LARGEST_SIZE;
use serde::Deserialize;
use serde::de::{Deserializer as _, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;

/// The longest page in bytes.
pub(super) const MAX_PAGE_BYTES: usize = 16 << 20;
/// The longest URL of a next page in bytes.
const MAX_NEXT_URL_BYTES: usize = 8 << 10;
/// A page of more bytes is checked in a thread of its own, so that signals are handled meanwhile.
pub(super) const LARGE_PAGE_BYTES: usize = 256 << 10;

/// A page that is being read.
#[derive(Debug)]
pub(super) struct PageText {
    text: String,
    /// The offset of the next row, or of the end of the rows.
    at: usize,
    /// How many rows the page has.
    pub rows: u64,
    /// A hash of the rows.
    pub digest: u128,
    /// How many rows there are in all, where the page says that.
    pub total: Option<u64>,
    /// The URL of the next page, where the page says that.
    pub next: Option<String>,
}

impl PageText {
    /// Checks that `body`, from `source`, is a page.
    ///
    /// # Errors
    /// [`Code::Protocol`](crate::error::Code::Protocol) when it is none.
    pub(super) fn parse(source: &AnswerSource, body: Vec<u8>, paging: Paging) -> Result<Self> {
        let wrong = |why: String| source.protocol(why);
        if body.len() >= MAX_PAGE_BYTES {
            let most = MAX_PAGE_BYTES >> 20;
            return Err(wrong(format!("the answer is longer than {most} MiB")));
        }
        let text =
            String::from_utf8(body).map_err(|_| wrong("the answer is not UTF-8 text".into()))?;
        let (rows, next, count) = match paging {
            Paging::NextField { rows, next, count } => {
                let page: &RawValue = source.json(text.as_bytes())?;
                let found = pick(page.get(), &[rows, next, count]);
                let found = found.ok_or_else(|| wrong("the JSON is not an object".into()))?;
                (found[0], found[1], found[2])
            }
            Paging::TotalHeader { .. } => (Some(source.json(text.as_bytes())?), None, None),
        };
        let rows: &str = rows.map_or("", RawValue::get);
        if !rows.starts_with('[') {
            return Err(wrong(match paging {
                Paging::NextField { rows: field, .. } if rows.is_empty() => {
                    format!("the JSON has no field {field:?}")
                }
                Paging::NextField { rows: field, .. } => {
                    format!("the field {field:?} is not an array")
                }
                Paging::TotalHeader { .. } => "the JSON is not an array".into(),
            }));
        }
        let next =
            match (next.map(RawValue::get), paging) {
                (None | Some("null"), _) => None,
                (Some(text), paging) => Some(text_of(text, MAX_NEXT_URL_BYTES).ok_or_else(
                    || match paging {
                        Paging::NextField { next, .. } => {
                            wrong(format!("the field {next:?} is not a URL"))
                        }
                        Paging::TotalHeader { .. } => wrong("the next page is not a URL".into()),
                    },
                )?),
            };
        let total = count.and_then(|count| count.get().parse().ok());
        // The rows are a part of the text.
        let at = rows.as_ptr().addr() - text.as_ptr().addr() + 1;
        let mut page = Self {
            at,
            rows: 0,
            digest: digest128(&[rows.as_bytes()]),
            total: total.map(|total: u64| total.min(LARGEST_SIZE)),
            next,
            text,
        };
        while page.next_row().is_some() {
            page.rows += 1;
        }
        page.at = at;
        Ok(page)
    }

    /// The text of the next row; none after the last one.
    pub(super) fn next_row(&mut self) -> Option<&str> {
        let text = self.text.as_bytes();
        let between = |byte: &&u8| matches!(byte, b' ' | b'\t' | b'\r' | b'\n' | b',');
        let start = self.at + text[self.at..].iter().take_while(between).count();
        self.at = start;
        if text.get(start).is_none_or(|byte| *byte == b']') {
            return None;
        }
        let end = start + length_of_value(&text[start..]);
        self.at = end;
        self.text.get(start..end)
    }
}

/// The length of the JSON value at the start of `text`, which is known to be the rest of a JSON array.
fn length_of_value(text: &[u8]) -> usize {
    let (mut depth, mut quoted, mut escaped) = (0_usize, false, false);
    for (at, byte) in text.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => quoted = !quoted,
            _ if quoted => {}
            b'{' | b'[' => depth += 1,
            b',' | b']' if depth == 0 => return at,
            b'}' | b']' => depth -= 1,
            _ => {}
        }
    }
    text.len()
}

/// The text of a JSON string; none for other JSON, and for a text of more than `max_bytes`.
pub(super) fn text_of(json: &str, max_bytes: usize) -> Option<String> {
    // JSON writes a byte as six at most (\u0041).
    if json.len() > 6 * max_bytes + 2 {
        return None;
    }
    let text: String = serde_json::from_str(json).ok()?;
    (text.len() <= max_bytes).then_some(text)
}

/// The JSON text of these fields of a JSON object; none for other JSON.
pub(super) fn pick<'a>(json: &'a str, fields: &[&str]) -> Option<Vec<Option<&'a RawValue>>> {
    let picked = serde_json::Deserializer::from_str(json).deserialize_map(PickFields(fields));
    picked.ok()
}

struct PickFields<'f>(&'f [&'f str]);

#[derive(Deserialize)]
struct FieldName<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'a> Visitor<'a> for PickFields<'_> {
    type Value = Vec<Option<&'a RawValue>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = vec![None; self.0.len()];
        while let Some(FieldName(name)) = map.next_key()? {
            match self.0.iter().position(|field| *field == name) {
                Some(place) => found[place] = Some(map.next_value()?),
                None => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIELD: Paging = Paging::NextField {
        rows: "results",
        next: "next",
        count: "count",
    };
    const HEADER: Paging = Paging::TotalHeader { total: "x-total" };

    fn open(text: &str, paging: Paging) -> Result<PageText> {
        PageText::parse(&AnswerSource::example(), text.as_bytes().to_vec(), paging)
    }

    #[test]
    fn rows_are_read_one_after_another() {
        let rows = r#" {"a":"]}\"\\","b":[{}]} ,[1,[2]], 3 ,"x,]", null,{}"#;
        let expected = [
            r#"{"a":"]}\"\\","b":[{}]} "#,
            "[1,[2]]",
            "3 ",
            r#""x,]""#,
            "null",
            "{}",
        ];
        let field = format!(r#"{{"next":"u\u0041","x":[{{}}],"results":[{rows}] ,"count":7}}"#);
        for (text, paging, next) in [
            (field, FIELD, Some("uA")),
            (format!(" [{rows}]\n"), HEADER, None),
        ] {
            let mut page = open(&text, paging).unwrap();
            for expected in expected {
                assert_eq!(page.next_row(), Some(expected));
            }
            assert!(page.next_row().is_none() && page.next_row().is_none());
            assert_eq!(page.rows, 6);
            assert_eq!(page.next.as_deref(), next);
        }
        assert_eq!(open("[]", HEADER).unwrap().next_row(), None);
        assert_eq!(open("[ ]", HEADER).unwrap().next_row(), None);
    }

    #[test]
    fn what_is_no_page_is_refused() {
        for text in [
            "",
            "[",
            "[1",
            "{}",
            "{\"results\":{}}",
            "{\"results\":[],\"next\":7}",
            "[] x",
            "\"[\"",
        ] {
            assert!(open(text, FIELD).is_err(), "{text}");
        }
        for text in ["", "[1 2]", "{}", "[1,]", "null"] {
            assert!(open(text, HEADER).is_err(), "{text}");
        }
        let next = format!(
            r#"{{"results":[],"next":"{}"}}"#,
            "x".repeat(MAX_NEXT_URL_BYTES + 1)
        );
        assert!(open(&next, FIELD).is_err());
        let long = vec![b' '; MAX_PAGE_BYTES];
        assert!(PageText::parse(&AnswerSource::example(), long, HEADER).is_err());
    }
}
