//! A private authority, and TLS in front of any server.

use super::serve;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::net::SocketAddr;
use std::sync::Arc;
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

/// A certificate and its key.
pub struct Identity(CertificateDer<'static>, PrivateKeyDer<'static>);

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

/// Listens with TLS on all of loopback and hands everything to `target`.
pub fn front(identity: Identity, target: SocketAddr) -> SocketAddr {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![identity.0], identity.1)
        .unwrap();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(config));
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
