//! The one error type of the crate.
//!
//! An [`Error`] has a [`Code`], which decides the exit code, whether another run may help, and the usual
//! hint. The texts (what failed, why) are written where the failure happens. `ui/` renders an error for
//! the terminal, `fetch/outcome.rs` for JSON.

mod attributes;
mod code;
pub(crate) mod panics;

pub(crate) use attributes::ForbiddingAttribute;
pub use code::Code;

use jiff::Timestamp;
use rustix::io::Errno;
use std::io;
use std::path::Path;
use std::time::Duration;

/// System errors after which the same call may succeed a moment later.
const TEMPORARY_ERRNOS: [Errno; 6] = [
    Errno::MFILE,
    Errno::NFILE,
    Errno::NOMEM,
    Errno::NOBUFS,
    Errno::INTR,
    Errno::IO,
];

/// What to do where a limit permits no more open files.
const MORE_OPEN_FILES_HINT: &str = "permit more open files (`ulimit -n`), or give a lower --jobs";

/// System errors that say that this machine has no more open files or memory for docfetch.
const SHORTAGE_ERRNOS: [Errno; 5] = [
    Errno::MFILE,
    Errno::NFILE,
    Errno::NOMEM,
    Errno::NOBUFS,
    Errno::AGAIN,
];

/// What the system says about a failed call, without the number of the error.
pub(crate) fn system_text(error: &io::Error) -> String {
    let text = error.to_string();
    let number = error.raw_os_error().and_then(|_| text.rfind(" (os error "));
    number.map_or(text.as_str(), |at| &text[..at]).to_owned()
}

/// The result of every function of this crate that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A failure: what failed, why, and what to do next, one line each.
///
/// No text of an error holds a secret or a presigned URL.
///
/// ```
/// use docfetch::{Code, Provider};
///
/// let error = Provider::shipped("sm")?.document_id("a/b").unwrap_err();
/// assert_eq!(error.code(), Code::Usage);
/// assert_eq!(error.exit_code(), 2);
/// assert_eq!(error.what(), "\"a/b\" is not a document id");
/// assert!(!error.hint().is_empty());
/// # Ok::<(), docfetch::Error>(())
/// ```
#[derive(Clone, Debug, thiserror::Error)]
#[error("{}", self.message())]
pub struct Error(Box<Parts>);

#[derive(Clone, Debug)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "the flags are independent of one another"
)]
struct Parts {
    code: Code,
    what: String,
    cause: Option<String>,
    hint: Option<String>,
    http_status: Option<u16>,
    retry_after: Option<Duration>,
    url_kept_until: Option<Timestamp>,
    /// That of the signal; none for all other errors, whose code decides.
    exit_code: Option<u8>,
    permanent: bool,
    silent: bool,
    not_started: bool,
    temporary_io: bool,
    names_document: bool,
    shortage: bool,
    asks_for_sha256: bool,
}

/// What an error says.
impl Error {
    /// The kind of the failure.
    pub fn code(&self) -> Code {
        self.0.code
    }

    /// The exit code of a process that ends with this error: that of its code, or 128 plus the number of
    /// the signal.
    pub fn exit_code(&self) -> u8 {
        self.0.exit_code.unwrap_or(self.0.code.exit_code())
    }

    /// Whether the same command may succeed in a later run: `retryable` in JSON records.
    pub fn retryable(&self) -> bool {
        self.0.code.retryable() && !self.0.permanent
    }

    /// What failed, in one line.
    pub fn what(&self) -> &str {
        &self.0.what
    }

    /// Why it failed, in one line; `None` where the cause is unknown.
    pub fn cause(&self) -> Option<&str> {
        self.0.cause.as_deref()
    }

    /// What failed and why, in one line: `message` in JSON records.
    pub fn message(&self) -> String {
        match &self.0.cause {
            Some(cause) => format!("{}: {cause}", self.0.what),
            None => self.0.what.clone(),
        }
    }

    /// What the user should do next, in one line.
    pub fn hint(&self) -> &str {
        self.0.hint.as_deref().unwrap_or(self.0.code.usual_hint())
    }

    /// The HTTP status of the answer that caused the failure.
    pub fn http_status(&self) -> Option<u16> {
        self.0.http_status
    }

    /// How long the server asks the client to wait (`Retry-After`, RFC 9110 section 10.2.3).
    pub fn retry_after(&self) -> Option<Duration> {
        self.0.retry_after
    }

    /// Until when the paid URL of the document stays valid, by the servers' clock; none where the failure leaves no
    /// paid URL, or docfetch does not know its end.
    pub(crate) fn url_kept_until(&self) -> Option<Timestamp> {
        self.0.url_kept_until
    }

    /// Whether the error has a hint of its own, and not the usual one of its code.
    pub(crate) fn has_own_hint(&self) -> bool {
        self.0.hint.is_some()
    }

    /// Whether another attempt in this run may succeed.
    pub(crate) fn is_transient(&self) -> bool {
        // A URL that is not valid yet is valid after the time that its error tells.
        let starts_later = self.0.code == Code::ClockSkew && self.0.retry_after.is_some();
        (self.0.code.is_transient() || self.0.shortage || starts_later) && !self.0.permanent
    }

    /// Whether docfetch prints nothing about this error: the reader of standard output closed the pipe.
    pub(crate) fn is_silent(&self) -> bool {
        self.0.silent
    }

    /// Whether [`Error::what`] names the document, so that a message needs no id before it.
    pub(crate) fn names_document(&self) -> bool {
        self.0.names_document
    }

    /// Whether the batch skipped the document before any work on it. The summary counts such documents as
    /// `not_started`, not as failed.
    pub(crate) fn is_not_started(&self) -> bool {
        self.0.not_started
    }

    /// Whether only the SHA-256 of the document, as the user knows it, would prove that the bytes are the document. The
    /// hint names `--sha256` then.
    pub(crate) fn asks_for_sha256(&self) -> bool {
        self.0.asks_for_sha256
    }

    /// Whether the same file operation may succeed a moment later, or with more free file descriptors or
    /// memory. Such an error says nothing about the path.
    pub(crate) fn is_temporary_io(&self) -> bool {
        self.0.temporary_io
    }
}

/// Errors are built with `new`, and then with one `with_…` or `into_…` for each further property.
impl Error {
    /// An error of kind `code`; `what` says in one line what failed.
    pub(crate) fn new(code: Code, what: impl Into<String>) -> Self {
        Self(Box::new(Parts {
            code,
            what: what.into(),
            cause: None,
            hint: None,
            http_status: None,
            retry_after: None,
            url_kept_until: None,
            exit_code: None,
            permanent: false,
            silent: false,
            not_started: false,
            temporary_io: false,
            names_document: false,
            shortage: false,
            asks_for_sha256: false,
        }))
    }

    /// The error of a process that a signal stops: its exit code is 128 plus the number of the signal.
    pub(crate) fn interrupted(signal: i32) -> Self {
        let mut interrupted = Self::new(Code::Interrupted, "interrupted");
        interrupted.0.exit_code = u8::try_from(128 + signal).ok();
        interrupted
    }

    /// A failed write to standard output. The error is silent when the reader closed the pipe, as
    /// `| head -1` does.
    pub(crate) fn stdout(error: &io::Error) -> Self {
        let mut failed = Self::new(Code::LocalIo, "cannot write to standard output")
            .with_cause(system_text(error))
            .with_hint("check the program or the file that takes it");
        failed.0.silent = error.kind() == io::ErrorKind::BrokenPipe;
        failed
    }

    /// The error of a call that needs a file descriptor, a process or memory, where this machine has no more of
    /// them: [`Code::LocalIo`]. Another attempt may find some. None where `error` says anything else.
    pub(crate) fn shortage(what: &str, error: &io::Error) -> Option<Self> {
        let errno = Errno::from_io_error(error)?;
        if !SHORTAGE_ERRNOS.contains(&errno) {
            return None;
        }
        let hint = match errno {
            Errno::MFILE | Errno::NFILE => MORE_OPEN_FILES_HINT,
            _ => "close other programs, or permit docfetch more memory and processes (`ulimit -a`)",
        };
        let mut failed = Self::new(Code::LocalIo, what)
            .with_cause(system_text(error))
            .with_hint(hint);
        failed.0.shortage = true;
        Some(failed)
    }

    /// A failed file operation on `path`; `what` is its verb. A full disk or quota, or a file size limit,
    /// gives [`Code::DiskFull`], every other cause [`Code::LocalIo`].
    pub(crate) fn io(what: &str, path: &Path, error: &io::Error) -> Self {
        let code = match error.kind() {
            io::ErrorKind::StorageFull
            | io::ErrorKind::QuotaExceeded
            | io::ErrorKind::FileTooLarge => Code::DiskFull,
            _ => Code::LocalIo,
        };
        let errno = Errno::from_io_error(error);
        let mut failed = Self::new(code, format!("cannot {what} {}", path.display()))
            .with_cause(system_text(error));
        failed.0.hint = match error.kind() {
            io::ErrorKind::QuotaExceeded => {
                Some("free space within the quota and run again".into())
            }
            io::ErrorKind::FileTooLarge => Some(
                "the file system or `ulimit -f` limits the length of a file: \
                 choose another folder, or raise the limit"
                    .into(),
            ),
            _ if matches!(errno, Some(Errno::MFILE | Errno::NFILE)) => {
                Some(MORE_OPEN_FILES_HINT.into())
            }
            _ => None,
        };
        if errno == Some(Errno::PERM)
            && let Some(attribute) = ForbiddingAttribute::near(path)
        {
            let ForbiddingAttribute { cause, remedy } = attribute;
            failed = failed
                .with_cause(cause)
                .with_hint(format!("{remedy}, or choose another folder"));
        }
        failed.0.temporary_io = errno.is_some_and(|errno| TEMPORARY_ERRNOS.contains(&errno));
        failed
    }

    /// Sets why it failed, in one line.
    #[must_use]
    pub(crate) fn with_cause(mut self, cause: impl Into<String>) -> Self {
        self.0.cause = Some(cause.into());
        self
    }

    /// Sets what the user should do next, in place of the usual hint of the code.
    #[must_use]
    pub(crate) fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    /// Notes that [`Error::what`] names the document.
    #[must_use]
    pub(crate) fn naming_document(mut self) -> Self {
        self.0.names_document = true;
        self
    }

    /// Notes that only the document's SHA-256 would prove that the bytes are the document, and sets a hint that names
    /// `--sha256`.
    #[must_use]
    pub(crate) fn asking_for_sha256(mut self, hint: impl Into<String>) -> Self {
        self.0.asks_for_sha256 = true;
        self.with_hint(hint)
    }

    /// Sets the HTTP status of the answer that caused the failure.
    #[must_use]
    pub(crate) fn with_http_status(mut self, status: u16) -> Self {
        self.0.http_status = Some(status);
        self
    }

    /// Sets how long the server asks the client to wait.
    #[must_use]
    pub(crate) fn with_retry_after(mut self, wait: Option<Duration>) -> Self {
        self.0.retry_after = wait;
        self
    }

    /// Sets until when the paid URL of the document stays valid.
    #[must_use]
    pub(crate) fn with_url_kept_until(mut self, end: Timestamp) -> Self {
        self.0.url_kept_until = Some(end);
        self
    }

    /// Adds to the cause that docfetch gave up after `attempts`, where there was more than one.
    #[must_use]
    pub(crate) fn after_attempts(mut self, attempts: u32, elapsed: Duration) -> Self {
        if attempts > 1 {
            let note = format!(
                "gave up after {attempts} attempts in {:.1} s",
                elapsed.as_secs_f64()
            );
            self.0.cause = Some(match self.0.cause.take() {
                Some(cause) => format!("{cause}; {note}"),
                None => note,
            });
        }
        self
    }

    /// Makes the error neither transient nor retryable: every further attempt ends in the same way.
    #[must_use]
    pub(crate) fn into_permanent(mut self) -> Self {
        self.0.permanent = true;
        self
    }

    /// Makes it the error of a document that the batch skipped before any work on it.
    #[must_use]
    pub(crate) fn into_not_started(mut self) -> Self {
        self.0.not_started = true;
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_system_error_is_said_without_its_number() {
        let denied = io::Error::from_raw_os_error(13);
        assert_eq!(system_text(&denied), "Permission denied");
        let own = io::Error::other("x (os error 13)");
        assert_eq!(system_text(&own), "x (os error 13)");
    }
}
