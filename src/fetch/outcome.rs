//! What the world is told of a fetch: the JSON records, whose fields are fixed.

use crate::error::{Code, Error};
use crate::model::DocumentId;
use crate::resolve::Cost;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, percent_encode};
use serde::ser::SerializeMap as _;
use serde::{Serialize, Serializer};
use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

/// How a document ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// It is on disk, or was written to standard output.
    Fetched,
    /// It was there before.
    Skipped,
    /// It would be written (dry run).
    Planned,
}

/// A document that did not fail. Unknown values are null.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename = "document")]
pub struct Outcome {
    /// The provider's name on the command line: `sm` or `onecodex`.
    pub provider: &'static str,
    /// The id of the document.
    #[serde(serialize_with = "as_text")]
    pub id: DocumentId,
    /// `fetched`, `skipped` or `planned`.
    pub status: Status,
    /// The path of the file; null for standard output, and in a dry run while the name is unknown.
    #[serde(flatten, serialize_with = "with_bytes")]
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
    /// What a real run would pay (dry run).
    #[serde(skip)]
    pub cost: Option<Cost>,
}

impl Outcome {
    /// A document of `provider` of which no more than its status is known.
    pub(crate) fn new(provider: &'static str, id: DocumentId, status: Status) -> Self {
        Self {
            provider,
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
        }
    }
}

/// What the user or a listing names as a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum RequestedId {
    /// The id of a document.
    Document(DocumentId),
    /// Text that is no id, as docfetch shows it.
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

fn as_text<S: Serializer>(id: &DocumentId, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(id.as_str())
}

/// JSON is text: a path that is not is shown as well as it can be, and its bytes beside it,
/// percent-encoded, so that it can be read back.
pub(crate) fn with_bytes<S: Serializer, P: AsRef<Path>>(
    path: &Option<P>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let path = path.as_ref().map(P::as_ref);
    let mut fields = serializer.serialize_map(None)?;
    fields.serialize_entry("path", &path.map(Path::to_string_lossy))?;
    if let Some(path) = path.filter(|path| path.to_str().is_none()) {
        let bytes = percent_encode(path.as_os_str().as_bytes(), PATH).to_string();
        fields.serialize_entry("path_bytes", &bytes)?;
    }
    fields.end()
}

/// RFC 3986 section 2.3, and the separator.
const PATH: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'/');

/// The path whose bytes those are.
pub(crate) fn path_of_bytes(encoded: &str) -> PathBuf {
    let bytes: Vec<u8> = percent_decode_str(encoded).collect();
    OsString::from_vec(bytes).into()
}

/// A document that failed.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename = "document")]
pub(crate) struct Failed<'a> {
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
    pub error: Failure<'a>,
}

impl<'a> Failed<'a> {
    /// The record of a document of `provider` that failed.
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

/// An error as scripts see it.
#[derive(Debug, Serialize)]
pub(crate) struct Failure<'a> {
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

impl<'a> From<&'a Error> for Failure<'a> {
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

/// The last record of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename = "summary")]
pub(crate) struct Summary {
    /// How many documents the run fetched.
    pub fetched: u64,
    /// How many documents the run skipped, because their files exist.
    pub skipped: u64,
    /// How many documents failed.
    pub failed: u64,
    /// How many documents the run read or knew, and did not start.
    pub not_started: u64,
    /// What a real run would do; none in a real run.
    #[serde(flatten)]
    pub plan: Option<Planned>,
    /// How many paid requests the run sent that the provider did not refuse; null where the provider never charges.
    pub charges: Option<u64>,
    /// The length of all fetched documents in bytes; in a dry run, of all planned documents whose length is known.
    pub bytes: u64,
    /// The time from the start of the run to its end, in milliseconds.
    pub elapsed_ms: u64,
    /// The exit code of the process.
    pub exit_code: u8,
    /// The first failures once more: the document, and what failed.
    #[serde(skip)]
    pub failures: Vec<(String, String)>,
    /// The most paid requests that the run permits (dry run).
    #[serde(skip)]
    pub max_charges: Option<u64>,
}

/// What a real run would do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Planned {
    /// How many documents a real run would fetch. Only in a dry run.
    pub planned: u64,
    /// What a real run would pay.
    #[serde(flatten)]
    pub costs: Costs,
}

/// What a real run would pay, in documents; none where the provider never charges.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[expect(
    clippy::struct_field_names,
    reason = "the names of fields in JSON records"
)]
pub(crate) struct Costs {
    /// How many documents a real run would pay for; null where the provider never charges. Only in a dry run.
    pub would_charge: Option<u64>,
    /// How many documents a real run would fetch from a recorded URL. Only in a dry run.
    pub would_reuse: Option<u64>,
    /// How many documents the ledger or `--max-charges` would refuse. Only in a dry run.
    pub would_refuse: Option<u64>,
}

impl Costs {
    /// Of a provider that charges: nothing yet.
    fn none() -> Self {
        Self {
            would_charge: Some(0),
            would_reuse: Some(0),
            would_refuse: Some(0),
        }
    }

    fn add(&mut self, cost: Cost, limit: Option<u64>) {
        let full = limit.is_some_and(|limit| self.would_charge.unwrap_or_default() >= limit);
        let count = match cost {
            Cost::Charge if full => &mut self.would_refuse,
            Cost::Charge => &mut self.would_charge,
            Cost::Reuse => &mut self.would_reuse,
            Cost::Refuse => &mut self.would_refuse,
        };
        *count = Some(count.unwrap_or_default() + 1);
    }
}

/// So many failures are named again at the end.
const NAMED: usize = 20;

impl Summary {
    /// Counts a document that did not fail.
    pub(crate) fn add(&mut self, outcome: &Outcome) {
        match outcome.status {
            Status::Fetched => {
                self.fetched += 1;
                self.bytes = self.bytes.saturating_add(outcome.bytes.unwrap_or_default());
            }
            Status::Skipped => self.skipped += 1,
            Status::Planned => {
                self.plan.get_or_insert_default().planned += 1;
                self.bytes = self.bytes.saturating_add(outcome.bytes.unwrap_or_default());
            }
        }
        if let Some(cost) = outcome.cost {
            let plan = self.plan.get_or_insert_default();
            plan.costs.add(cost, self.max_charges);
        }
    }

    /// Begins the summary of a dry run of a provider that `charges` or not, at most `max_charges` times.
    pub(crate) fn plans(&mut self, charges: bool, max_charges: Option<u64>) {
        self.max_charges = max_charges;
        self.plan = Some(Planned {
            planned: 0,
            costs: if charges {
                Costs::none()
            } else {
                Costs::default()
            },
        });
    }

    /// Counts the failure of a document.
    pub(crate) fn add_failure(&mut self, id: &str, error: &Error) {
        self.failed += 1;
        if self.failures.len() < NAMED {
            self.failures.push((id.to_owned(), error.what().to_owned()));
        }
        self.ended_by(error);
    }

    /// Takes in a failure's exit code. Failures that share one keep it, others make it 1; an interrupt
    /// wins over all of them.
    pub(crate) fn ended_by(&mut self, error: &Error) {
        let code = error.exit_code();
        self.exit_code = match self.exit_code {
            _ if error.code() == Code::Interrupted => code,
            0 => code,
            same if same == code => same,
            interrupted @ 130.. => interrupted,
            _ => 1,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_of_one_kind_keep_their_exit_code_and_others_make_it_1() {
        let mut summary = Summary::default();
        for (code, exit) in [
            (Code::NotFound, 4),
            (Code::Forbidden, 4),
            (Code::Network, 1),
            (Code::NotFound, 1),
        ] {
            summary.add_failure("1", &Error::new(code, "x"));
            assert_eq!(summary.exit_code, exit);
        }
        assert_eq!(summary.failed, 4);
    }

    #[test]
    fn records_have_their_fixed_fields() {
        let error = Error::new(Code::ChargeUnknown, "a")
            .with_cause("b")
            .with_http_status(503);
        let failed = Failed {
            provider: "onecodex",
            id: "1",
            status: "failed",
            charged: Some(true),
            error: (&error).into(),
        };
        assert_eq!(
            serde_json::to_string(&failed).unwrap(),
            r#"{"type":"document","provider":"onecodex","id":"1","status":"failed","charged":true,"error":{"code":"charge_unknown","message":"a: b","hint":"check with the provider before you run again","http_status":503,"retryable":false}}"#
        );
        assert_eq!(
            serde_json::to_string(&Summary::default()).unwrap(),
            r#"{"type":"summary","fetched":0,"skipped":0,"failed":0,"not_started":0,"charges":null,"bytes":0,"elapsed_ms":0,"exit_code":0}"#
        );
    }
}
