//! Whether the bytes in the sink are the document.

use crate::error::{Code, Error, Result};
use crate::fetch::partial::RefusedDocument;
use crate::fetch::transfer::{DigestReport, Digests, KnownLengths, Sink};

/// What docfetch compares the bytes of a complete transfer with.
pub(super) struct Verification {
    /// The digests of the bytes.
    pub digests: Digests,
    /// The lengths that the storage and the provider told.
    pub lengths: KnownLengths,
    /// The error of bytes that start as HTML, unless a digest or the size proves that they are the document.
    pub web_page: Option<Error>,
    /// The document's name, under which docfetch keeps bytes that only the storage's checksum refuses.
    pub name: String,
}

impl Verification {
    /// Verifies the bytes in the sink and returns their SHA-256 in hexadecimal, where docfetch computed it.
    ///
    /// # Errors
    /// [`Code::LengthMismatch`], [`Code::DigestMismatch`]; [`Code::StorageError`] for a web page. docfetch
    /// then throws the bytes of a partial away, but for those that only the storage's checksum refuses.
    pub(super) async fn run(self, sink: &mut Sink) -> Result<Option<String>> {
        let Self {
            digests,
            lengths,
            web_page,
            name,
        } = self;
        if web_page.is_none() {
            sink.flush().await?;
        }
        let (length, has_digest) = (sink.position(), digests.has_expected_digest());
        let checked = match lengths.check(length, has_digest) {
            Ok(()) => digests.verify(length).await,
            Err(error) => Err(error),
        };
        if let Some(error) = web_page {
            let proven = has_digest || lengths.metadata == Some(length);
            if is_wrong(&checked) || has_other_checksum(&checked) || !proven {
                sink.restart("a web page came", true)?;
                return Err(error);
            }
            if checked.is_ok() {
                sink.flush().await?;
            }
        }
        if is_wrong(&checked)
            && let Sink::Partial(partial) = sink
        {
            let _ = partial.restart(); // no later run can use complete bytes that are wrong
        }
        accept(checked?, sink, name)
    }
}

fn is_wrong(checked: &Result<DigestReport>) -> bool {
    let is_mismatch =
        |error: &Error| matches!(error.code(), Code::LengthMismatch | Code::DigestMismatch);
    checked.as_ref().is_err_and(is_mismatch)
}

fn has_other_checksum(checked: &Result<DigestReport>) -> bool {
    let checked = checked.as_ref();
    checked.is_ok_and(|report| report.checksum_mismatch.is_some())
}

/// Accepts the bytes, or keeps them in the partial where only the storage's checksum refuses them.
fn accept(report: DigestReport, sink: &mut Sink, name: String) -> Result<Option<String>> {
    let DigestReport {
        sha256,
        checksum_mismatch,
    } = report;
    match (checksum_mismatch, sha256, sink) {
        (None, sha256, _) => Ok(sha256),
        (Some(error), Some(sha256), Sink::Partial(partial)) => {
            let error = refused_document(&error, &sha256);
            partial.refuse(RefusedDocument { sha256, name });
            Err(error)
        }
        (Some(error), ..) => {
            Err(error.with_hint("run again; if the error stays, tell the provider"))
        }
    }
}

/// The error of a complete document that docfetch keeps in the partial although `error` refuses it.
pub(super) fn refused_document(error: &Error, sha256: &str) -> Error {
    let what = "the document does not have the checksum that the storage announced";
    let again = match error.code() {
        Code::ChargeRefused => "--allow-recharge pays for it again",
        _ => "run again",
    };
    let hint = format!("{again}; to accept what came, give its id alone with --sha256 {sha256}");
    Error::new(Code::DigestMismatch, what)
        .with_cause(format!(
            "{}; the SHA-256 of what came is {sha256}",
            error.message()
        ))
        .with_hint(hint)
}
