//! What the world is told of a fetch: the JSON records, whose fields are fixed.

use crate::error::{Code, Error};
use crate::model::DocumentId;
use crate::resolve::retrieval::Cost;
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
    /// The provider's name.
    pub provider: &'static str,
    /// The document.
    #[serde(serialize_with = "as_text")]
    pub id: DocumentId,
    /// How it ended.
    pub status: Status,
    /// Where it is; none on standard output, or while the name is unknown.
    #[serde(flatten, serialize_with = "with_bytes")]
    pub path: Option<PathBuf>,
    /// Its file name.
    pub name: Option<String>,
    /// Its length in bytes.
    pub bytes: Option<u64>,
    /// Its SHA-256 in hexadecimal, where it was computed.
    pub sha256: Option<String>,
    /// The media type that the storage told.
    pub media_type: Option<String>,
    /// The entity tag, as it came.
    pub etag: Option<String>,
    /// How many bytes an earlier run had left.
    pub resumed_from: Option<u64>,
    /// Requests to the storage.
    pub attempts: u32,
    /// Presigned URLs asked for.
    pub resolves: u32,
    /// Whether a paid request of this run left and was not refused; none where the provider never
    /// charges.
    pub charged: Option<bool>,
    /// From start to end.
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
    /// The provider's name.
    pub provider: &'a str,
    /// The document.
    pub id: &'a str,
    /// Always `failed`.
    pub status: &'static str,
    /// Whether a paid request of this run left and was not refused; none where the provider never
    /// charges.
    pub charged: Option<bool>,
    /// Why.
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
    /// One of the fixed codes.
    pub code: &'static str,
    /// What failed and why.
    pub message: String,
    /// What to do next.
    pub hint: &'a str,
    /// The HTTP status that told of it.
    pub http_status: Option<u16>,
    /// Whether running again may help.
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
    /// Documents fetched.
    pub fetched: u64,
    /// Documents that were there before.
    pub skipped: u64,
    /// Documents that failed.
    pub failed: u64,
    /// Documents that were read or known, and not taken up.
    pub not_started: u64,
    /// What a real run would do (dry run).
    #[serde(flatten)]
    pub plan: Option<Planned>,
    /// Paid requests of this run that left and were not refused; none where the provider never charges.
    pub charges: Option<u64>,
    /// Bytes of the documents fetched; in a dry run of those planned, as far as they are known.
    pub bytes: u64,
    /// From start to end.
    pub elapsed_ms: u64,
    /// What the process exits with.
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
    /// Documents that it would fetch.
    pub planned: u64,
    /// What it would pay; none where the provider never charges.
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
    /// Those that it would pay for.
    pub would_charge: Option<u64>,
    /// Those whose recorded URL would serve again.
    pub would_reuse: Option<u64>,
    /// Those that the ledger or `--max-charges` would refuse.
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
