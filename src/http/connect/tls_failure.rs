//! TLS errors in words.

use crate::text::printable;
use jiff::Timestamp;
use rustls::pki_types::UnixTime;
use rustls::{AlertDescription, CertificateError, InvalidMessage, PeerIncompatible};

/// Why a TLS connection failed, for every cause but an untrusted certificate.
pub(crate) fn explain(error: &rustls::Error) -> String {
    use rustls::Error as Tls;
    match error {
        Tls::InvalidMessage(InvalidMessage::InvalidContentType) => {
            "the server does not speak TLS on this port".to_owned()
        }
        Tls::InvalidMessage(why) => breach(&format!("{why:?}")),
        Tls::PeerMisbehaved(why) => breach(&format!("{why:?}")),
        Tls::PeerIncompatible(why) => explain_incompatible(why),
        Tls::AlertReceived(alert) => explain_alert(*alert),
        Tls::NoCertificatesPresented => "the server sent no certificate".to_owned(),
        Tls::NoApplicationProtocol => "the server speaks no version of HTTP here".to_owned(),
        Tls::InappropriateMessage { .. } | Tls::InappropriateHandshakeMessage { .. } => {
            "the server sent a TLS message at the wrong time".to_owned()
        }
        Tls::PeerSentOversizedRecord => "the server sent a TLS record that is too long".to_owned(),
        Tls::DecryptError => "a TLS record was changed on the way".to_owned(),
        Tls::FailedToGetCurrentTime => "this machine has no clock".to_owned(),
        Tls::FailedToGetRandomBytes => "this machine has no random numbers".to_owned(),
        other => format!("TLS failed: {}", words(&format!("{other:?}"))),
    }
}

fn breach(name: &str) -> String {
    format!("the server breaks the rules of TLS: {}", words(name))
}

fn explain_incompatible(why: &PeerIncompatible) -> String {
    match why {
        PeerIncompatible::ServerDoesNotSupportTls12Or13
        | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig => {
            "the server has neither TLS 1.2 nor TLS 1.3".to_owned()
        }
        other => format!(
            "the server and docfetch have no common TLS settings: {}",
            words(&format!("{other:?}"))
        ),
    }
}

fn explain_alert(alert: AlertDescription) -> String {
    match alert {
        AlertDescription::ProtocolVersion => {
            "the server has neither TLS 1.2 nor TLS 1.3".to_owned()
        }
        AlertDescription::HandshakeFailure | AlertDescription::InsufficientSecurity => {
            "the server and docfetch have no common TLS settings".to_owned()
        }
        AlertDescription::UnrecognisedName => "the server does not know the host name".to_owned(),
        AlertDescription::CertificateRequired => {
            "the server requires a client certificate, and docfetch has none".to_owned()
        }
        other => format!(
            "the server ended the TLS handshake with the alert {:?}",
            words(&format!("{other:?}"))
        ),
    }
}

/// How many names of a certificate are shown.
const MAX_SHOWN_NAMES: usize = 3;
/// How many characters of such a name are shown.
const MAX_NAME_CHARACTERS: usize = 80;

/// What the user should do about a certificate that is not trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CertificateRemedy {
    /// Set the clock of this machine.
    Clock,
    /// Check the address.
    Address,
    /// Trust the authority that issued the certificate.
    Authority,
    /// Trust the certificate itself.
    Itself,
    /// Replace the certificate by one of X.509 version 3.
    Version,
}

impl CertificateRemedy {
    /// The hint about the certificate of a server.
    pub(crate) fn hint_for_server(self) -> &'static str {
        match self {
            Self::Clock => "set this machine's clock if it is wrong; else tell the provider",
            Self::Address => "check the address; if it is right, tell the provider",
            Self::Authority => {
                "if you trust the server, pass the certificate of the authority that issued it with --ca-cert; \
                 a proxy of your network may have an authority of its own"
            }
            Self::Itself => "if you trust the server, pass this same certificate with --ca-cert",
            Self::Version => "replace it by a certificate of X.509 version 3",
        }
    }

    /// The hint about the certificate of a proxy.
    pub(crate) fn hint_for_proxy(self) -> &'static str {
        match self {
            Self::Clock => {
                "set this machine's clock if it is wrong; else tell the administrator of the proxy"
            }
            Self::Address => {
                "check the address; if it is right, tell the administrator of the proxy"
            }
            Self::Authority => {
                "if you trust the proxy, pass the certificate of the authority that issued it with --ca-cert"
            }
            Self::Itself => "if you trust the proxy, pass this same certificate with --ca-cert",
            Self::Version => self.hint_for_server(),
        }
    }
}

/// Why a certificate is not trusted, and what the user should do.
pub(crate) fn explain_certificate(why: &CertificateError) -> (String, CertificateRemedy) {
    use CertificateRemedy::{Address, Authority, Clock};
    let (why, remedy) = match why {
        CertificateError::ExpiredContext { time, not_after } => {
            let dates = dates("expired on", *not_after, *time);
            return (dates, Clock);
        }
        CertificateError::NotValidYetContext { time, not_before } => {
            let dates = dates("is valid only from", *not_before, *time);
            return (dates, Clock);
        }
        CertificateError::NotValidForNameContext { presented, .. } => {
            return (of_other_hosts(presented), Address);
        }
        CertificateError::Expired => ("it has expired", Clock),
        CertificateError::NotValidYet => ("it is not valid yet", Clock),
        CertificateError::NotValidForName => ("it is for another host", Address),
        CertificateError::UnknownIssuer => (
            "no trusted authority issued it: it is self-signed, or a private authority issued it",
            Authority,
        ),
        CertificateError::Revoked => ("it was revoked", Address),
        // The authority that the certificate names has another key, or one of another kind.
        CertificateError::BadSignature
        | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => (
            "the trusted authority that it names did not sign it",
            Authority,
        ),
        CertificateError::BadEncoding => ("it is malformed", Address),
        CertificateError::UnhandledCriticalExtension => (
            "it has a critical extension that docfetch does not know",
            Address,
        ),
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            ("it is not a certificate for servers", Address)
        }
        CertificateError::UnsupportedSignatureAlgorithmContext { .. } => {
            ("docfetch does not accept its signature algorithm", Address)
        }
        CertificateError::Other(other) => return explain_other(&other.0.to_string()),
        other => return explain_other(&format!("{other:?}")),
    };
    (why.to_owned(), remedy)
}

/// A time at which a certificate begins or ends, beside the time of this machine's clock.
fn dates(begin_or_end: &str, limit: UnixTime, now: UnixTime) -> String {
    let shown = |time: UnixTime| {
        let seconds = i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
        Timestamp::from_second(seconds).unwrap_or(Timestamp::MAX)
    };
    let (limit, now) = (shown(limit), shown(now));
    format!("it {begin_or_end} {limit}; this machine's clock says {now}")
}

/// The names of a certificate for other hosts. webpki writes them as `DnsName("name")` and `IpAddress(address)`.
fn of_other_hosts(presented: &[String]) -> String {
    let names = presented.iter().filter_map(|presented| {
        let (kind, name) = presented.strip_suffix(')')?.split_once('(')?;
        let is_host = matches!(kind, "DnsName" | "IpAddress");
        let name: String = name
            .trim_matches('"')
            .chars()
            .take(MAX_NAME_CHARACTERS)
            .collect();
        is_host.then(|| printable(&name).into_owned())
    });
    let mut names: Vec<String> = names.collect();
    if names.is_empty() {
        return "it has no host name".to_owned();
    }
    let others = names.len().saturating_sub(MAX_SHOWN_NAMES);
    names.truncate(MAX_SHOWN_NAMES);
    let more = match others {
        0 => String::new(),
        others => format!(" and {others} more"),
    };
    format!("it is for another host: {}{more}", names.join(", "))
}

/// Explains an error that rustls passes on from webpki, by its name.
fn explain_other(name: &str) -> (String, CertificateRemedy) {
    match name {
        "CaUsedAsEndEntity" => (
            "it is marked as an authority's certificate, as many self-signed ones are".to_owned(),
            CertificateRemedy::Itself,
        ),
        "UnsupportedCertVersion" => (
            "it is not of X.509 version 3".to_owned(),
            CertificateRemedy::Version,
        ),
        other => (words(other), CertificateRemedy::Address),
    }
}

/// The name of a variant as words: `MissingKeyShare` is "missing key share".
fn words(name: &str) -> String {
    let end = name.find(|c: char| !c.is_ascii_alphanumeric());
    let (mut text, mut is_inside) = (String::new(), false);
    for c in name[..end.unwrap_or(name.len())].chars() {
        if c.is_ascii_uppercase() && is_inside {
            text.push(' ');
        }
        is_inside = c.is_ascii_lowercase();
        text.push(c.to_ascii_lowercase());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::PeerMisbehaved;

    #[test]
    fn no_error_shows_the_name_of_a_rust_type() {
        let certificate = |why: CertificateError| explain_certificate(&why).0;
        let other = |name: &'static str| explain_other(name).0;
        for (text, expected) in [
            (
                explain(&InvalidMessage::InvalidContentType.into()),
                "the server does not speak TLS on this port",
            ),
            (
                explain(&InvalidMessage::MissingData("x").into()),
                "the server breaks the rules of TLS: missing data",
            ),
            (
                explain(&PeerMisbehaved::MissingKeyShare.into()),
                "the server breaks the rules of TLS: missing key share",
            ),
            (
                explain(&PeerIncompatible::NoKxGroupsInCommon.into()),
                "the server and docfetch have no common TLS settings: no kx groups in common",
            ),
            (
                explain(&rustls::Error::AlertReceived(
                    AlertDescription::ProtocolVersion,
                )),
                "the server has neither TLS 1.2 nor TLS 1.3",
            ),
            (
                explain(&rustls::Error::AlertReceived(AlertDescription::UnknownCA)),
                "the server ended the TLS handshake with the alert \"unknown ca\"",
            ),
            (
                explain(&rustls::Error::General("Some(Thing)".into())),
                "TLS failed: general",
            ),
            (
                certificate(CertificateError::BadEncoding),
                "it is malformed",
            ),
            (
                certificate(CertificateError::UnknownRevocationStatus),
                "unknown revocation status",
            ),
            (
                other("UnsupportedCertVersion"),
                "it is not of X.509 version 3",
            ),
            (other("TrailingData(Certificate)"), "trailing data"),
        ] {
            assert_eq!(text, expected);
        }
    }
}
