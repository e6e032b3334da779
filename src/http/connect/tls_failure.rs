//! TLS errors in words.

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

/// Why a certificate is not trusted, and what the user should do.
pub(crate) fn explain_certificate(why: &CertificateError) -> (String, &'static str) {
    const CLOCK: &str = "set this machine's clock if it is wrong; else tell the provider";
    const ADDRESS: &str = "check the address; if it is right, tell the provider";
    const AUTHORITY: &str = "pass a private authority's certificate with --ca-cert";
    let (why, hint) = match why {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            ("it has expired", CLOCK)
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            ("it is not valid yet", CLOCK)
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            ("it is for another host", ADDRESS)
        }
        CertificateError::UnknownIssuer => ("no trusted authority issued it", AUTHORITY),
        CertificateError::Revoked => ("it was revoked", ADDRESS),
        CertificateError::BadSignature => ("its signature is wrong", AUTHORITY),
        CertificateError::BadEncoding => ("it is malformed", ADDRESS),
        CertificateError::UnhandledCriticalExtension => (
            "it has a critical extension that docfetch does not know",
            ADDRESS,
        ),
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            ("it is not a certificate for servers", ADDRESS)
        }
        CertificateError::UnsupportedSignatureAlgorithmContext { .. }
        | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => {
            ("docfetch does not accept its signature algorithm", ADDRESS)
        }
        CertificateError::Other(other) => return explain_other(&other.0.to_string()),
        other => return explain_other(&format!("{other:?}")),
    };
    (why.to_owned(), hint)
}

/// Explains an error that rustls passes on from webpki, by its name.
fn explain_other(name: &str) -> (String, &'static str) {
    const ADDRESS: &str = "check the address; if it is right, tell the provider";
    const VERSION: &str = "replace it by a certificate of X.509 version 3";
    const ITSELF: &str = "pass that same certificate with --ca-cert if you trust it";
    match name {
        "CaUsedAsEndEntity" => (
            "it is an authority's certificate, not a server's".to_owned(),
            ITSELF,
        ),
        "UnsupportedCertVersion" => ("it is not of X.509 version 3".to_owned(), VERSION),
        other => (words(other), ADDRESS),
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
