//! How a document ended, for programs and as the JSON records of `--json` and of manifests. The names of
//! their fields are fixed: scripts depend on them.

use crate::error::Error;
use crate::model::DocumentId;
use crate::resolve::Cost;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, percent_encode};
use serde::ser::SerializeMap as _;
use serde::{Serialize, Serializer};
use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

/// The result of a document that did not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Status {
    /// docfetch fetched the document: the document is on disk, or standard output has all its bytes.
    Fetched,
    /// The target existed already, and docfetch fetched nothing.
    Skipped,
    /// A real run would fetch the document: this was a dry run.
    Planned,
    /// A mirror has the document, and the provider no longer lists the document. The file stays.
    Gone,
}

/// A document that did not fail. A field is `None`, in JSON null, where docfetch does not know the value.
///
/// Serialized, an outcome is the record of a document in the JSON lines of `docfetch --json`. The example at
/// the top of the [crate] makes one:
///
/// ```
/// # use docfetch::{Outcome, Status};
/// fn report(outcome: &Outcome) {
///     match (outcome.status, &outcome.path) {
///         (Status::Fetched, Some(path)) => println!("{} is {}", outcome.id, path.display()),
///         (status, _) => println!("{}: {status:?}", outcome.id),
///     }
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename = "document")]
#[non_exhaustive]
pub struct Outcome {
    /// The provider's name on the command line: `sm` or `onecodex`.
    pub provider: String,
    /// The id of the document.
    #[serde(serialize_with = "serialize_id")]
    pub id: DocumentId,
    /// `fetched`, `skipped`, `planned`, or at the end of a `sync` `gone`.
    pub status: Status,
    /// The path of the file; null for standard output, and in a dry run while the name is unknown.
    #[serde(flatten, serialize_with = "serialize_path")]
    pub path: Option<PathBuf>,
    /// The name of the file.
    pub name: Option<String>,
    /// The length of the document in bytes.
    pub bytes: Option<u64>,
    /// The SHA-256 of the document in hexadecimal; null where docfetch did not compute it.
    pub sha256: Option<String>,
    /// The media type that the storage sent.
    pub media_type: Option<String>,
    /// The entity tag as the storage sent it.
    pub etag: Option<String>,
    /// How many bytes of the document an earlier run had fetched.
    pub resumed_from: Option<u64>,
    /// How many requests the storage received for this document.
    pub attempts: u32,
    /// How many presigned URLs docfetch requested for this document.
    pub resolves: u32,
    /// Whether this run sent a paid request for the document that the provider did not refuse; null where the
    /// provider never charges.
    pub charged: Option<bool>,
    /// The time from the start of the document to its end, in milliseconds.
    pub elapsed_ms: u64,
    /// What a real run would pay, in a dry run of a provider that charges.
    #[serde(skip)]
    pub(crate) cost: Option<Cost>,
    /// What a real run would do with the document's target, in a dry run.
    #[serde(skip)]
    pub(crate) plan: Option<TargetPlan>,
}

/// What a real run would do with the target of a document that a dry run plans or skips.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum TargetPlan {
    /// It would make the file.
    New,
    /// It would replace the file at the target.
    Replace,
    /// It would make the file under a name with a number, because this file exists.
    Number(PathBuf),
    /// It would compare the file at the target with the document, once it has fetched the document.
    Compare,
    /// It would skip the document, because the file at the target exists.
    SkipExisting,
    /// It would skip the document, because the mirror has it.
    SkipUpToDate,
    /// It would skip the document, because the file at the target has the document's name and length.
    SkipSameLength,
}

impl Outcome {
    /// The outcome of a document of which nothing but the status is known.
    pub(crate) fn new(provider: impl Into<String>, id: DocumentId, status: Status) -> Self {
        Self {
            provider: provider.into(),
            id,
            status,
            path: None,
            name: None,
            bytes: None,
            sha256: None,
            media_type: None,
            etag: None,
            resumed_from: None,
            attempts: 0,
            resolves: 0,
            charged: None,
            elapsed_ms: 0,
            cost: None,
            plan: None,
        }
    }
}

/// What the user or a listing names as a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum RequestedId {
    /// The id of a document.
    Document(DocumentId),
    /// Text that is no id, as docfetch shows the text.
    Unusable(String),
}

impl RequestedId {
    /// The id as text.
    pub(crate) fn as_str(&self) -> &str {
        match self {
            Self::Document(id) => id.as_str(),
            Self::Unusable(text) => text,
        }
    }
}

impl From<DocumentId> for RequestedId {
    fn from(id: DocumentId) -> Self {
        Self::Document(id)
    }
}

fn serialize_id<S: Serializer>(id: &DocumentId, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(id.as_str())
}

/// Serializes `path`, and `path_bytes` beside it where the path is not UTF-8: the percent-encoded bytes, from
/// which [`path_from_bytes`] gives the path back.
///
/// # Errors
/// Those of the serializer.
pub(crate) fn serialize_path<S: Serializer, P: AsRef<Path>>(
    path: &Option<P>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let path = path.as_ref().map(P::as_ref);
    let mut fields = serializer.serialize_map(None)?;
    fields.serialize_entry("path", &path.map(Path::to_string_lossy))?;
    if let Some(path) = path.filter(|path| path.to_str().is_none()) {
        let bytes = percent_encode(path.as_os_str().as_bytes(), PATH_CHARACTERS).to_string();
        fields.serialize_entry("path_bytes", &bytes)?;
    }
    fields.end()
}

/// The characters that `path_bytes` encodes: all but the unreserved ones (RFC 3986 section 2.3) and `/`.
const PATH_CHARACTERS: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'/');

/// The path of a record's `path_bytes`.
pub(crate) fn path_from_bytes(encoded: &str) -> PathBuf {
    let bytes: Vec<u8> = percent_decode_str(encoded).collect();
    OsString::from_vec(bytes).into()
}

/// The record of a document that failed.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename = "document")]
pub(crate) struct FailedDocument<'a> {
    /// The provider's name on the command line.
    pub provider: &'a str,
    /// The id of the document, or the text that is not an id.
    pub id: &'a str,
    /// Always `failed`.
    pub status: &'static str,
    /// Whether this run sent a paid request for the document that the provider did not refuse; null where the
    /// provider never charges.
    pub charged: Option<bool>,
    /// What failed.
    pub error: ErrorRecord<'a>,
}

impl<'a> FailedDocument<'a> {
    /// The record of the document `id` of `provider`, which failed with `error`.
    pub(crate) fn new(
        provider: &'a str,
        id: &'a str,
        charged: Option<bool>,
        error: &'a Error,
    ) -> Self {
        Self {
            provider,
            id,
            status: "failed",
            charged,
            error: error.into(),
        }
    }
}

/// An error in a record.
#[derive(Debug, Serialize)]
pub(crate) struct ErrorRecord<'a> {
    /// One of the error codes.
    pub code: &'static str,
    /// What failed and why, in one line.
    pub message: String,
    /// What the user can do, in one line.
    pub hint: &'a str,
    /// The HTTP status of the answer that caused the failure.
    pub http_status: Option<u16>,
    /// Whether the same command may succeed in a later run.
    pub retryable: bool,
}

impl<'a> From<&'a Error> for ErrorRecord<'a> {
    fn from(error: &'a Error) -> Self {
        Self {
            code: error.code().as_str(),
            message: error.message(),
            hint: error.hint(),
            http_status: error.http_status(),
            retryable: error.retryable(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Code;

    #[test]
    fn the_record_of_a_failed_document_has_its_fixed_fields() {
        let error = Error::new(Code::ChargeUnknown, "a")
            .with_cause("b")
            .with_http_status(503);
        let failed = FailedDocument::new("onecodex", "1", Some(true), &error);
        assert_eq!(
            serde_json::to_string(&failed).unwrap(),
            r#"{"type":"document","provider":"onecodex","id":"1","status":"failed","charged":true,"error":{"code":"charge_unknown","message":"a: b","hint":"check with the provider before you run again","http_status":503,"retryable":false}}"#
        );
    }

    #[test]
    fn the_record_of_a_document_has_its_fixed_fields_and_null_for_what_is_unknown() {
        let id = DocumentId::parse("1", None).unwrap();
        let outcome = Outcome {
            path: Some("a/b.pdf".into()),
            ..Outcome::new("sm", id, Status::Fetched)
        };
        assert_eq!(
            serde_json::to_string(&outcome).unwrap(),
            r#"{"type":"document","provider":"sm","id":"1","status":"fetched","path":"a/b.pdf","name":null,"bytes":null,"sha256":null,"media_type":null,"etag":null,"resumed_from":null,"attempts":0,"resolves":0,"charged":null,"elapsed_ms":0}"#
        );
    }

    #[test]
    fn a_path_that_is_not_utf_8_comes_back_from_its_bytes() {
        #[derive(Serialize)]
        struct Record {
            #[serde(flatten, serialize_with = "serialize_path")]
            path: Option<PathBuf>,
        }
        let path = PathBuf::from(OsString::from_vec(b"a/\xff b".to_vec()));
        let record = Record {
            path: Some(path.clone()),
        };
        let record = serde_json::to_value(&record).unwrap();
        assert_eq!(record["path_bytes"], "a/%FF%20b");
        let bytes = record["path_bytes"].as_str().unwrap();
        assert_eq!(path_from_bytes(bytes), path);
    }
}
