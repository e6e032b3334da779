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
    #[error("starts with a quotation mark")]
    Quoted,
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
            Self::Quoted | Self::Heading => {
                "remove headings, quotation marks and other columns: write one id on each line"
            }
        }
    }

    /// The failure of the line with this number.
    pub(super) fn item(self, number: u64) -> BatchItem<()> {
        unusable(number, &format!("the line {self}"), self.hint())
    }
}

/// What a line names; none for a comment, an empty line, and a record that names no document. The blanks around
/// the line and a byte order mark do not count. `is_first` says that no earlier line has content: only such a line can
/// be the start of a table, of a JSON array or of a web page. On a later line, the same text is an id.
///
/// # Errors
/// [`WrongFormat`] for a line that is not UTF-8 or is a part of a JSON object, and for the start of another format.
pub(super) fn parse(
    provider: &Provider,
    line: &[u8],
    number: u64,
    is_first: bool,
) -> std::result::Result<Option<BatchItem<()>>, WrongFormat> {
    let line = std::str::from_utf8(line).map_err(|_| WrongFormat::NotUtf8)?;
    let line = line.trim_start_matches('\u{feff}').trim();
    match line.chars().next() {
        None | Some('#') => return Ok(None),
        Some('{') => {
            let record = serde_json::from_str(line).map_err(|_| WrongFormat::NoObject)?;
            return Ok(of_record(provider, &record, number));
        }
        Some('[') if is_first => return Err(WrongFormat::Array),
        Some('<') if is_first => return Err(WrongFormat::Markup),
        Some('"') if is_first => return Err(WrongFormat::Quoted),
        Some(_) if is_first && is_heading(line) => return Err(WrongFormat::Heading),
        Some(_) => {}
    }
    // A line of a listing in a pipe. An id has no tab.
    let id = line.split('\t').next().unwrap_or(line).trim_end();
    Ok(Some(item(provider.document_id(id), id)))
}

/// Whether the first column of this line is the heading of a column of ids: `ID`, `document_id`, `Sample Id,name`.
fn is_heading(line: &str) -> bool {
    let column = line.split([',', ';', '\t']).next().unwrap_or(line);
    let letters = column.trim().to_lowercase().replace(['_', '-', ' '], "");
    let is_kind = |kind: &str| {
        provider::all()
            .iter()
            .any(|known| known.table.thing == kind)
    };
    letters
        .strip_suffix("id")
        .is_some_and(|kind| kind.is_empty() || is_kind(kind))
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
    let wrong = |why: &str, hint: &str| match &shown {
        Ok(id) => {
            let error = Error::new(Code::Usage, format!("{id} {why}")).with_hint(hint);
            BatchItem::Unusable(id.clone(), error.naming_document())
        }
        Err(_) => unusable(number, &format!("the line {why}"), hint),
    };
    if let Some(name) = text("provider").filter(|name| *name != provider.table.name) {
        let (title, hint) = match provider::find(name) {
            Ok(other) => (
                other.table.title.clone(),
                format!("fetch it with `docfetch {name}`"),
            ),
            Err(_) => (
                "another provider".to_owned(),
                "give the lines of this provider only".to_owned(),
            ),
        };
        return Some(wrong(
            &format!("belongs to {title}, not to {}", provider.table.title),
            &hint,
        ));
    }
    if let (Some(other), Some(kind)) = (text("resource"), provider.table.kind.as_deref())
        && other != kind
    {
        let why = format!("is one of the {other}, not of the {kind}");
        return Some(wrong(&why, &format!("add --resource {other}")));
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

    fn samples() -> Provider {
        Provider::shipped("onecodex")
            .and_then(|provider| provider.of_kind("samples"))
            .unwrap()
    }

    /// What a line is: the id of a document, or the text and the cause of its failure.
    fn read(line: &str) -> Option<(String, Option<String>)> {
        let item = parse(&samples(), line.as_bytes(), 3, false);
        let item = item.unwrap_or_else(|wrong| Some(wrong.item(3)));
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
        for (line, shown, said) in [
            ("a/b", "a/b", "is not a sample id"),
            ("a/b\t7", "a/b", "is not a sample id"),
            ("https://host/x?signature", "a URL", "a URL is not"),
            ("https://host/x?a,b", "a URL", "a URL is not"),
            ("a/b,c", "a/b,c", "is not a sample id"),
            ("{7", "line 3", "is none"),
            (r#"{"name":"7"}"#, "line 3", "without an id"),
            (
                r#"{"id":"7","provider":"sm"}"#,
                "7",
                "7 belongs to Standard Metrics, not to One Codex",
            ),
            (
                r#"{"id":"7","provider":"new"}"#,
                "7",
                "7 belongs to another provider",
            ),
            (
                r#"{"id":"a/b","provider":"sm"}"#,
                "line 3",
                "the line belongs to Standard Metrics",
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
    fn a_later_line_is_any_id() {
        for id in [
            "a,b",
            "a;b",
            "a\"b",
            "\"a\"",
            "[a]",
            "<a>",
            "a, \"b\"; c",
            "id",
        ] {
            let record = serde_json::json!({ "id": id }).to_string();
            for line in [id, &format!("{id}\tname"), &record] {
                assert_eq!(read(line), Some((id.to_owned(), None)), "{line}");
            }
        }
    }

    #[test]
    fn the_first_line_with_content_tells_another_format() {
        let wrong = |line: &[u8], is_first| parse(&samples(), line, 3, is_first).err();
        for (line, first, later) in [
            (&b"caf\xe9"[..], WrongFormat::NotUtf8, true),
            (b"{", WrongFormat::NoObject, true),
            (b"\"7\",\"report.pdf\"", WrongFormat::Quoted, false),
            (b"\"7\"", WrongFormat::Quoted, false),
            (b"[", WrongFormat::Array, false),
            (b"[{\"id\":\"7\"}]", WrongFormat::Array, false),
            (b"<!doctype html>", WrongFormat::Markup, false),
        ] {
            assert_eq!(wrong(line, true), Some(first));
            let read_later = parse(&samples(), line, 3, false);
            assert_eq!(read_later.err(), later.then_some(first));
        }
        for heading in [
            "id",
            "\u{feff}ID\tname",
            "id,name",
            "Id ;name",
            "sample_id",
            "Sample ID, name",
            "documentId",
            "asset-id",
        ] {
            assert_eq!(wrong(heading.as_bytes(), true), Some(WrongFormat::Heading));
            assert_eq!(wrong(heading.as_bytes(), false), None, "{heading}");
        }
        for id in [
            "7", "a,b", "7;id", "a\"b\"", "name,id", "grid", "idx", "uuid\tid",
        ] {
            assert_eq!(wrong(id.as_bytes(), true), None, "{id}");
        }
    }
}
