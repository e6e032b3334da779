//! The one error of the house.
//!
//! A [`Code`] says what kind of failure it is; exit code, whether running again may help, and the
//! usual hint derive from it. The words (what failed, why) are written where the failure is known.
//! Terminal and JSON renderings are made from these parts in `ui/`.

pub(crate) mod panics;

use rustix::io::Errno;
use std::io;
use std::path::Path;
use std::time::Duration;

/// What a system call fails with that may succeed a moment later.
const PASSING: [Errno; 6] = [
    Errno::MFILE,
    Errno::NFILE,
    Errno::NOMEM,
    Errno::NOBUFS,
    Errno::INTR,
    Errno::IO,
];

/// Shorthand for results of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What kind of failure it is: the `code` of JSON records, fixed because scripts depend on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Code {
    /// Anything unforeseen. Exit 1.
    Unexpected,
    /// Wrong use of the command line. Exit 2.
    Usage,
    /// A setting that cannot be used. Exit 2.
    Config,
    /// A credential is not set. Exit 3.
    CredentialsMissing,
    /// The provider does not accept the credential (401). Exit 3.
    CredentialsRejected,
    /// The plan does not include this download (402). Exit 4.
    PaymentRequired,
    /// No access to this document (403). Exit 4.
    Forbidden,
    /// The provider does not know this document (404, 410). Exit 4.
    NotFound,
    /// The storage refuses the presigned URL for good. Exit 4.
    StorageDenied,
    /// Name resolution, connection, or a transfer that broke. Exit 5.
    Network,
    /// A transfer that moved too little for too long. Exit 5.
    Stalled,
    /// The provider asks to slow down (429). Exit 5.
    RateLimited,
    /// The provider fails (5xx and the like). Exit 5.
    ProviderError,
    /// The storage fails (5xx and the like). Exit 5.
    StorageError,
    /// An answer that does not follow its protocol. Exit 5.
    Protocol,
    /// The presigned URL died and a new one did not help. Exit 5.
    UrlExpired,
    /// The storage finds this machine's or the signer's clock wrong. Exit 5.
    ClockSkew,
    /// Fewer or more bytes than announced. Exit 6.
    LengthMismatch,
    /// The bytes do not have the digest that they must have. Exit 6.
    DigestMismatch,
    /// The document changed under the transfer and could not be fetched whole. Exit 6.
    DocumentChanged,
    /// The target exists. Exit 7.
    TargetExists,
    /// The file system refuses. Exit 7.
    LocalIo,
    /// No room. Exit 7.
    DiskFull,
    /// Another process holds the partial, or the record of the retrieval. Exit 7.
    Busy,
    /// A paid retrieval was asked for and not answered. Exit 8.
    ChargeUnknown,
    /// A paid retrieval would have to be asked for again. Exit 8.
    ChargeRefused,
    /// Plain http, or credentials inside a URL. Exit 9.
    InsecureUrl,
    /// The server's certificate is not trusted. Exit 9.
    Certificate,
    /// Too many redirects, or one that must not be followed. Exit 9.
    UnsafeRedirect,
    /// An address that this API has no business with. Exit 9.
    PrivateAddress,
    /// The partial's name is taken by something that is not our file. Exit 9.
    UnsafePartial,
    /// SIGINT (exit 130) or SIGTERM (exit 143).
    Interrupted,
}

impl Code {
    /// The code as scripts see it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unexpected => "unexpected",
            Self::Usage => "usage",
            Self::Config => "config",
            Self::CredentialsMissing => "credentials_missing",
            Self::CredentialsRejected => "credentials_rejected",
            Self::PaymentRequired => "payment_required",
            Self::Forbidden => "forbidden",
            Self::NotFound => "not_found",
            Self::StorageDenied => "storage_denied",
            Self::Network => "network",
            Self::Stalled => "stalled",
            Self::RateLimited => "rate_limited",
            Self::ProviderError => "provider_error",
            Self::StorageError => "storage_error",
            Self::Protocol => "protocol",
            Self::UrlExpired => "url_expired",
            Self::ClockSkew => "clock_skew",
            Self::LengthMismatch => "length_mismatch",
            Self::DigestMismatch => "digest_mismatch",
            Self::DocumentChanged => "document_changed",
            Self::TargetExists => "target_exists",
            Self::LocalIo => "local_io",
            Self::DiskFull => "disk_full",
            Self::Busy => "busy",
            Self::ChargeUnknown => "charge_unknown",
            Self::ChargeRefused => "charge_refused",
            Self::InsecureUrl => "insecure_url",
            Self::Certificate => "certificate",
            Self::UnsafeRedirect => "unsafe_redirect",
            Self::PrivateAddress => "private_address",
            Self::UnsafePartial => "unsafe_partial",
            Self::Interrupted => "interrupted",
        }
    }

    /// The process's exit code. An interrupt by SIGTERM is told apart by [`Error::exit_code`].
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Unexpected => 1,
            Self::Usage | Self::Config => 2,
            Self::CredentialsMissing | Self::CredentialsRejected => 3,
            Self::PaymentRequired | Self::Forbidden | Self::NotFound | Self::StorageDenied => 4,
            Self::Network
            | Self::Stalled
            | Self::RateLimited
            | Self::ProviderError
            | Self::StorageError
            | Self::Protocol
            | Self::UrlExpired
            | Self::ClockSkew => 5,
            Self::LengthMismatch | Self::DigestMismatch | Self::DocumentChanged => 6,
            Self::TargetExists | Self::LocalIo | Self::DiskFull | Self::Busy => 7,
            Self::ChargeUnknown | Self::ChargeRefused => 8,
            Self::InsecureUrl
            | Self::Certificate
            | Self::UnsafeRedirect
            | Self::PrivateAddress
            | Self::UnsafePartial => 9,
            Self::Interrupted => 130,
        }
    }

    /// Whether the same command may succeed when it is simply run again.
    fn retryable(self) -> bool {
        matches!(self.exit_code(), 5) || matches!(self, Self::Busy | Self::Interrupted)
    }

    /// Whether another attempt in the same run may succeed.
    fn transient(self) -> bool {
        matches!(
            self,
            Self::Network
                | Self::Stalled
                | Self::RateLimited
                | Self::ProviderError
                | Self::StorageError
        )
    }

    /// What to do next, where the place of the failure knows nothing better.
    fn hint(self) -> &'static str {
        match self {
            Self::Unexpected => "please report this, with the command and its -v output",
            Self::Usage => "see --help",
            Self::Config => "correct the setting and run again",
            Self::CredentialsMissing => "set the variables and run again",
            Self::CredentialsRejected => "check the credentials with the provider",
            Self::PaymentRequired => "ask the provider about your plan",
            Self::Forbidden => "ask its owner to share the document with this account",
            Self::NotFound => "check the id",
            Self::StorageDenied => "run again for a fresh URL; if it stays, tell the provider",
            Self::Network | Self::Stalled => "check the connection and run again",
            Self::RateLimited | Self::ProviderError | Self::StorageError => "run again later",
            Self::Protocol => "run again with -v; if it stays, tell the provider",
            Self::UrlExpired => "run again; if it stays, tell the provider",
            Self::ClockSkew => "tell the provider: the clock that signs its URLs is off",
            Self::LengthMismatch | Self::DocumentChanged => "run again",
            Self::DigestMismatch => "check the expected digest; if it is right, tell the provider",
            Self::TargetExists => "choose --if-exists skip, overwrite or rename",
            Self::LocalIo => "check the path and its permissions",
            Self::DiskFull => "free some room and run again",
            Self::Busy => "wait for the other process, or end it",
            Self::ChargeUnknown => "check with the provider before you run again",
            Self::ChargeRefused => "look at the bill; then --allow-recharge",
            Self::InsecureUrl => "use an https URL without credentials in it",
            Self::Certificate => "pass a private authority's certificate with --ca-cert",
            Self::UnsafeRedirect => "tell the provider",
            Self::PrivateAddress => "pass --allow-private if you trust this address",
            Self::UnsafePartial => "remove that file, or run again with --no-resume",
            Self::Interrupted => "run again to go on",
        }
    }
}

/// A failure: what failed, why, and what to do next, each one line.
///
/// None of its texts holds a secret or a presigned URL: whoever makes one sees to it.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{}", self.message())]
pub struct Error(Box<Parts>);

#[derive(Clone, Debug)]
#[allow(clippy::struct_excessive_bools, reason = "any of them can be set")]
struct Parts {
    code: Code,
    what: String,
    why: Option<String>,
    hint: Option<String>,
    http_status: Option<u16>,
    retry_after: Option<Duration>,
    exit_code: Option<u8>,
    permanent: bool,
    silent: bool,
    /// Whether the document was not taken up: it is counted, and not told as a failure.
    not_started: bool,
    /// What the machine was short of for a moment.
    passing: bool,
}

impl Error {
    /// A failure of kind `code`; `what` says in one line what failed.
    pub fn new(code: Code, what: impl Into<String>) -> Self {
        Self(Box::new(Parts {
            code,
            what: what.into(),
            why: None,
            hint: None,
            http_status: None,
            retry_after: None,
            exit_code: None,
            permanent: false,
            silent: false,
            not_started: false,
            passing: false,
        }))
    }

    /// Adds the cause.
    #[must_use]
    pub fn why(mut self, why: impl Into<String>) -> Self {
        self.0.why = Some(why.into());
        self
    }

    /// Replaces the usual hint of its code.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    /// Adds the HTTP status that told of it.
    #[must_use]
    pub fn http_status(mut self, status: u16) -> Self {
        self.0.http_status = Some(status);
        self
    }

    /// Adds how long the server asks to wait (RFC 9110 section 10.2.3).
    #[must_use]
    pub fn retry_after(mut self, wait: Option<Duration>) -> Self {
        self.0.retry_after = wait;
        self
    }

    /// Marks a failure that another attempt would only repeat.
    #[must_use]
    pub fn permanent(mut self) -> Self {
        self.0.permanent = true;
        self
    }

    /// Marks the error of a document that the batch does not take up any more.
    #[must_use]
    pub fn not_started(mut self) -> Self {
        self.0.not_started = true;
        self
    }

    /// Whether the batch did not take up the document.
    pub fn is_not_started(&self) -> bool {
        self.0.not_started
    }

    /// An interrupt by a signal: exit 128 plus its number.
    pub fn interrupted(signal: i32) -> Self {
        let mut error = Self::new(Code::Interrupted, "interrupted");
        error.0.exit_code = u8::try_from(128 + signal).ok();
        error
    }

    /// Standard output takes no more. A reader that went away early (`| head -1`) knows why: then
    /// nothing is said of it.
    pub fn stdout(error: &io::Error) -> Self {
        let mut report = Self::new(Code::LocalIo, "cannot write to standard output")
            .why(error.to_string())
            .hint("check the program or the file that takes it");
        report.0.silent = error.kind() == io::ErrorKind::BrokenPipe;
        report
    }

    /// A refusal of the file system about `path`; a full disk, quota or file size limit becomes
    /// [`Code::DiskFull`].
    pub fn io(what: &str, path: &Path, error: &io::Error) -> Self {
        let code = match error.kind() {
            io::ErrorKind::StorageFull
            | io::ErrorKind::QuotaExceeded
            | io::ErrorKind::FileTooLarge => Code::DiskFull,
            _ => Code::LocalIo,
        };
        let mut report =
            Self::new(code, format!("cannot {what} {}", path.display())).why(error.to_string());
        report.0.passing =
            Errno::from_io_error(error).is_some_and(|error| PASSING.contains(&error));
        report
    }

    /// Whether the file system might have done it a moment later, or with more open files: it says
    /// nothing about the place.
    pub fn is_passing(&self) -> bool {
        self.0.passing
    }

    /// Notes that it ended a row of attempts.
    #[must_use]
    pub fn gave_up(mut self, attempts: u32, elapsed: Duration) -> Self {
        if attempts > 1 {
            let note = format!(
                "gave up after {attempts} attempts in {:.1} s",
                elapsed.as_secs_f64()
            );
            self.0.why = Some(match self.0.why.take() {
                Some(why) => format!("{why}; {note}"),
                None => note,
            });
        }
        self
    }

    /// Whether there is nobody who wants to hear of it.
    pub fn is_silent(&self) -> bool {
        self.0.silent
    }

    /// Its kind.
    pub fn code(&self) -> Code {
        self.0.code
    }

    /// Whether the same command may succeed when it is simply run again: `retryable` in JSON.
    pub fn retryable(&self) -> bool {
        self.0.code.retryable() && !self.0.permanent
    }

    /// Whether another attempt in this run may succeed.
    pub fn transient(&self) -> bool {
        self.0.code.transient() && !self.0.permanent
    }

    /// What failed, one line.
    pub fn what(&self) -> &str {
        &self.0.what
    }

    /// Why, one line, where it is known.
    pub fn cause(&self) -> Option<&str> {
        self.0.why.as_deref()
    }

    /// Whether the place of the failure knew what to do next.
    pub fn has_own_hint(&self) -> bool {
        self.0.hint.is_some()
    }

    /// What to do next, one line.
    pub fn next_step(&self) -> &str {
        self.0.hint.as_deref().unwrap_or(self.0.code.hint())
    }

    /// What failed and why, on one line: the `message` of JSON records.
    pub fn message(&self) -> String {
        match &self.0.why {
            Some(why) => format!("{}: {why}", self.0.what),
            None => self.0.what.clone(),
        }
    }

    /// The HTTP status that told of it.
    pub fn status(&self) -> Option<u16> {
        self.0.http_status
    }

    /// How long the server asked to wait.
    pub fn wait(&self) -> Option<Duration> {
        self.0.retry_after
    }

    /// The exit code of a process that ends with it.
    pub fn exit_code(&self) -> u8 {
        self.0.exit_code.unwrap_or(self.0.code.exit_code())
    }
}
