//! A real S3 server that checks signatures, expiry and ranges, over TLS with a private authority.

use crate::support::raw::{Raw, api, reply};
use crate::support::tls::{Authority, Leaf, front};
use crate::support::{World, noise, serve};
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use rusty_s3::{Bucket, Credentials, S3Action as _, UrlStyle};
use s3s::auth::SimpleAuth;
use s3s::service::S3ServiceBuilder;
use std::net::SocketAddr;
use std::time::Duration;
use tempfile::TempDir;

/// An S3 server, plain and behind TLS, and a signer for it.
struct S3 {
    authority: Authority,
    plain: SocketAddr,
    secure: SocketAddr,
    folder: TempDir,
}

const ACCESS: &str = "AKIATEST";
const SECRET: &str = "s3-secret-key-nobody-may-see";

impl S3 {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("bucket")).unwrap();
        let service = {
            let mut builder =
                S3ServiceBuilder::new(s3s_fs::FileSystem::new(folder.path()).unwrap());
            builder.set_auth(SimpleAuth::from_single(ACCESS, SECRET));
            builder.build()
        };
        let plain = serve(move |sender| async move {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            sender.send(listener.local_addr().unwrap()).unwrap();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let service = service.clone();
                tokio::spawn(async move {
                    let server = http1::Builder::new();
                    let _ = server.serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        let authority = Authority::new();
        let secure = front(authority.leaf(Leaf::Good), plain);
        Self {
            authority,
            plain,
            secure,
            folder,
        }
    }

    fn put(&self, key: &str, content: &[u8]) {
        let path = self.folder.path().join("bucket").join(key);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }

    fn presign(&self, endpoint: &str, key: &str, lifetime: Duration) -> String {
        let bucket = Bucket::new(
            endpoint.parse().unwrap(),
            UrlStyle::Path,
            "bucket",
            "us-east-1",
        )
        .unwrap();
        let keys = Credentials::new(ACCESS, SECRET);
        let mut action = bucket.get_object(Some(&keys), key);
        action.query_mut().insert(
            "response-content-disposition",
            "attachment; filename*=UTF-8''%E2%82%AC%20rates.pdf",
        );
        action.sign(lifetime).to_string()
    }

    /// An API that hands over `url`, behind TLS, and a world that trusts it.
    fn api(&self, url: String) -> (World, Raw) {
        let server = Raw::start(move |request, stream| api(request, stream, &url));
        let secure = front(self.authority.leaf(Leaf::Good), server.address);
        let mut world = World::new(&format!("https://localhost:{}", secure.port()));
        let pem = world.home().join("ca.pem");
        std::fs::write(&pem, self.authority.pem()).unwrap();
        world.set("DOCFETCH_CA_CERT", pem.to_str().unwrap());
        world.hide(SECRET);
        (world, server)
    }

    fn secure_base(&self) -> String {
        format!("https://localhost:{}", self.secure.port())
    }
}

#[test]
fn a_signed_document_arrives_over_tls_and_in_the_clear() {
    let s3 = S3::start();
    for (size, key) in [(1, "a"), (10 << 20, "deep/\u{e4} key.bin")] {
        let content = noise(size);
        s3.put(key, &content);
        let (world, _api) = s3.api(s3.presign(&s3.secure_base(), key, Duration::from_secs(60)));
        for provider in ["sm", "onecodex"] {
            let run = world.run(&[provider, "doc", "--if-exists", "overwrite", "--json"]);
            assert_eq!(run.exits(0).records()[0]["path"], "\u{20ac} rates.pdf");
            assert!(world.read("\u{20ac} rates.pdf") == content);
        }
        let url = s3.presign(
            &format!("http://{}", s3.plain),
            key,
            Duration::from_secs(60),
        );
        let server = Raw::start(move |request, stream| api(request, stream, &url));
        let world = World::new(&server.base());
        world.run(&["onecodex", "doc", "-o", "x"]).exits(0);
        assert!(world.read("x") == content);
    }
}

#[test]
fn a_signature_that_is_wrong_is_refused_and_nothing_is_saved() {
    let s3 = S3::start();
    s3.put("a", b"content");
    let url = s3.presign(&s3.secure_base(), "a", Duration::from_secs(60));
    let other = if url.ends_with('0') { '1' } else { '0' };
    let (world, _api) = s3.api(format!("{}{other}", &url[..url.len() - 1]));
    let run = world.run(&["sm", "doc", "--json"]);
    assert_eq!(run.exits(4).error_code(), "storage_denied");
    run.says("SignatureDoesNotMatch");
    assert!(world.files().is_empty());
}

#[test]
fn a_url_that_expired_at_the_server_is_renewed_once() {
    let s3 = S3::start();
    s3.put("a", b"content");
    let old = s3.presign(&s3.secure_base(), "a", Duration::from_secs(1));
    let new = s3.presign(&s3.secure_base(), "a", Duration::from_secs(60));
    std::thread::sleep(Duration::from_millis(2500));
    let server = Raw::start(move |request, stream| {
        api(
            request,
            stream,
            if request.before == 0 { &old } else { &new },
        );
    });
    let secure = front(s3.authority.leaf(Leaf::Good), server.address);
    let (mut world, _) = s3.api(String::new());
    world.set(
        "STANDARD_METRICS_API_BASE",
        &format!("https://localhost:{}", secure.port()),
    );
    let run = world.run(&["sm", "doc", "--json"]);
    assert_eq!(run.exits(0).records()[0]["resolves"], 2);
    assert_eq!(world.read("\u{20ac} rates.pdf"), b"content");
}

#[test]
fn a_transfer_that_was_cut_resumes_by_a_range_of_the_real_server() {
    let s3 = S3::start();
    let content = noise(3 << 20);
    s3.put("a", &content);
    let (world, _api) = s3.api(s3.presign(&s3.secure_base(), "a", Duration::from_secs(60)));
    // The file size limit cuts it at 512 KiB or 1 MiB; the next run has none.
    let script = format!(
        "ulimit -f 1024; exec {} sm doc -o x",
        env!("CARGO_BIN_EXE_docfetch")
    );
    world.run_of("sh", &["-c", &script]).exits(7);
    let run = world.run(&["sm", "doc", "-o", "x", "--json"]);
    let resumed = run.exits(0).records()[0]["resumed_from"].as_u64();
    // Every byte that fitted counts.
    assert!(matches!(resumed, Some(524_288 | 1_048_576)), "{run:?}");
    assert!(world.read("x") == content);
}

#[test]
fn certificates_that_are_not_trusted_are_refused_at_once_with_their_cause() {
    let authority = Authority::new();
    let server = Raw::start(|request, stream| api(request, stream, ""));
    let mut world = World::bare();
    world
        .set("STANDARD_METRICS_CLIENT_ID", "i")
        .set("STANDARD_METRICS_CLIENT_SECRET", "s");
    let pem = world.home().join("ca.pem");
    std::fs::write(&pem, authority.pem()).unwrap();
    world.set("SSL_CERT_FILE", pem.to_str().unwrap());
    for (leaf, host, said, hint) in [
        (Leaf::Expired, "localhost", "it expired on 2021-", "clock"),
        (
            Leaf::Good,
            "127.0.0.2",
            "it is for another host: localhost",
            "check the address",
        ),
        (
            Leaf::SelfSigned,
            "localhost",
            "no trusted authority issued it: it is self-signed, or a private authority issued it",
            "pass the certificate of the authority that issued it with --ca-cert; a proxy of your network",
        ),
        (
            Leaf::Stranger,
            "localhost",
            "the trusted authority that it names did not sign it",
            "--ca-cert",
        ),
    ] {
        let secure = front(authority.leaf(leaf), server.address);
        world.set(
            "STANDARD_METRICS_API_BASE",
            &format!("https://{host}:{}", secure.port()),
        );
        let run = world.run(&["sm", "a", "--json"]);
        assert_eq!(
            (run.code, run.error_code().as_str()),
            (9, "certificate"),
            "{leaf:?}: {run:?}"
        );
        run.says(said).says(hint);
        assert!(!run.stderr.contains("gave up after"), "{run:#?}");
    }
    assert!(server.seen().is_empty());
}

#[test]
fn certificates_come_from_the_variables_and_the_flag() {
    let authority = Authority::new();
    let storage = Raw::start(|_, stream| reply(stream, "200 OK", &[], b"x"));
    let storage = front(authority.leaf(Leaf::Good), storage.address);
    let url = format!("https://localhost:{}/x.txt", storage.port());
    let server = Raw::start(move |request, stream| api(request, stream, &url));
    let secure = front(authority.leaf(Leaf::Good), server.address);
    let folder = tempfile::tempdir().unwrap();
    let pem = folder.path().join("ca.pem");
    std::fs::write(&pem, authority.pem()).unwrap();
    let base = format!("https://localhost:{}", secure.port());
    World::new(&base).run(&["sm", "a"]).exits(9);
    for (variable, value) in [
        ("SSL_CERT_FILE", pem.as_path()),
        ("SSL_CERT_DIR", folder.path()),
        ("DOCFETCH_CA_CERT", &pem),
    ] {
        let mut world = World::new(&base);
        world.set(variable, value.to_str().unwrap());
        world.run(&["sm", "a"]).exits(0);
        assert_eq!(world.read("x.txt"), b"x", "{variable}");
    }
}

#[test]
fn a_secure_api_may_not_hand_over_to_the_clear_or_to_loopback_by_another_class() {
    let s3 = S3::start();
    s3.put("a", b"content");
    let (world, _api) = s3.api(s3.presign(
        &format!("http://{}", s3.plain),
        "a",
        Duration::from_secs(60),
    ));
    let run = world.run(&["sm", "doc", "--json"]);
    assert_eq!(run.exits(9).error_code(), "insecure_url");
    world.run(&["sm", "doc", "--allow-private"]).exits(0);
}
