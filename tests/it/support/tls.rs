//! A private authority, and TLS in front of any server.

use super::serve;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd,
};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

/// A certificate authority of one test.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

/// What is right or wrong with a certificate for `localhost`.
#[derive(Clone, Copy, Debug)]
pub enum Leaf {
    Good,
    Expired,
    SelfSigned,
    /// By another authority of the same name.
    Stranger,
}

/// A certificate of X.509 version 1 for `localhost`, as old scripts make them.
pub const VERSION_1: &str = include_str!("../../data/version-1.pem");

/// A certificate and its key.
pub struct Identity(CertificateDer<'static>, PrivateKeyDer<'static>);

impl Identity {
    /// The certificate in PEM.
    pub fn pem(&self) -> String {
        use base64::Engine as _;
        let der = base64::engine::general_purpose::STANDARD.encode(&self.0);
        format!("-----BEGIN CERTIFICATE-----\n{der}\n-----END CERTIFICATE-----\n")
    }
}

impl Authority {
    pub fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params
            .distinguished_name
            .push(DnType::CommonName, "docfetch test authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    pub fn pem(&self) -> String {
        self.0.pem()
    }

    /// A good certificate for another host than `localhost`.
    pub fn leaf_for(&self, host: &str) -> Identity {
        let params = CertificateParams::new(vec![host.to_owned()]).unwrap();
        let key = KeyPair::generate().unwrap();
        let der = params.signed_by(&key, &self.0).unwrap().der().clone();
        Identity(der, PrivateKeyDer::try_from(key.serialize_der()).unwrap())
    }

    /// A certificate that is its own authority, as `openssl req -x509` makes one, and its PEM.
    pub fn own(host: &str, expired: bool) -> (Identity, String) {
        let mut params = CertificateParams::new(vec![host.to_owned()]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        if expired {
            params.not_before = date_time_ymd(2020, 1, 1);
            params.not_after = date_time_ymd(2021, 1, 1);
        }
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        let pem = certificate.pem();
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        (Identity(certificate.der().clone(), key), pem)
    }

    /// A certificate in PEM, with a key that is not its own.
    pub fn foreign(pem: &str) -> Identity {
        let der = CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
        let key = KeyPair::generate().unwrap();
        Identity(der, PrivateKeyDer::try_from(key.serialize_der()).unwrap())
    }

    pub fn leaf(&self, leaf: Leaf) -> Identity {
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        let key = KeyPair::generate().unwrap();
        if matches!(leaf, Leaf::Expired) {
            params.not_before = date_time_ymd(2020, 1, 1);
            params.not_after = date_time_ymd(2021, 1, 1);
        }
        let certificate = match leaf {
            Leaf::Good | Leaf::Expired => params.signed_by(&key, &self.0),
            Leaf::SelfSigned => params.self_signed(&key),
            Leaf::Stranger => params.signed_by(&key, &Self::new().0),
        };
        let der = certificate.unwrap().der().clone();
        Identity(der, PrivateKeyDer::try_from(key.serialize_der()).unwrap())
    }
}

/// TLS with one certificate and one protocol.
pub fn acceptor(identity: Identity, protocol: &[u8]) -> TlsAcceptor {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let key = provider.key_provider.load_private_key(identity.1).unwrap();
    let identity = CertifiedKey::new(vec![identity.0], key);
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(identity)));
    config.alpn_protocols = vec![protocol.to_vec()];
    TlsAcceptor::from(Arc::new(config))
}

/// Does as [`front`], but closes each connection without a TLS `close_notify`.
pub fn abrupt_front(identity: Identity, target: SocketAddr) -> SocketAddr {
    let acceptor = acceptor(identity, b"http/1.1");
    serve(move |sender| async move {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        sender.send(listener.local_addr().unwrap()).unwrap();
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(stream) = acceptor.accept(stream).await else {
                    return;
                };
                let (mut from_client, mut to_client) = tokio::io::split(stream);
                let inner = TcpStream::connect(target).await.unwrap();
                let (mut from_server, mut to_server) = inner.into_split();
                tokio::select! {
                    _ = tokio::io::copy(&mut from_server, &mut to_client) => {}
                    _ = tokio::io::copy(&mut from_client, &mut to_server) => {}
                }
                let _ = to_client.flush().await;
            });
        }
    })
}

/// Listens with TLS on all of loopback and hands everything to `target`.
pub fn front(identity: Identity, target: SocketAddr) -> SocketAddr {
    let acceptor = acceptor(identity, b"http/1.1");
    serve(move |sender| async move {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        // The whole loopback network leads here, for certificates of other hosts.
        let second = TcpListener::bind(("127.0.0.2", address.port()))
            .await
            .unwrap();
        sender.send(address).unwrap();
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                accepted = second.accept() => accepted,
            };
            let (stream, _) = accepted.unwrap();
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(mut stream) = acceptor.accept(stream).await else {
                    return;
                };
                let Ok(mut inner) = TcpStream::connect(target).await else {
                    return;
                };
                let _ = tokio::io::copy_bidirectional(&mut stream, &mut inner).await;
            });
        }
    })
}
