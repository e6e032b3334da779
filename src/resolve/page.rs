//! One page of a list, as text. The rows are read one after another, so that a page takes little more memory than its
//! bytes.

use super::answer::AnswerSource;
use crate::error::Result;
use crate::fingerprint::digest128;
use crate::provider::{Cursor, Paging, Pointer, Pointers, RowsRoute, Total, pick};
use crate::text::LARGEST_SIZE;
use serde_json::Value;
use serde_json::value::RawValue;

/// The longest page in bytes.
pub(super) const MAX_PAGE_BYTES: usize = 16 << 20;
/// The longest URL of a next page, and the longest JSON of a cursor, in bytes.
pub(super) const MAX_NEXT_BYTES: usize = 8 << 10;
/// A page of more bytes is checked in a thread of its own, so that signals are handled meanwhile.
pub(super) const LARGE_PAGE_BYTES: usize = 256 << 10;

/// A page that is being read.
#[derive(Debug)]
pub(super) struct PageText {
    text: String,
    /// The offset of the first row in each array of rows.
    arrays: Vec<usize>,
    /// The array that is being read.
    array: usize,
    /// The offset of the next row, or of the end of the array.
    at: usize,
    /// How many rows the page has.
    pub rows: u64,
    /// A hash of the rows.
    pub digest: u128,
    /// How many rows there are in all, where the page says that.
    pub total: Option<u64>,
    /// What the page says of the next one.
    pub next: NextPage,
}

/// What a page says of the next one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum NextPage {
    /// Nothing.
    Unknown,
    /// Its URL, perhaps a relative one.
    Url(String),
    /// Its cursor.
    Cursor(Value),
}

/// The JSON of an answer. Its outermost fields are found once, whichever pointers lead into them.
struct Answer<'a> {
    json: &'a str,
    names: Vec<&'a str>,
    /// The fields of these names; none for an answer that is no object.
    fields: Option<Vec<Option<&'a RawValue>>>,
}

impl PageText {
    /// Checks that `body`, from `source`, is a page of a route.
    ///
    /// # Errors
    /// [`Code::Protocol`](crate::error::Code::Protocol) when it is none.
    pub(super) fn parse(source: &AnswerSource, body: Vec<u8>, route: &RowsRoute) -> Result<Self> {
        let wrong = |why: String| source.protocol(why);
        if body.len() >= MAX_PAGE_BYTES {
            let most = MAX_PAGE_BYTES >> 20;
            return Err(wrong(format!("the answer is longer than {most} MiB")));
        }
        let text =
            String::from_utf8(body).map_err(|_| wrong("the answer is not UTF-8 text".into()))?;
        let json: &RawValue = source.json(text.as_bytes())?;
        let answer = Answer::new(json.get(), route);
        let arrays = answer.arrays(&route.rows).map_err(wrong)?;
        let rows: Vec<&[u8]> = arrays.iter().map(|array| array.as_bytes()).collect();
        let digest = digest128(&rows);
        let next = answer.next(&route.paging).map_err(wrong)?;
        let total = answer.total(&route.paging);
        // The arrays are parts of the text.
        let start = |array: &&str| array.as_ptr().addr() - text.as_ptr().addr() + 1;
        let arrays: Vec<usize> = arrays.iter().map(start).collect();
        let mut page = Self {
            array: 0,
            at: arrays.first().copied().unwrap_or(text.len()),
            arrays,
            rows: 0,
            digest,
            total: total.map(|total| total.min(LARGEST_SIZE)),
            next,
            text,
        };
        while page.next_row().is_some() {
            page.rows += 1;
        }
        page.array = 0;
        page.at = page.arrays.first().copied().unwrap_or(page.text.len());
        Ok(page)
    }

    /// The text of the next row; none after the last one.
    pub(super) fn next_row(&mut self) -> Option<&str> {
        let text = self.text.as_bytes();
        let between = |byte: &&u8| matches!(byte, b' ' | b'\t' | b'\r' | b'\n' | b',');
        let start = loop {
            let start = self.at + text[self.at..].iter().take_while(between).count();
            match text.get(start) {
                Some(b']') => {
                    self.at = start;
                    self.at = *self.arrays.get(self.array + 1)?;
                    self.array += 1;
                }
                Some(_) => break start,
                None => return None,
            }
        };
        let end = start + length_of_value(&text[start..]);
        self.at = end;
        self.text.get(start..end)
    }
}

impl<'a> Answer<'a> {
    fn new(json: &'a str, route: &'a RowsRoute) -> Self {
        let (at, more, total): (&[Pointer], _, _) = match &route.paging {
            Paging::Next { at, total, .. } => (&at.0, None, Some(total)),
            Paging::Cursor(cursor) => (&cursor.at.0, cursor.more.as_ref(), None),
            Paging::Page { total, .. } | Paging::Offset { total, .. } => (&[], None, Some(total)),
            Paging::Single | Paging::Link => (&[], None, None),
        };
        let total = match total {
            Some(Total::At(pointer)) => Some(pointer),
            _ => None,
        };
        let pointers = std::iter::once(&route.rows)
            .chain(at)
            .chain(more)
            .chain(total);
        let mut names: Vec<&str> = pointers.filter_map(Pointer::first_field).collect();
        names.sort_unstable();
        names.dedup();
        let is_object = !names.is_empty() && json.starts_with('{');
        let fields = is_object.then(|| pick(json, &names)).flatten();
        Self {
            json,
            names,
            fields,
        }
    }

    /// The values that a pointer leads to.
    fn texts(&self, pointer: &Pointer) -> Vec<&'a str> {
        let (Some(fields), Some(name)) = (&self.fields, pointer.first_field()) else {
            return pointer.find_texts(self.json);
        };
        let index = self.names.iter().position(|known| *known == name);
        let field = index.and_then(|index| fields[index]);
        field.map_or_else(Vec::new, |field| {
            pointer.below_first().find_texts(field.get())
        })
    }

    /// The first value that a pointer leads to and that is not null.
    fn text(&self, pointer: &Pointer) -> Option<&'a str> {
        self.texts(pointer).into_iter().find(|text| *text != "null")
    }

    /// The arrays of rows. A list without rows may be null.
    fn arrays(&self, rows: &Pointer) -> Result<Vec<&'a str>, String> {
        let found = self.texts(rows);
        let field = (!rows.is_whole()).then(|| rows.shown());
        let before_every = rows.before_every();
        if found.is_empty() && before_every.is_none_or(|array| self.arrays(&array).is_err()) {
            return Err(match field.filter(|_| self.json.starts_with('{')) {
                Some(field) => format!("the JSON has no field {field:?}"),
                None => "the JSON is not an object".to_owned(),
            });
        }
        let is_row_list =
            |text: &&str| text.starts_with('[') || (field.is_some() && *text == "null");
        if !found.iter().all(is_row_list) {
            return Err(match field {
                Some(field) => format!("the field {field:?} is not an array"),
                None => "the JSON is not an array".to_owned(),
            });
        }
        let arrays = found.into_iter().filter(|text| text.starts_with('['));
        Ok(arrays.collect())
    }

    fn total(&self, paging: &Paging) -> Option<u64> {
        match paging {
            Paging::Next { total, .. }
            | Paging::Page { total, .. }
            | Paging::Offset { total, .. } => match total {
                Total::At(pointer) => number(self.text(pointer)?),
                Total::Header(_) | Total::Unknown => None,
            },
            Paging::Single | Paging::Link | Paging::Cursor(_) => None,
        }
    }

    fn next(&self, paging: &Paging) -> Result<NextPage, String> {
        match paging {
            Paging::Next { at, .. } => self.next_url(at),
            Paging::Cursor(cursor) => self.cursor(cursor),
            _ => Ok(NextPage::Unknown),
        }
    }

    fn next_url(&self, at: &Pointers) -> Result<NextPage, String> {
        let mut wrong = None;
        for pointer in at.iter() {
            match self.text(pointer) {
                None | Some("\"\"" | "false") => {}
                Some(text) => match text_of(text, MAX_NEXT_BYTES) {
                    Some(url) => return Ok(NextPage::Url(url)),
                    None => wrong = Some(pointer.shown()),
                },
            }
        }
        match wrong {
            Some(field) => Err(format!("the field {field:?} is not a URL")),
            None => Ok(NextPage::Unknown),
        }
    }

    fn cursor(&self, rule: &Cursor) -> Result<NextPage, String> {
        let more = rule.more.as_ref().and_then(|more| self.text(more));
        if more == Some("false") {
            return Ok(NextPage::Unknown);
        }
        for pointer in rule.at.iter() {
            let Some(text) = self.text(pointer) else {
                continue;
            };
            if text.len() > MAX_NEXT_BYTES {
                let field = pointer.shown();
                return Err(format!(
                    "the cursor in {field:?} has more than {MAX_NEXT_BYTES} bytes"
                ));
            }
            let cursor: Value = serde_json::from_str(text).unwrap_or_default();
            let is_end = match &cursor {
                Value::Null | Value::Bool(false) => true,
                Value::String(text) => text.is_empty(),
                Value::Array(elements) => elements.is_empty(),
                Value::Object(fields) => fields.is_empty(),
                Value::Bool(true) | Value::Number(_) => false,
            };
            if !is_end {
                return Ok(NextPage::Cursor(cursor));
            }
        }
        if more == Some("true") {
            let field = rule.at.shown();
            return Err(format!(
                "there are more rows, and the field {field:?} has no cursor"
            ));
        }
        Ok(NextPage::Unknown)
    }
}

/// A whole number from the text of a JSON number, or of a JSON string with digits.
pub(super) fn number(json: &str) -> Option<u64> {
    let digits = json
        .strip_prefix('"')
        .and_then(|text| text.strip_suffix('"'));
    let digits = digits.unwrap_or(json);
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| digits.parse().ok()).flatten()
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

#[cfg(test)]
mod tests;
