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
    /// The document's name, under which docfetch keeps bytes that only a checksum refuses.
    pub name: String,
}

impl Verification {
    /// Verifies the bytes in the sink and returns their SHA-256 in hexadecimal, where docfetch computed it.
    ///
    /// # Errors
    /// [`Code::LengthMismatch`], [`Code::DigestMismatch`]; [`Code::StorageError`] for a web page. docfetch
    /// then throws the bytes of a partial away, but for those that only a checksum refuses.
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
        accept_or_keep(checked?, sink, name)
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

/// Accepts the bytes, or keeps them in the partial where only a checksum refuses them.
fn accept_or_keep(report: DigestReport, sink: &mut Sink, name: String) -> Result<Option<String>> {
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
    let what = "the document that came has a wrong checksum";
    let again = match error.code() {
        Code::ChargeRefused => "--allow-recharge pays for it again",
        _ => "run again",
    };
    let hint = format!("{again}; to accept these bytes, give the id alone with --sha256 {sha256}");
    Error::new(Code::DigestMismatch, what)
        .with_cause(format!(
            "{}; the SHA-256 of what came is {sha256}",
            error.message()
        ))
        .with_hint(hint)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fetch::entity::Entity;
    use crate::fetch::options::DigestOptions;
    use crate::fetch::partial::Partial;
    use crate::http::headers::Checksum;
    use std::path::Path;
    use std::time::Duration;

    const BYTES: &[u8] = b"document";

    /// A sink with [`BYTES`], of which the storage told this checksum.
    async fn sink(folder: &Path, checksum: Option<(Checksum, Vec<u8>)>) -> Sink {
        let opening = Partial::open(folder, "x", Duration::ZERO, true);
        let mut sink = Sink::Partial(opening.await.unwrap());
        let entity = Entity {
            tag: Some("\"1\"".to_owned()),
            checksum,
            ..Entity::default()
        };
        sink.begin(entity).unwrap();
        sink.write(BYTES).await.unwrap();
        sink
    }

    fn verification(sink: &Sink, announced: Option<u64>, web_page: Option<Error>) -> Verification {
        let options = DigestOptions {
            compute_sha256: true,
            expected_sha256: None,
        };
        let mut digests = Digests::new(options, &[], sink);
        digests.expect_checksum_of(sink.entity());
        Verification {
            digests,
            lengths: KnownLengths {
                announced,
                end_is_marked: true,
                ..KnownLengths::default()
            },
            web_page,
            name: "name.txt".to_owned(),
        }
    }

    fn page() -> Error {
        Error::new(Code::StorageError, "a web page")
    }

    #[tokio::test]
    async fn right_bytes_are_accepted_with_their_sha256() {
        let folder = tempfile::tempdir().unwrap();
        let mut sink = sink(folder.path(), None).await;
        let length = BYTES.len() as u64;
        let sha256 = verification(&sink, Some(length), None).run(&mut sink).await;
        assert_eq!(sha256.unwrap().unwrap().len(), 64);
        assert_eq!(sink.position(), length);
    }

    #[tokio::test]
    async fn bytes_of_another_length_are_thrown_away() {
        let folder = tempfile::tempdir().unwrap();
        let mut sink = sink(folder.path(), None).await;
        let verified = verification(&sink, Some(1), None).run(&mut sink).await;
        assert_eq!(verified.unwrap_err().code(), Code::LengthMismatch);
        assert_eq!(sink.position(), 0);
    }

    #[tokio::test]
    async fn bytes_that_only_the_checksum_of_the_storage_refuses_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let checksum = Some((Checksum::Sha256, vec![0; 32]));
        let mut sink = sink(folder.path(), checksum).await;
        let verified = verification(&sink, None, None).run(&mut sink).await;
        let error = verified.unwrap_err();
        assert_eq!(error.code(), Code::DigestMismatch);
        let Sink::Partial(partial) = &sink else {
            panic!("a partial");
        };
        let refused = partial.refused().unwrap();
        assert_eq!(refused.name, "name.txt");
        let accept = format!("--sha256 {}", refused.sha256);
        assert!(error.hint().contains(&accept), "{}", error.hint());
        assert_eq!(partial.position(), BYTES.len() as u64);
    }

    #[tokio::test]
    async fn what_may_be_a_web_page_needs_a_proof() {
        let folder = tempfile::tempdir().unwrap();
        let mut first = sink(folder.path(), None).await;
        let verified = verification(&first, None, Some(page()))
            .run(&mut first)
            .await;
        assert_eq!(verified.unwrap_err().code(), Code::StorageError);
        assert_eq!(first.position(), 0);
        // The size in the metadata is a proof, and so is the checksum of the storage.
        first.write(BYTES).await.unwrap();
        let by_size = Verification {
            lengths: KnownLengths {
                metadata: Some(BYTES.len() as u64),
                ..KnownLengths::default()
            },
            ..verification(&first, None, Some(page()))
        };
        assert!(by_size.run(&mut first).await.is_ok());
        let folder = tempfile::tempdir().unwrap();
        let digest = ring::digest::digest(&ring::digest::SHA256, BYTES);
        let checksum = Some((Checksum::Sha256, digest.as_ref().to_vec()));
        let mut second = sink(folder.path(), checksum).await;
        let by_checksum = verification(&second, None, Some(page()));
        assert!(by_checksum.run(&mut second).await.is_ok());
    }
}
