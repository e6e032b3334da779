//! Which servers docfetch trusts, and the TLS settings of every connection.

use super::given_certificates::GivenCertificates;
use super::tls_failure;
use crate::config::settings::RootCertificates;
use crate::config::variables;
use crate::error::{Code, Error, Result, system_text};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::RootCertStore;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use std::path::Path;
use std::sync::Arc;

/// Files in which Linux distributions keep all trusted certificates.
const CERTIFICATE_BUNDLES: [&str; 5] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// The option that names a file of further certificates.
const CA_CERT: &str = "--ca-cert";

/// The cipher suites of rustls in another order of preference: AES with 128 bits first, as in browsers. The
/// SHA-384 of the other suites took a twelfth of the instructions of a small document.
fn crypto_provider() -> CryptoProvider {
    use rustls::CipherSuite::{
        TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
        TLS13_AES_128_GCM_SHA256,
    };
    let mut provider = rustls::crypto::ring::default_provider();
    provider.cipher_suites.sort_by_key(|suite| {
        let is_fast = matches!(
            suite.suite(),
            TLS13_AES_128_GCM_SHA256
                | TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
                | TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256
        );
        (suite.tls13().is_none(), !is_fast)
    });
    provider
}

/// The TLS settings of all clients. They trust the root certificates of the settings, or else those of the
/// system, and in addition those of `ca_cert`.
///
/// Where the system has no bundle of certificates, the platform's verifier decides. It is several times
/// slower.
///
/// # Errors
/// [`Code::Config`] when a file of certificates cannot be used; [`Code::LocalIo`] when no more files may be open.
pub(crate) fn client_config(
    ca_cert: Option<&Path>,
    roots: &RootCertificates,
) -> Result<rustls::ClientConfig> {
    let provider = Arc::new(crypto_provider());
    let builder = rustls::ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| unusable_tls(&error))?;
    let extra = match ca_cert {
        Some(path) => read_pem(path, CA_CERT)?,
        None => Vec::new(),
    };
    let mut given = match &roots.file {
        Some(file) => read_pem(file, variables::SSL_CERT_FILE)?,
        None => Vec::new(),
    };
    let trusted = trusted_roots(roots, &given)?;
    if let (Some(trusted), true) = (&trusted, given.is_empty() && extra.is_empty()) {
        let trusted = Arc::clone(trusted);
        return Ok(builder
            .with_root_certificates(trusted)
            .with_no_client_auth());
    }
    let verifier = match trusted {
        Some(mut trusted) => {
            for certificate in &extra {
                let added = Arc::make_mut(&mut trusted).add(certificate.clone());
                added.map_err(|error| unusable_certificate(&error, ca_cert))?;
            }
            let verifier = WebPkiServerVerifier::builder_with_provider(trusted, provider);
            verifier.build().map_err(|_| no_usable_certificate(roots))?
        }
        None => platform_verifier(extra.clone(), provider)?,
    };
    given.extend(extra);
    Ok(builder
        .dangerous() // the name that rustls gives to every verifier but its own
        .with_custom_certificate_verifier(GivenCertificates::new(given, verifier))
        .with_no_client_auth())
}

/// The error of a certificate of `--ca-cert`.
fn unusable_certificate(error: &rustls::Error, ca_cert: Option<&Path>) -> Error {
    let path = ca_cert.unwrap_or(Path::new(CA_CERT)).display();
    let why = match error {
        rustls::Error::InvalidCertificate(why) => tls_failure::explain_certificate(why).0,
        other => tls_failure::explain(other),
    };
    let what = format!("cannot use a certificate of {path} ({CA_CERT})");
    Error::new(Code::Config, what).with_cause(why)
}

fn no_usable_certificate(roots: &RootCertificates) -> Error {
    let file = roots.file.iter().map(|file| file.display().to_string());
    let folders = roots
        .folders
        .iter()
        .map(|folder| folder.display().to_string());
    let places: Vec<String> = file.chain(folders).collect();
    let what = format!("no certificate of {} can be used", places.join(", "));
    Error::new(Code::Config, what)
        .with_cause("docfetch trusts only authorities whose certificate is of X.509 version 3")
}

fn platform_verifier(
    extra: Vec<CertificateDer<'static>>,
    provider: Arc<CryptoProvider>,
) -> Result<Arc<dyn ServerCertVerifier>> {
    rustls_platform_verifier::Verifier::new_with_extra_roots(extra, provider)
        .map(|verifier| Arc::new(verifier) as Arc<dyn ServerCertVerifier>)
        .map_err(|error| unusable_tls(&error))
}

fn unusable_tls(error: &rustls::Error) -> Error {
    Error::new(Code::Config, "cannot find out which certificates to trust")
        .with_cause(error.to_string())
}

/// The root certificates of the settings, of which `file` are those of the file, or else those of the
/// distribution's bundle. `None` when there is neither.
fn trusted_roots(
    settings: &RootCertificates,
    file: &[CertificateDer<'static>],
) -> Result<Option<Arc<RootCertStore>>> {
    let mut found = Vec::new();
    for folder in &settings.folders {
        let files = std::fs::read_dir(folder).into_iter().flatten().flatten();
        for file in files.filter(|file| file.path().is_file()) {
            // Such a folder also holds files that are no certificates.
            found.extend(read_pem(&file.path(), variables::SSL_CERT_DIR).unwrap_or_default());
        }
    }
    if *settings == RootCertificates::default() {
        let bundle = CERTIFICATE_BUNDLES
            .iter()
            .map(Path::new)
            .find(|path| path.is_file());
        let Some(bundle) = bundle.filter(|_| cfg!(target_os = "linux")) else {
            return Ok(None);
        };
        found = read_pem(bundle, "the system's certificate bundle")?;
    }
    let mut roots = RootCertStore::empty();
    let file = file.iter().map(|der| CertificateDer::from_slice(der));
    roots.add_parsable_certificates(file.chain(found));
    Ok(Some(Arc::new(roots)))
}

fn read_pem(path: &Path, setting: &str) -> Result<Vec<CertificateDer<'static>>> {
    let what = format!(
        "cannot read certificates from {} ({setting})",
        path.display()
    );
    let unusable = |why: String| Error::new(Code::Config, &*what).with_cause(why);
    let pem = std::fs::read(path).map_err(|error| {
        let shortage = Error::shortage(&what, &error);
        shortage.unwrap_or_else(|| unusable(system_text(&error)))
    })?;
    let certificates = match read_simple_pem(&pem) {
        Some(certificates) => certificates,
        None => CertificateDer::pem_slice_iter(&pem)
            .collect::<Result<_, _>>()
            .map_err(|error| unusable(error.to_string()))?,
    };
    if certificates.is_empty() {
        return Err(unusable("it holds no PEM certificate".into()));
    }
    Ok(certificates)
}

/// The certificates of a PEM file (RFC 7468) that has only `CERTIFICATE` blocks and ends each line with LF;
/// `None` for every other file, which rustls must parse.
///
/// rustls parses byte by byte. For a bundle of a hundred certificates that took half of the instructions of
/// a small document.
fn read_simple_pem(pem: &[u8]) -> Option<Vec<CertificateDer<'static>>> {
    const BEGIN: &str = "-----BEGIN ";
    const CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----\n";
    const END: &str = "-----END CERTIFICATE-----";
    let mut rest = std::str::from_utf8(pem).ok()?;
    let (mut certificates, mut text) = (Vec::new(), String::new());
    while let Some(dash) = rest.find('-') {
        rest = &rest[dash..];
        let Some(block) = rest.strip_prefix(CERTIFICATE) else {
            if rest.starts_with(BEGIN) {
                return None;
            }
            rest = &rest[1..];
            continue;
        };
        let (body, end) = block.split_at(block.find('-')?); // base64 has no dash
        rest = end.strip_prefix(END)?;
        text.clear();
        body.split('\n').for_each(|line| text.push_str(line));
        certificates.push(CertificateDer::from(STANDARD.decode(&text).ok()?));
    }
    (!certificates.is_empty()).then_some(certificates)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn by_rustls(pem: &[u8]) -> Vec<CertificateDer<'static>> {
        CertificateDer::pem_slice_iter(pem)
            .map(Result::unwrap)
            .collect()
    }

    #[test]
    fn simple_pem_is_read_as_rustls_reads_it() {
        let block = |content: &str| {
            format!("-----BEGIN CERTIFICATE-----\n{content}\n-----END CERTIFICATE-----\n")
        };
        let two = format!(
            "# one\n{}\n# and two\n{}",
            block("AAEC\nAwQ="),
            block("BQY=")
        );
        let read = read_simple_pem(two.as_bytes()).unwrap();
        assert_eq!(read, by_rustls(two.as_bytes()));
        assert_eq!(read.len(), 2);
        let bundle = CERTIFICATE_BUNDLES
            .iter()
            .find_map(|path| std::fs::read(path).ok());
        if let Some(bundle) = bundle {
            assert_eq!(read_simple_pem(&bundle).unwrap(), by_rustls(&bundle));
        }
        // Every other file is left to rustls.
        let windows = two.replace('\n', "\r\n") + &two;
        for other in [
            windows.as_str(),
            "",
            &block("AAEC AwQ="),
            &block("A"),
            &two[..two.len() - 9],
        ] {
            assert_eq!(read_simple_pem(other.as_bytes()), None, "{other:?}");
        }
    }
}
