//! The three HTTP clients, because their rules differ.
//!
//! | client | redirects | connections | carries |
//! | --- | --- | --- | --- |
//! | api | by hand | kept, HTTP/2 where offered | the credential |
//! | charged | by hand | one, through a gate; used again only at once ([`crate::http::connect::idle`]), HTTP/1.1 | the credential |
//! | storage | by hand | kept, HTTP/1.1 | no credential, cookie or Referer |
//!
//! None repeats a request of which a byte may have left: the library would, after a connection that it
//! took from its pool turned out dead, and that is a second charge. (What was still in its hands when a
//! pooled connection turned out closed goes out on another one.)

use crate::config::settings::{Connection, ProxySettings, RootCertificates};
use crate::config::variables;
use crate::error::{Code, Error, Result};
use crate::http::connect::addresses::{Policy, Scheme, is_localhost, is_loopback};
use crate::http::connect::connector::{ConnectHook, Direct, HookLayer};
use crate::http::connect::gate::Gate;
use crate::http::connect::preconnect::Spare;
use crate::secret::{PLACEHOLDER, Secret};
use crate::state::blocking;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper_util::client::proxy::matcher::Matcher;
use percent_encoding::percent_decode_str;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::{Client, ClientBuilder, Proxy, redirect, retry};
use rustls::RootCertStore;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs as _};
use std::path::Path;
use std::sync::Arc;
use url::Url;

/// How many bytes a server may send on one HTTP/2 stream before it is told to go on.
const STREAM_WINDOW: u32 = 8 << 20;

/// Which of the three.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Channel {
    /// Free requests to the API.
    Api,
    /// Requests that may cost money.
    Charged,
    /// Requests to presigned URLs.
    Storage,
}

/// Makes the clients; what they share is read once.
#[derive(Debug)]
pub(crate) struct Clients {
    tls: rustls::ClientConfig,
    proxies: Arc<Proxies>,
    policy: Arc<Policy>,
    settings: Connection,
}

impl Clients {
    /// Reads certificates and proxies, for an API at `base`.
    ///
    /// # Errors
    /// [`Code::Config`] when a certificate file or a proxy cannot be used.
    pub(crate) fn new(settings: &Connection, base: &Url) -> Result<(Self, Arc<Policy>)> {
        let proxies = Proxies::new(&settings.proxies)?;
        let policy = Policy::new(base, settings.allow_private, proxies.hosts());
        let policy = Arc::new(policy);
        let clients = Self {
            tls: tls(settings.ca_cert.as_deref(), &settings.roots)?,
            proxies: Arc::new(proxies),
            policy: Arc::clone(&policy),
            settings: settings.clone(),
        };
        Ok((clients, policy))
    }

    /// A client with the rules of `channel`, to be used for many requests to URLs of one scheme.
    ///
    /// # Errors
    /// [`Code::Unexpected`] when the library cannot make it.
    pub(crate) fn client(&self, channel: Channel, scheme: Scheme) -> Result<Client> {
        build(self.builder(channel, scheme, Direct))
    }

    /// A client for requests that may cost money, one at a time; its connections stop at `gate`.
    ///
    /// # Errors
    /// [`Code::Unexpected`] when the library cannot make it.
    pub(crate) fn charged(&self, gate: &Gate, scheme: Scheme) -> Result<Client> {
        build(self.builder(Channel::Charged, scheme, gate.clone()))
    }

    /// Refuses plain http to a name through a proxy: only the proxy learns the address.
    ///
    /// # Errors
    /// [`Code::InsecureUrl`].
    pub(crate) fn check(&self, url: &Url) -> Result<()> {
        let is_name = url.domain().is_some();
        if url.scheme() != "http" || !is_name || self.proxies.for_url(url).is_none() {
            return Ok(());
        }
        let host = url.host_str().unwrap_or_default();
        let what = format!("refused plain http to {host} through a proxy");
        Err(Error::new(Code::InsecureUrl, what)
            .with_cause("the proxy resolves the name, so that the address may be public")
            .with_hint("use https, or name the host in NO_PROXY"))
    }

    /// A client for one storage, whose first connection is `spare`; none where a proxy is in between.
    pub(crate) fn ahead(&self, origin: &Url, spare: &Spare) -> Option<Client> {
        if self.proxies.for_url(origin).is_some() {
            return None;
        }
        let scheme = Scheme::of(origin);
        build(self.builder(Channel::Storage, scheme, spare.clone())).ok()
    }

    fn builder<W>(&self, channel: Channel, scheme: Scheme, hook: W) -> ClientBuilder
    where
        W: ConnectHook + Send + Sync + 'static,
    {
        let mut tls = self.tls.clone();
        tls.alpn_protocols = match channel {
            Channel::Api => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
            Channel::Charged | Channel::Storage => vec![b"http/1.1".to_vec()],
        };
        let proxies = Arc::clone(&self.proxies);
        let mut builder = ClientBuilder::new()
            .tls_backend_preconfigured(tls)
            .user_agent(concat!("docfetch/", env!("CARGO_PKG_VERSION")))
            .redirect(redirect::Policy::none())
            .referer(false)
            .retry(retry::never())
            .connector_layer(HookLayer(hook, self.settings.connect_timeout))
            .dns_resolver(Arc::new(Resolver(Arc::clone(&self.policy), scheme)))
            .no_proxy()
            .proxy(Proxy::custom(move |url| proxies.for_url(url)))
            .tcp_nodelay(true);
        builder = if channel == Channel::Api {
            // Small windows would make a listing wait for the round trips of its own acknowledgements.
            builder
                .http2_initial_stream_window_size(STREAM_WINDOW)
                .http2_initial_connection_window_size(2 * STREAM_WINDOW)
        } else {
            builder.http1_only()
        };
        if channel == Channel::Charged {
            builder = builder.pool_max_idle_per_host(1);
        }
        if channel == Channel::Storage {
            // A name with raw control characters must not make a document unreachable.
            builder = builder.http1_ignore_invalid_headers_in_responses(true);
        }
        builder
    }
}

fn build(builder: ClientBuilder) -> Result<Client> {
    builder.build().map_err(|_| {
        Error::new(Code::Unexpected, "cannot make an HTTP client")
            .with_cause("the TLS settings were not taken")
    })
}

/// Resolves names with the system's resolver and lets the policy judge the addresses.
struct Resolver(Arc<Policy>, Scheme);

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let (policy, scheme) = (Arc::clone(&self.0), self.1);
        Box::pin(async move {
            let name = name.as_str().to_owned();
            let found = if is_localhost(&name) {
                // RFC 6761 section 6.3: always this machine, nobody need be asked.
                [
                    IpAddr::from(Ipv4Addr::LOCALHOST),
                    Ipv6Addr::LOCALHOST.into(),
                ]
                .map(|address| SocketAddr::new(address, 0))
                .to_vec()
            } else {
                let asked = name.clone();
                let resolving = move || (asked.as_str(), 0).to_socket_addrs();
                blocking::run(resolving).await?.collect()
            };
            let admitted = policy.admit((&name, scheme), found, SocketAddr::ip)?;
            Ok(Box::new(admitted.into_iter()) as Addrs)
        })
    }
}

/// Which proxy a URL goes through: `--proxy`, else the environment's, as curl reads it. Loopback
/// never does.
struct Proxies {
    http: Option<Url>,
    https: Option<Url>,
    /// Answers for every URL that `NO_PROXY` does not exempt.
    not_exempt: Matcher,
}

impl std::fmt::Debug for Proxies {
    /// A proxy's URL can hold a password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(PLACEHOLDER)
    }
}

impl Proxies {
    fn new(settings: &ProxySettings) -> Result<Self> {
        let of = |proxy: &Option<Secret>| {
            let proxy = proxy.as_ref().map(|proxy| parse_proxy(proxy.expose()));
            proxy.transpose()
        };
        Ok(Self {
            http: of(&settings.http)?,
            https: of(&settings.https)?,
            not_exempt: Matcher::builder()
                .all("http://proxy.invalid")
                .no(settings.no_proxy.as_str())
                .build(),
        })
    }

    fn for_url(&self, url: &Url) -> Option<Url> {
        let proxy = match url.scheme() {
            "http" => self.http.as_ref(),
            _ => self.https.as_ref(),
        }?;
        let uri = url.as_str().parse().ok()?;
        let exempt = is_loopback(url) || self.not_exempt.intercept(&uri).is_none();
        (!exempt).then(|| proxy.clone())
    }

    fn hosts(&self) -> Vec<String> {
        [&self.http, &self.https]
            .into_iter()
            .flatten()
            .filter_map(|proxy| proxy.host_str().map(str::to_owned))
            .collect()
    }
}

/// A proxy as users write it: a URL, or host and port.
///
/// # Errors
/// [`Code::Config`] when it is neither. The text is not repeated: it can hold a password.
fn parse_proxy(text: &str) -> Result<Url> {
    let full = if text.contains("://") {
        text.to_owned()
    } else {
        format!("http://{text}")
    };
    let url = Url::parse(&full)
        .ok()
        .filter(|url| url.has_host() && matches!(url.scheme(), "http" | "https"));
    if let Some(password) = url.as_ref().and_then(Url::password) {
        Secret::new(percent_decode_str(password).decode_utf8_lossy());
    }
    url.ok_or_else(|| {
        Error::new(
            Code::Config,
            "--proxy, or the proxy of the environment, cannot be used",
        )
        .with_cause("it must be an http or https URL, or a host and a port")
    })
}

/// Where Linux distributions keep all trusted certificates in one file.
const BUNDLES: [&str; 5] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// The library's cipher suites, those that cost least first: browsers, too, offer AES with 128 bits
/// before 256. Its other hash (SHA-384) was a twelfth of the instructions of a small document.
fn cryptography() -> CryptoProvider {
    use rustls::CipherSuite::{
        TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
        TLS13_AES_128_GCM_SHA256,
    };
    let mut provider = rustls::crypto::ring::default_provider();
    provider.cipher_suites.sort_by_key(|suite| {
        let cheap = matches!(
            suite.suite(),
            TLS13_AES_128_GCM_SHA256
                | TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
                | TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256
        );
        (suite.tls13().is_none(), !cheap)
    });
    provider
}

/// One PEM bundle read once is several times faster than the platform's verifier; where there is no
/// bundle, the platform's verifier decides.
fn tls(ca_cert: Option<&Path>, roots: &RootCertificates) -> Result<rustls::ClientConfig> {
    let provider = Arc::new(cryptography());
    let extra = match ca_cert {
        Some(path) => read_pem(path, "--ca-cert")?,
        None => Vec::new(),
    };
    let builder = rustls::ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| unusable_tls(&error))?;
    let Some(mut roots) = trusted_roots(roots)? else {
        return Ok(builder
            .dangerous() // the library's word for any verifier of one's own choice
            .with_custom_certificate_verifier(platform_verifier(extra, provider)?)
            .with_no_client_auth());
    };
    for certificate in extra {
        roots.add(certificate).map_err(|error| {
            Error::new(Code::Config, "a certificate of --ca-cert cannot be used")
                .with_cause(error.to_string())
        })?;
    }
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
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

/// The certificates that the settings name, else those of the distribution's bundle; none
/// where there is no bundle.
fn trusted_roots(settings: &RootCertificates) -> Result<Option<RootCertStore>> {
    let mut found = Vec::new();
    if let Some(file) = &settings.file {
        found.extend(read_pem(file, variables::SSL_CERT_FILE)?);
    }
    for folder in &settings.folders {
        let files = std::fs::read_dir(folder).into_iter().flatten().flatten();
        for file in files.filter(|file| file.path().is_file()) {
            // A folder of certificates holds other files, too.
            found.extend(read_pem(&file.path(), variables::SSL_CERT_DIR).unwrap_or_default());
        }
    }
    if *settings == RootCertificates::default() {
        let bundle = BUNDLES.iter().map(Path::new).find(|path| path.is_file());
        let Some(bundle) = bundle.filter(|_| cfg!(target_os = "linux")) else {
            return Ok(None);
        };
        found = read_pem(bundle, "the system's certificate bundle")?;
    }
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found);
    Ok(Some(roots))
}

fn read_pem(path: &Path, setting: &str) -> Result<Vec<CertificateDer<'static>>> {
    let unusable = |why: String| {
        Error::new(
            Code::Config,
            format!(
                "cannot read certificates from {} ({setting})",
                path.display()
            ),
        )
        .with_cause(why)
    };
    let pem = std::fs::read(path).map_err(|error| unusable(error.to_string()))?;
    let certificates = match read_quickly(&pem) {
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

/// The certificates of a file in plain PEM; none where it is anything but plain, which is the
/// library's to read. That goes from byte to byte: for a bundle of a hundred certificates it took half
/// of the instructions of a small document.
fn read_quickly(pem: &[u8]) -> Option<Vec<CertificateDer<'static>>> {
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
        let (body, end) = block.split_at(block.find('-')?); // no letter of base64
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

    fn by_the_library(pem: &[u8]) -> Vec<CertificateDer<'static>> {
        CertificateDer::pem_slice_iter(pem)
            .map(Result::unwrap)
            .collect()
    }

    #[test]
    fn plain_pem_is_read_as_the_library_reads_it() {
        let block = |content: &str| {
            format!("-----BEGIN CERTIFICATE-----\n{content}\n-----END CERTIFICATE-----\n")
        };
        let two = format!(
            "# one\n{}\n# and two\n{}",
            block("AAEC\nAwQ="),
            block("BQY=")
        );
        let read = read_quickly(two.as_bytes()).unwrap();
        assert_eq!(read, by_the_library(two.as_bytes()));
        assert_eq!(read.len(), 2);
        let bundle = BUNDLES.iter().find_map(|path| std::fs::read(path).ok());
        if let Some(bundle) = bundle {
            assert_eq!(read_quickly(&bundle).unwrap(), by_the_library(&bundle));
        }
        // What is not plain is left to the library.
        let windows = two.replace('\n', "\r\n") + &two;
        for other in [
            windows.as_str(),
            "",
            &block("AAEC AwQ="),
            &block("A"),
            &two[..two.len() - 9],
        ] {
            assert_eq!(read_quickly(other.as_bytes()), None, "{other:?}");
        }
    }
}
