//! One line of a file of ids: an id, or a record of a listing or of an earlier batch.

use crate::error::{Code, Error, Result};
use crate::fetch::batch::BatchItem;
use crate::model::DocumentId;
use crate::provider::{self, Provider};
use crate::text::Utf16Text;
use serde_json::Value;

/// What to write on a line.
const LINE_HINT: &str = "give ids, or the lines that `docfetch list` prints";

/// Why a line is of another format than a file of ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum WrongFormat {
    #[error("is not UTF-8 text")]
    NotUtf8,
    #[error("starts like a JSON object, and is none")]
    NoObject,
    #[error("starts like a JSON array")]
    Array,
    #[error("starts like HTML or XML")]
    Markup,
    #[error("has a quotation mark")]
    Quoted,
    #[error("has a comma")]
    Comma,
    #[error("has a semicolon")]
    Semicolon,
    #[error("is the heading of a column")]
    Heading,
}

impl WrongFormat {
    /// What the user should do next.
    pub(super) fn hint(self) -> &'static str {
        match self {
            Self::NotUtf8 => Utf16Text::HINT,
            Self::NoObject => "write each JSON object on one line: `jq -c .` does that",
            Self::Array => "write each JSON object on one line: `jq -c '.[]'` does that",
            Self::Markup => "check the file: it looks like a saved web page",
            Self::Quoted | Self::Comma | Self::Semicolon => {
                "write one id on each line, without quotation marks and without other columns"
            }
            Self::Heading => "remove this line",
        }
    }

    /// The failure of the line with this number.
    pub(super) fn item(self, number: u64) -> BatchItem<()> {
        unusable(number, &format!("the line {self}"), self.hint())
    }
}

/// What a line names; none for a comment, an empty line, and a record that names no document. The blanks around
/// the line and a byte order mark do not count.
///
/// # Errors
/// [`WrongFormat`] for a line of a table, of JSON in several lines, and the like. An id with a comma, a semicolon or a
/// quotation mark is an id only in a JSON line.
pub(super) fn parse(
    provider: &Provider,
    line: &[u8],
    number: u64,
) -> std::result::Result<Option<BatchItem<()>>, WrongFormat> {
    let line = std::str::from_utf8(line).map_err(|_| WrongFormat::NotUtf8)?;
    let line = line.trim_start_matches('\u{feff}').trim();
    match line.chars().next() {
        None | Some('#') => return Ok(None),
        Some('{') => {
            let record = serde_json::from_str(line).map_err(|_| WrongFormat::NoObject)?;
            return Ok(of_record(provider, &record, number));
        }
        Some('[') => return Err(WrongFormat::Array),
        Some('<') => return Err(WrongFormat::Markup),
        Some(_) => {}
    }
    // A line of a listing in a pipe. An id has no tab.
    let id = line.split('\t').next().unwrap_or(line).trim_end();
    if let Some(mark) = id.find(['"', ',', ';']).filter(|_| !id.contains("://")) {
        return Err(match id.as_bytes()[mark] {
            b'"' => WrongFormat::Quoted,
            b',' => WrongFormat::Comma,
            _ => WrongFormat::Semicolon,
        });
    }
    if number == 1 && is_heading(id, provider) {
        return Err(WrongFormat::Heading);
    }
    Ok(Some(item(provider.document_id(id), id)))
}

/// Whether the first line of a table names its column of ids: `ID`, `document_id`.
fn is_heading(text: &str, provider: &Provider) -> bool {
    let text = text.to_lowercase().replace(['_', '-'], " ");
    text == "id" || text == format!("{} id", provider.thing())
}

/// What a record names; none for the summary of a batch.
fn of_record(provider: &Provider, record: &Value, number: u64) -> Option<BatchItem<()>> {
    let text = |field: &str| record.get(field).and_then(Value::as_str);
    if text("type") == Some("summary") {
        return None;
    }
    let Some(id_text) = text("id") else {
        let what = "the line is a JSON object without an id";
        return Some(unusable(number, what, LINE_HINT));
    };
    let id = provider.document_id(id_text);
    let shown = id.as_ref().map(|id| id.as_str().to_owned());
    let wrong = |is_of: &str, hint: &str| match &shown {
        Ok(id) => {
            let error = Error::new(Code::Usage, format!("{id} {is_of}")).with_hint(hint);
            BatchItem::Unusable(id.clone(), error.naming_document())
        }
        Err(_) => unusable(number, &format!("the line {is_of}"), hint),
    };
    if let Some(name) = text("provider").filter(|name| *name != provider.name) {
        let known = provider::all().into_iter().find(|known| known.name == name);
        let (title, hint) = match known {
            Some(other) => (
                other.title,
                format!("fetch it with `docfetch {}`", other.name),
            ),
            None => (
                "another provider",
                "give the lines of this provider only".to_owned(),
            ),
        };
        return Some(wrong(
            &format!("is of {title}, not of {}", provider.title),
            &hint,
        ));
    }
    if let (Some(other), Some(resource)) = (text("resource"), provider.resource)
        && other != resource.name()
    {
        let is_of = format!("is one of the {other}, not of the {}", resource.name());
        return Some(wrong(&is_of, &format!("add --resource {other}")));
    }
    Some(item(id, id_text))
}

/// The item of `text`. docfetch never shows a URL that the user gives by mistake.
fn item(id: Result<DocumentId>, text: &str) -> BatchItem<()> {
    match id {
        Ok(id) => BatchItem::Document(id, ()),
        Err(error) if text.contains("://") => BatchItem::Unusable("a URL".to_owned(), error),
        Err(error) => BatchItem::Unusable(text.to_owned(), error),
    }
}

fn unusable(number: u64, what: &str, hint: &str) -> BatchItem<()> {
    let error = Error::new(Code::Usage, what).with_hint(hint);
    BatchItem::Unusable(format!("line {number}"), error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::Resource;

    fn samples() -> Provider {
        Provider::one_codex(Resource::Samples)
    }

    /// What a line is: the id of a document, or the text and the cause of its failure.
    fn read(line: &str) -> Option<(String, Option<String>)> {
        let item =
            parse(&samples(), line.as_bytes(), 3).unwrap_or_else(|wrong| Some(wrong.item(3)));
        item.map(|item| match item {
            BatchItem::Document(id, ()) => (id.to_string(), None),
            BatchItem::Unusable(text, error) => (text, Some(error.what().to_owned())),
        })
    }

    #[test]
    fn a_line_is_an_id_or_a_record_and_else_a_failure() {
        for line in ["", "# 7", "# a, b", r#"{"type":"summary"}"#] {
            assert_eq!(read(line), None, "{line}");
        }
        for line in [
            "7",
            "/api/v1/samples/7",
            "7\ta name.pdf\t12\t2026-10-01T08:30:00Z",
            "7\ta, \"b\"; c",
            "7\t",
            r#"{"id":"7"}"#,
            r#"{"id":"7","provider":"onecodex","resource":"samples"}"#,
        ] {
            assert_eq!(read(line), Some(("7".into(), None)), "{line}");
        }
        assert_eq!(read(r#"{"id":"a,b"}"#), Some(("a,b".into(), None)));
        for (line, shown, said) in [
            ("a/b", "a/b", "is not a sample id"),
            ("a/b\t7", "a/b", "is not a sample id"),
            ("https://host/x?signature", "a URL", "a URL is not"),
            ("https://host/x?a,b", "a URL", "a URL is not"),
            ("{7", "line 3", "is none"),
            (r#"{"name":"7"}"#, "line 3", "without an id"),
            (
                r#"{"id":"7","provider":"sm"}"#,
                "7",
                "7 is of Standard Metrics, not of One Codex",
            ),
            (
                r#"{"id":"7","provider":"new"}"#,
                "7",
                "7 is of another provider",
            ),
            (
                r#"{"id":"a/b","provider":"sm"}"#,
                "line 3",
                "the line is of Standard Metrics",
            ),
            (
                r#"{"id":"7","resource":"assets"}"#,
                "7",
                "7 is one of the assets",
            ),
        ] {
            let (text, what) = read(line).unwrap();
            assert_eq!(text, shown, "{line}");
            assert!(what.as_ref().unwrap().contains(said), "{line}: {what:?}");
        }
    }

    #[test]
    fn a_line_of_a_table_or_of_another_text_is_told() {
        let wrong = |line: &[u8], number| parse(&samples(), line, number).unwrap_err();
        for (line, expected) in [
            (&b"caf\xe9"[..], WrongFormat::NotUtf8),
            (b"7,report.pdf", WrongFormat::Comma),
            (b"7;report.pdf", WrongFormat::Semicolon),
            (b"\"7\",\"report.pdf\"", WrongFormat::Quoted),
            (b"\"7\"", WrongFormat::Quoted),
            (b"[", WrongFormat::Array),
            (b"[{\"id\":\"7\"}]", WrongFormat::Array),
            (b"{", WrongFormat::NoObject),
            (b"<!doctype html>", WrongFormat::Markup),
        ] {
            assert_eq!(wrong(line, 1), expected);
            assert_eq!(wrong(line, 9), expected);
        }
        for heading in ["id", "ID\tname", "sample_id", "Sample ID"] {
            assert_eq!(wrong(heading.as_bytes(), 1), WrongFormat::Heading);
            assert!(parse(&samples(), heading.as_bytes(), 2).is_ok());
        }
    }
}
