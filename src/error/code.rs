//! What kinds of failures there are, and what follows from each kind.

/// The kind of a failure.
///
/// [`Code::as_str`] is the `code` of JSON records. Names and exit codes are stable, because scripts depend
/// on them. New kinds may be added.
///
/// ```
/// use docfetch::Code;
///
/// assert_eq!(Code::DiskFull.as_str(), "disk_full");
/// assert_eq!(Code::DiskFull.exit_code(), 7);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Code {
    /// docfetch met a condition that it does not handle: a bug. Exit 1.
    Unexpected,
    /// An argument or option is wrong. Exit 2.
    Usage,
    /// A setting or a configuration file is wrong. Exit 2.
    Config,
    /// No credential is set for the provider. Exit 3.
    CredentialsMissing,
    /// The provider rejects the credential (HTTP status 401). Exit 3.
    CredentialsRejected,
    /// The account's plan does not include this download (402). Exit 4.
    PaymentRequired,
    /// The account has no access to this document (403). Exit 4.
    Forbidden,
    /// The provider knows no document of this id (404, 410). Exit 4.
    NotFound,
    /// The provider's API refuses the request with another 4xx. Exit 4.
    RequestRefused,
    /// The storage refuses the presigned URL, and a new one does not help. Exit 4.
    StorageDenied,
    /// A name was not resolved, or a connection failed or broke. Exit 5.
    Network,
    /// A server sent no answer, or less than 1 KiB/s, for longer than `--stall-timeout`. Exit 5.
    Stalled,
    /// The provider asks docfetch to slow down (429). Exit 5.
    RateLimited,
    /// The service calls the document not ready for longer than `--wait`. Exit 5.
    NotReady,
    /// The provider's API fails (5xx and the like). Exit 5.
    ProviderError,
    /// The storage fails (5xx and the like). Exit 5.
    StorageError,
    /// An answer breaks the rules of HTTP or of the provider's API. Exit 5.
    Protocol,
    /// The presigned URL expired, and a new one did not help. Exit 5.
    UrlExpired,
    /// The storage says that the clock which signed the URL is wrong, or that the URL is not valid yet. Exit 5.
    ClockSkew,
    /// The document has fewer or more bytes than the server announced. Exit 6.
    LengthMismatch,
    /// The document's digest differs from the expected one. Exit 6.
    DigestMismatch,
    /// The document changed during the transfer and could not be fetched whole. Exit 6.
    DocumentChanged,
    /// The target file exists. Exit 7.
    TargetExists,
    /// The file system refuses an operation, for another reason than a full disk. Exit 7.
    LocalIo,
    /// The disk or quota is full, or a file size limit is reached. Exit 7.
    DiskFull,
    /// Another process uses the partial, or the record of the retrieval. Exit 7.
    Busy,
    /// A paid request was sent and not answered: it may have been charged. Exit 8.
    ChargeUnknown,
    /// The document would need another paid request, which the user has not allowed. Exit 8.
    ChargeRefused,
    /// A URL uses plain http, or holds credentials. Exit 9.
    InsecureUrl,
    /// The server's certificate is not trusted. Exit 9.
    Certificate,
    /// A server sent too many redirects, or a redirect that docfetch must not follow. Exit 9.
    UnsafeRedirect,
    /// The host has a private, loopback or link-local address, and the API's host has none. Exit 9.
    PrivateAddress,
    /// A file under the partial's name was not made by docfetch. Exit 9.
    UnsafePartial,
    /// A signal stopped docfetch: SIGINT (exit 130), SIGTERM (exit 143) or SIGHUP (exit 129).
    Interrupted,
}

impl Code {
    /// The code in JSON records, in snake case.
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
            Self::RequestRefused => "request_refused",
            Self::StorageDenied => "storage_denied",
            Self::Network => "network",
            Self::Stalled => "stalled",
            Self::RateLimited => "rate_limited",
            Self::NotReady => "not_ready",
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

    /// The exit code of a process that ends with this kind of failure. For [`Code::Interrupted`] the
    /// value is 130, that of SIGINT; [`Error::exit_code`](crate::Error::exit_code) knows the signal.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Unexpected => 1,
            Self::Usage | Self::Config => 2,
            Self::CredentialsMissing | Self::CredentialsRejected => 3,
            Self::PaymentRequired
            | Self::Forbidden
            | Self::NotFound
            | Self::RequestRefused
            | Self::StorageDenied => 4,
            Self::Network
            | Self::Stalled
            | Self::RateLimited
            | Self::NotReady
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

    /// Whether the same command may succeed in a later run.
    pub(super) fn retryable(self) -> bool {
        matches!(self.exit_code(), 5) || matches!(self, Self::Busy | Self::Interrupted)
    }

    /// Whether another attempt in the same run may succeed.
    pub(super) fn is_transient(self) -> bool {
        matches!(
            self,
            Self::Network
                | Self::Stalled
                | Self::RateLimited
                | Self::ProviderError
                | Self::StorageError
        )
    }

    /// What the user should do next, unless the error has a hint of its own.
    pub(super) fn usual_hint(self) -> &'static str {
        match self {
            Self::Unexpected => "please report this, with the command and its -v output",
            Self::Usage => "see --help",
            Self::Config => "correct the setting and run again",
            Self::CredentialsMissing => "set the variables and run again",
            Self::CredentialsRejected => "check the credentials with the provider",
            Self::PaymentRequired => "ask the provider about your plan",
            Self::Forbidden => "ask the document's owner to share it with this account",
            Self::NotFound => "check the id",
            Self::RequestRefused => {
                "check the id and the options; if they are right, tell the provider"
            }
            Self::StorageDenied => "run again for a new URL; if that fails too, tell the provider",
            Self::Network | Self::Stalled => "check the connection and run again",
            Self::RateLimited | Self::NotReady | Self::ProviderError | Self::StorageError => {
                "run again later"
            }
            Self::Protocol => "run again with -v; if that fails too, tell the provider",
            Self::UrlExpired => "run again; if that fails too, tell the provider",
            Self::ClockSkew => "tell the provider: the clock that signs its URLs is wrong",
            Self::LengthMismatch | Self::DocumentChanged => "run again",
            Self::DigestMismatch => "check the expected digest; if it is right, tell the provider",
            Self::TargetExists => "choose --if-exists skip, overwrite or rename",
            Self::LocalIo => "check the path and its permissions",
            Self::DiskFull => "free disk space and run again",
            Self::Busy => "wait for the other process, or end it",
            Self::ChargeUnknown => "check with the provider before you run again",
            Self::ChargeRefused => "check the provider's bill, then pass --allow-recharge",
            Self::InsecureUrl => "use an https URL without credentials in it",
            Self::Certificate => "pass a private authority's certificate with --ca-cert",
            Self::UnsafeRedirect => "tell the provider",
            Self::PrivateAddress => "pass --allow-private if you trust this address",
            Self::UnsafePartial => "remove that file, or run again with --no-resume",
            Self::Interrupted => "run again to continue",
        }
    }
}
